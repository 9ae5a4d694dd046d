#include "ritz/nn/network.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::nn {

int64_t Network::parameter_count() const {
  int64_t count = 0;
  for (const auto& p : parameters) count += p.value.numel();
  return count;
}

TensorOptions Network::options() const {
  if (parameters.empty()) throw InvalidArgument("network", "at least one parameter", "none");
  const Tensor& first = parameters.front().value;
  check_floating(parameters.front().name, first);
  for (const auto& p : parameters) check_options(p.name, p.value, first.options());
  return TensorOptions(first.scalar_type()).device(first.device());
}

std::vector<Tensor> Network::parameter_values() const {
  std::vector<Tensor> values;
  values.reserve(parameters.size());
  for (const auto& p : parameters) values.push_back(p.value);
  return values;
}

Tensor Network::flat_parameters() const {
  torch::NoGradGuard no_grad;
  std::vector<Tensor> flat;
  flat.reserve(parameters.size());
  for (const auto& p : parameters) flat.push_back(p.value.detach().reshape(-1));
  return at::cat(flat);
}

void Network::set_flat_parameters(const Tensor& theta) const {
  check_shape("theta", theta, {parameter_count()});
  torch::NoGradGuard no_grad;
  int64_t at = 0;
  for (const auto& p : parameters) {
    p.value.copy_(theta.narrow(0, at, p.value.numel()).view(p.value.sizes()));
    at += p.value.numel();
  }
}

ModeGuard::ModeGuard(const Network& network, bool training) {
  if (!network.set_training) return;
  before_ = network.is_training && network.is_training();
  if (before_ == training) return;
  network.set_training(training);
  restore_ = network.set_training;
}

ModeGuard::~ModeGuard() {
  if (restore_) restore_(before_);
}

}  // namespace ritz::nn
