#include "ritz/rows/lp_sensitivity/lp_minimise.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"
#include "ritz/rows/lp_sensitivity/detail/lp_solver.h"
#include "ritz/rows/lp_sensitivity/row_basis.h"

namespace ritz::rows {
namespace {

void check_options_of(const LpOptions& options) {
  detail::check_exponent(options.p);
  check_positive("tolerance", options.tolerance);
  check_at_least("max_steps", options.max_steps, 1);
}

// max |D^T z - f c| / f of the whitened problem, z = |D x|^(p-1) sign(D x).
double dual_residual(const Tensor& D, const Tensor& x, const Tensor& c, double p) {
  const auto r = D.mv(x);
  const auto scale = r.abs().max();
  const auto a = r / scale;
  const auto z = a.abs().pow(p - 1) * a.sign();
  const auto f = (a * z).sum();  // (||D x|| / scale)^p; at the optimum D^T z = scale f c
  return ((D.t().mv(z) / scale - f * c).abs().max() / (f * c.abs().max())).item<double>();
}

}  // namespace

double lp_residual_norm(const Tensor& A, const Tensor& x, const Tensor& b, double p) {
  detail::check_exponent(p);
  const torch::NoGradGuard no_grad;
  const auto point = x.to(A.device(), torch::kFloat64);
  auto r = torch::empty({A.size(0)}, A.options().dtype(torch::kFloat64));
  detail::for_panels(A, [&](const Tensor& panel, int64_t begin) {
    r.slice(0, begin, begin + panel.size(0)).copy_(panel.mv(point));
  });
  if (b.defined()) r -= b.to(r.options());
  const double scale = r.abs().max().item<double>();
  if (scale == 0) return 0;
  return scale * std::pow(r.div_(scale).abs_().pow_(p).sum().item<double>(), 1 / p);
}

LpMinimum lp_minimise(const Tensor& D, const Tensor& c, const LpOptions& options) {
  check_options_of(options);
  check_dim("D", D, 2);
  check_shape("c", c, {D.size(1)});
  check_options("c", c, D.options());
  check_finite("c", c);
  if (c.eq(0).all().item<bool>()) throw InvalidArgument("c", "a vector that is not zero", "zeros");
  const torch::NoGradGuard no_grad;
  const auto basis = row_basis(D);
  // Orthonormal columns: Dw = rows F; x = map F z.
  const auto F = detail::inverse_factor(detail::weighted_gram(basis.rows));
  const auto Dw = basis.rows.to(torch::kFloat64).mm(F).cpu();
  const auto map = basis.map.mm(F);
  const auto target = c.to(torch::kFloat64);
  const double size = target.abs().max().item<double>();
  const auto cw = map.t().mv(target / size).mul_(size).cpu();

  LpMinimum out;
  const double rounding = D.scalar_type() == torch::kFloat32 ? 1e-5 : 1e-9;
  if (outside_row_space(basis, target).item<double>() > rounding) {
    out.feasible = false;
    out.converged = true;
    return out;
  }
  const detail::LpSolver solver(Dw, options.p,
                                {.tolerance = options.tolerance, .max_steps = options.max_steps});
  detail::LpSolver::Workspace work(solver);
  const auto z = torch::empty({basis.rank}, torch::kFloat64);
  const auto found = solver.solve(cw.data_ptr<double>(), z.data_ptr<double>(), work);
  out.value = found.value;
  out.lower_bound = found.lower;
  out.gap = found.gap();
  out.steps = found.steps;
  out.converged = found.converged;
  if (options.p > 1) out.dual_residual = dual_residual(Dw, z, cw, options.p);
  out.x = map.mv(z.to(map.device())).to(D.scalar_type());
  return out;
}

LpRegression lp_regression(const Tensor& A, const Tensor& b, const LpOptions& options,
                           const Tensor& weights) {
  check_options_of(options);
  check_dim("A", A, 2);
  check_floating("A", A);
  check_shape("b", b, {A.size(0)});
  check_options("b", b, A.options());
  check_finite("b", b);
  if (weights.defined()) {
    check_shape("weights", weights, {A.size(0)});
    check_finite("weights", weights);
    if (!weights.gt(0).all().item<bool>())
      throw InvalidArgument("weights", "positive numbers", "zero or less");
  }
  const torch::NoGradGuard no_grad;
  const int64_t d = A.size(1);
  LpRegression out;
  const double size = b.abs().max().item<double>();
  if (size == 0) {
    out.solution = torch::zeros({d}, A.options());
    out.converged = true;
    return out;
  }
  // b is scaled to size one, so that z_{d+1} = 1 is as far from rounding as may be.
  const auto target = b.to(torch::kFloat64) / size;
  auto M = torch::cat({A.to(torch::kFloat64), -target.unsqueeze(1)}, 1);
  if (weights.defined()) M *= weights.to(M.options()).pow(1 / options.p).unsqueeze(1);
  auto c = torch::zeros({d + 1}, M.options());
  c[d] = 1;
  const auto found = lp_minimise(M, c, options);
  out.steps = found.steps;
  out.converged = found.converged;
  if (found.feasible) {
    out.solution = (found.x.slice(0, 0, d) * size).to(A.scalar_type());
    out.objective = found.value * size;
    out.lower_bound = found.lower_bound * size;
    out.gap = found.gap;
  } else {  // b lies in A's range to rounding: any exact method finds it
    const auto basis = row_basis(M.slice(1, 0, d));
    const auto rows = basis.rows.to(torch::kFloat64);
    const auto z = std::get<0>(torch::linalg_lstsq(rows, -M.slice(1, d, d + 1)));
    const auto x = basis.map.mm(z).squeeze(1);
    out.solution = (x * size).to(A.scalar_type());
    out.objective = lp_residual_norm(M.slice(1, 0, d), x, -M.select(1, d), options.p) * size;
  }
  return out;
}

}  // namespace ritz::rows
