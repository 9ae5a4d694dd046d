#include "ritz/optim/batch_scaling/damping.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

VarianceDamping::VarianceDamping(Options options) : options_(options), damping_(options.base) {
  check_positive("base", options.base);
  check_in("keep", options.keep, 0, 1);
  check_at_least("gap", options.gap, 1);
  check_at_least("samples", options.samples, 2);
}

double VarianceDamping::update(double v) {
  if (std::isfinite(v) && v >= 0)
    damping_ = options_.keep * damping_ + (1 - options_.keep) * (options_.base + v);
  return damping_;
}

void VarianceDamping::set_damping(double damping) {
  check_positive("damping", damping);
  damping_ = damping;
}

Tensor lanczos_preconditioned(const LanczosResult& run, const Tensor& gradient, double beta) {
  check_positive("beta", beta);
  const torch::NoGradGuard no_grad;
  const auto pairs = ritz_pairs(run, {.largest = run.T.front().order()});
  const Tensor& V = pairs.largest.vectors;  // [m, P]
  check_shape("gradient", gradient, {V.size(1)});
  const Tensor factor = 1 / (pairs.largest.values.abs() + beta) - 1 / beta;  // [m]
  return gradient / beta + V.t().mv(factor.to(V.options()) * V.mv(gradient));
}

}  // namespace ritz::optim
