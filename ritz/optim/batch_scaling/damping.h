#pragma once
// Damping as the authors' public code does it, and its Lanczos-preconditioned step (code).
#include <cstdint>

#include "ritz/krylov/lanczos.h"

namespace ritz::optim {

/// The "damping gap" rule (code): every `gap` steps, with v the variance statistic of the Hessian
/// on `samples` samples (frobenius_noise),
///   delta <- 0.7 delta + 0.3 (delta_base + v),   learning rate <- base rate (1 + delta).
///
///     VarianceDamping damping({.base = 1e-3});
///     if (damping.due(step)) damping.update(frobenius_noise(objective, {.samples = 1024}));
///     optimizer.set_lr(lr * damping.lr_factor());
class VarianceDamping {
 public:
  struct Options {
    double base = 1e-3;      // delta_base, and the first delta; > 0
    double keep = 0.7;       // share of the old delta, in [0, 1)
    int64_t gap = 100;       // steps between updates, >= 1
    int64_t samples = 1024;  // for the statistic
  };
  explicit VarianceDamping(Options options);
  const Options& options() const { return options_; }

  /// Steps count from 1; the first is due.
  bool due(int64_t step) const { return (step - 1) % options_.gap == 0; }
  /// Takes v >= 0 and returns the new delta; a v that is not finite is left out.
  double update(double v);
  double damping() const { return damping_; }
  double lr_factor() const { return 1 + damping_; }
  /// For checkpoints.
  void set_damping(double damping);

 private:
  Options options_;
  double damping_;
};

/// Lanczos-preconditioned gradient (code):
///   (1 / beta) g + sum_k (1 / (|theta_k| + beta) - 1 / beta) v_k v_k^T g
/// over all Ritz pairs of a run of a few steps (the authors take 10, and beta = 100). g [P].
/// Cost: two products with the basis, 4 m P flops.
Tensor lanczos_preconditioned(const LanczosResult& run, const Tensor& gradient, double beta = 100);

}  // namespace ritz::optim
