#pragma once
// Losses with their closed-form curvature in the outputs.
#include <functional>
#include <string>

#include "ritz/base/tensor.h"

namespace ritz::nn {

enum class LossKind {
  cross_entropy,       // softmax; targets int64 [n]
  mean_squared_error,  // sum over outputs of (z - y)^2 per sample; targets [n, outputs]
  bernoulli            // logistic, summed over outputs; targets [n, outputs] in [0, 1]
};

/// The loss of a batch: the sum of per-sample losses, divided by n where `mean`.
struct Loss {
  LossKind kind = LossKind::cross_entropy;
  double label_smoothing = 0;  // cross_entropy only; its outputs' Hessian does not depend on it
  bool mean = true;

  /// Throws InvalidArgument where shape, dtype or values of the targets do not fit outputs of width
  /// c; a label out of range names its index. Synchronises with the device: for entry points, not
  /// loops.
  void check_targets(const Tensor& targets, int64_t samples, int64_t outputs) const;

  /// Targets of this loss out of class labels [n] int64: themselves for cross-entropy, else one-hot
  /// rows [n, outputs] of the given dtype and device.
  Tensor targets_from_labels(const Tensor& labels, int64_t outputs,
                             const TensorOptions& options) const;

  /// A scalar; differentiable, twice.
  Tensor operator()(const Tensor& outputs, const Tensor& targets) const;
  /// [n]: the loss of each sample; differentiable.
  Tensor per_sample(const Tensor& outputs, const Tensor& targets) const;
  /// d(sum of per-sample losses)/d outputs, [n, c], in closed form, not differentiable.
  Tensor output_gradient(const Tensor& outputs, const Tensor& targets) const;
  /// H_L u for the sum of per-sample losses in closed form: softmax (diag(p) - p p^T) u, mean
  /// squared error 2 u, bernoulli p (1 - p) u. u is [n, c] or [k, n, c].
  Tensor output_hessian_product(const Tensor& outputs, const Tensor& u) const;
};

/// "cross-entropy", "mse", "bernoulli", as the command line spells them.
LossKind parse_loss(const std::string& name);
std::string loss_name(LossKind kind);

}  // namespace ritz::nn
