#include "ritz/nn/loss.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::nn {
namespace {

constexpr const char* kNames[] = {"cross-entropy", "mse", "bernoulli"};

/// The softmax targets as a distribution [n, c]: (1 - s) one-hot + s / c.
Tensor smoothed(const Tensor& outputs, const Tensor& targets, double smoothing) {
  const double uniform = smoothing / static_cast<double>(outputs.size(1));
  return at::full_like(outputs, uniform).scatter_(1, targets.unsqueeze(1), 1 - smoothing + uniform);
}

}  // namespace

void Loss::check_targets(const Tensor& targets, int64_t samples, int64_t outputs) const {
  check_in("label_smoothing", label_smoothing, 0, 1);
  if (kind != LossKind::cross_entropy) {
    check_shape("targets", targets, {samples, outputs});
    check_floating("targets", targets);
    if (kind == LossKind::bernoulli) {
      const Tensor wrong = ((targets >= 0) & (targets <= 1)).logical_not_().flatten().nonzero();
      if (wrong.numel() > 0) {
        const int64_t i = wrong[0].item<int64_t>();
        throw InvalidArgument("targets", "values in [0, 1]",
                              number_text(targets.flatten()[i].item<double>()),
                              "row " + std::to_string(i / outputs));
      }
    }
    return;
  }
  check_shape("targets", targets, {samples});
  if (targets.scalar_type() != at::kLong) {
    throw InvalidArgument("targets", "int64 labels", dtype_name(targets.scalar_type()));
  }
  const Tensor wrong = ((targets < 0) | (targets >= outputs)).nonzero();
  if (wrong.numel() > 0) {
    const int64_t i = wrong[0].item<int64_t>();
    throw InvalidArgument("targets", "labels in [0, " + std::to_string(outputs - 1) + "]",
                          std::to_string(targets[i].item<int64_t>()), "index " + std::to_string(i));
  }
}

Tensor Loss::targets_from_labels(const Tensor& labels, int64_t outputs,
                                 const TensorOptions& options) const {
  Loss{}.check_targets(labels, labels.size(0), outputs);
  if (kind == LossKind::cross_entropy) return labels;
  return at::zeros({labels.size(0), outputs}, options).scatter_(1, labels.unsqueeze(1), 1);
}

Tensor Loss::per_sample(const Tensor& outputs, const Tensor& targets) const {
  switch (kind) {
    case LossKind::cross_entropy: {
      const Tensor log_p = outputs.log_softmax(1);
      const Tensor nll = -log_p.gather(1, targets.unsqueeze(1)).squeeze(1);
      if (label_smoothing == 0) return nll;
      return (1 - label_smoothing) * nll - label_smoothing * log_p.mean(1);
    }
    case LossKind::mean_squared_error:
      return (outputs - targets).square().sum(1);
    case LossKind::bernoulli:  // no difference of large numbers, and smooth at z = 0
      return -(targets * at::log_sigmoid(outputs) + (1 - targets) * at::log_sigmoid(-outputs))
                  .sum(1);
  }
  throw InvalidArgument("loss", "a known kind", std::to_string(static_cast<int>(kind)));
}

Tensor Loss::operator()(const Tensor& outputs, const Tensor& targets) const {
  const Tensor losses = per_sample(outputs, targets);
  return mean ? losses.mean() : losses.sum();
}

Tensor Loss::output_gradient(const Tensor& outputs, const Tensor& targets) const {
  torch::NoGradGuard no_grad;
  switch (kind) {
    case LossKind::cross_entropy:
      return outputs.softmax(1).sub_(smoothed(outputs, targets, label_smoothing));
    case LossKind::mean_squared_error:
      return (outputs - targets).mul_(2);
    case LossKind::bernoulli:
      return outputs.sigmoid().sub_(targets);
  }
  throw InvalidArgument("loss", "a known kind", std::to_string(static_cast<int>(kind)));
}

Tensor Loss::output_hessian_product(const Tensor& outputs, const Tensor& u) const {
  torch::NoGradGuard no_grad;
  switch (kind) {
    case LossKind::cross_entropy: {
      const Tensor p = outputs.softmax(1);
      Tensor pu = p * u;
      return pu.sub_(p * pu.sum(-1, true));  // diag(p) u - p (p^T u)
    }
    case LossKind::mean_squared_error:
      return 2 * u;
    case LossKind::bernoulli: {
      const Tensor p = outputs.sigmoid();
      return (p * (1 - p)) * u;
    }
  }
  throw InvalidArgument("loss", "a known kind", std::to_string(static_cast<int>(kind)));
}

LossKind parse_loss(const std::string& name) {
  for (int i = 0; i < 3; ++i) {
    if (name == kNames[i]) return static_cast<LossKind>(i);
  }
  throw InvalidArgument("loss", "cross-entropy, mse or bernoulli", name);
}

std::string loss_name(LossKind kind) {
  return kNames[static_cast<int>(kind)];
}

}  // namespace ritz::nn
