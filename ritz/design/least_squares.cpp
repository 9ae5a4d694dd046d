#include "ritz/design/least_squares.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"

namespace ritz::design {
namespace {

void check_values(const Tensor& values) {
  const Tensor bad = values.isfinite().logical_not();
  const Tensor rows = (bad.dim() == 2 ? bad.any(1) : bad).nonzero().flatten();
  if (rows.numel() == 0) return;
  std::string list;
  const int64_t shown = std::min<int64_t>(10, rows.numel());
  for (int64_t i = 0; i < shown; ++i)
    list += (i > 0 ? ", " : "") + std::to_string(rows[i].item<int64_t>());
  if (rows.numel() > shown) list += " and " + std::to_string(rows.numel() - shown) + " more";
  throw DataError("values", "finite numbers", "NaN or Inf at points " + list);
}

}  // namespace

Fit fit_least_squares(const Space& space, const Tensor& points, const Tensor& weights,
                      const Tensor& values) {
  check_shape("points", points, {-1, space.dim()});
  const int64_t n = points.size(0), m = space.size();
  check_shape("weights", weights, {n});
  check_floating("values", values);
  if (values.dim() != 1 && values.dim() != 2)
    throw InvalidArgument("values", "[n] or [n, q]", describe(values));
  if (values.size(0) != n) {
    throw DataError("values", std::to_string(n) + " rows, one a point of the design",
                    std::to_string(values.size(0)));
  }
  if (n < m) throw DataError("points", "at least m = " + std::to_string(m), std::to_string(n));
  check_values(values);
  const Tensor w = weights.detach().to(torch::kCPU, torch::kFloat64);
  check_finite("weights", w);
  if (w.min().item<double>() <= 0)
    throw DataError("weights", "numbers > 0", number_text(w.min().item<double>()));

  const Tensor root = (w / static_cast<double>(n)).sqrt().unsqueeze(1);
  const Tensor x =
      points.is_floating_point() ? points.detach().to(torch::kCPU, torch::kFloat64) : points.cpu();
  const Tensor phi = space.basis(x).to(torch::kFloat64);
  check_finite("the basis at the points", phi);
  const Tensor y = values.detach().to(torch::kCPU, torch::kFloat64).reshape({n, -1});
  const auto [Q, R] = torch::linalg_qr(phi * root);
  const Tensor singular = torch::linalg_svdvals(R);
  const double top = singular[0].item<double>(), bottom = singular[-1].item<double>();
  if (!(bottom > 1e-14 * static_cast<double>(n) * top)) {
    throw DataError("points", "a design whose functions are independent at its points",
                    "rank below m = " + std::to_string(m));
  }
  Fit out;
  const Tensor b = y * root, projected = Q.t().mm(b);
  const Tensor c = torch::linalg_solve_triangular(R, projected, /*upper=*/true);
  const Tensor residual = b - Q.mm(projected);
  const Tensor h = Q.square().sum(1);
  out.coefficients = (values.dim() == 1 ? c.squeeze(1) : c).to(values.options());
  out.leverages = h;
  out.residual = residual.norm().item<double>();
  out.condition = (top / bottom) * (top / bottom);
  if (n > m && h.max().item<double>() < 1 - 1e-12)
    out.loo_error = (residual / (1 - h).unsqueeze(1)).norm().item<double>();
  return out;
}

Tensor evaluate_fit(const Space& space, const Tensor& coefficients, const Tensor& points) {
  if (points.is_floating_point()) check_finite("points", points);
  const Tensor phi = space.basis(points);
  check_shape("coefficients", coefficients.dim() == 2 ? coefficients.select(1, 0) : coefficients,
              {space.size()});
  const Tensor values = torch::matmul(phi, coefficients.to(phi.options()));
  if (!values.isfinite().all().item<bool>())
    throw Unsupported("evaluate_fit: the basis overflows at a point this far out");
  return values;
}

Approximation approximate(const Space& space, const Function& f, const DesignOptions& options) {
  Approximation out;
  out.design = design(space, options);
  out.values = f(out.design.points);
  out.fit = fit_least_squares(space, out.design.points, out.design.weights, out.values);
  return out;
}

}  // namespace ritz::design
