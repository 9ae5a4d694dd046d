#include "studies/generators/design_functions.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/krylov/cg.h"
#include "ritz/linop/diagonal.h"
#include "ritz/linop/function_operator.h"

namespace ritz::studies {
namespace {

double solve_diffusion(double x0, double x1, int64_t g) {
  const auto real = torch::kFloat64;
  const double h = 1 / static_cast<double>(g);
  const Tensor centre = (torch::arange(g, real) + 0.5) * h;
  const Tensor a =
      (x0 * (M_PI * centre).cos().unsqueeze(1) + x1 * (2 * M_PI * centre).cos().unsqueeze(0)).exp();
  const auto harmonic = [](const Tensor& p, const Tensor& q) { return 2 * p * q / (p + q); };
  // Conductances of the faces, [g + 1, g] and [g, g + 1]; a boundary is half a cell away.
  const Tensor vertical =
      torch::cat({2 * a.narrow(0, 0, 1), harmonic(a.narrow(0, 0, g - 1), a.narrow(0, 1, g - 1)),
                  2 * a.narrow(0, g - 1, 1)});
  const Tensor level =
      torch::cat({2 * a.narrow(1, 0, 1), harmonic(a.narrow(1, 0, g - 1), a.narrow(1, 1, g - 1)),
                  2 * a.narrow(1, g - 1, 1)},
                 1);
  const Tensor diagonal = vertical.narrow(0, 0, g) + vertical.narrow(0, 1, g) +
                          level.narrow(1, 0, g) + level.narrow(1, 1, g);
  const Tensor down = vertical.narrow(0, 1, g - 1), right = level.narrow(1, 1, g - 1);
  const SymmetricFunctionOperator A(g * g, real, [&](const Tensor& columns) {
    const Tensor u = columns.reshape({g, g});
    Tensor y = diagonal * u;
    y.narrow(0, 0, g - 1) -= down * u.narrow(0, 1, g - 1);
    y.narrow(0, 1, g - 1) -= down * u.narrow(0, 0, g - 1);
    y.narrow(1, 0, g - 1) -= right * u.narrow(1, 1, g - 1);
    y.narrow(1, 1, g - 1) -= right * u.narrow(1, 0, g - 1);
    return y.reshape(columns.sizes());
  });
  const DiagonalOperator jacobi(1 / diagonal.flatten());
  const auto run = cg(A, torch::full({g * g}, h * h, real),
                      {.rtol = 1e-10, .preconditioner = &jacobi, .require_converged = true});
  return run.x.mean().item<double>();
}

}  // namespace

Tensor diffusion_mean(const Tensor& points, int64_t grid) {
  check_shape("points", points, {-1, 2});
  check_at_least("grid", grid, 2);
  const Tensor x = points.to(torch::kFloat64);
  Tensor out = torch::empty({x.size(0)}, torch::kFloat64);
  for (int64_t i = 0; i < x.size(0); ++i)
    out[i] = solve_diffusion(x[i][0].item<double>(), x[i][1].item<double>(), grid);
  return out;
}

const std::vector<std::string>& design_function_names() {
  static const std::vector<std::string> names = {"bump", "runge", "exponential", "diffusion"};
  return names;
}

design::Function design_function(const std::string& name, int64_t grid) {
  const auto one = [](const Tensor& x) {
    check_shape("points", x, {-1, 1});
    return x.select(1, 0);
  };
  if (name == "bump") return [=](const Tensor& x) { return (-(one(x) - 1).square() / 4).exp(); };
  if (name == "runge") return [=](const Tensor& x) { return 1 / (1 + 5 * one(x).square()); };
  if (name == "exponential") return [](const Tensor& x) { return (-x.sum(1)).exp(); };
  if (name == "diffusion") return [=](const Tensor& x) { return diffusion_mean(x, grid); };
  throw InvalidArgument("--function", "bump, runge, exponential or diffusion", name);
}

}  // namespace ritz::studies
