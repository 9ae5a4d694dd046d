#include "ritz/nn/detail/batch_derivatives.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/nn/detail/chain_kernels.h"

namespace ritz::nn::detail {

std::unique_ptr<BatchDerivatives> make_batch_derivatives(const Batch& batch,
                                                         Differentiation differentiation) {
  if (differentiation == Differentiation::finite_difference) return difference_derivatives(batch);
  if (differentiation == Differentiation::automatic && batch.network.chain) {
    return chain_derivatives(batch.network, batch.loss, batch.inputs, batch.targets, batch.product);
  }
  return autograd_derivatives(batch);
}

Tensor checked_forward(const Batch& batch) {
  Tensor z = batch.network.forward(batch.inputs);
  check_shape("network outputs", z, {batch.inputs.size(0), -1});
  return z;
}

std::vector<Tensor> unflatten(const Tensor& flat, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> pieces;
  pieces.reserve(parameters.size());
  int64_t at = 0;
  for (const auto& p : parameters) {
    pieces.push_back(flat.narrow(0, at, p.numel()).view(p.sizes()));
    at += p.numel();
  }
  return pieces;
}

void add_flat(const Tensor& flat, const std::vector<Tensor>& pieces,
              const std::vector<Tensor>& parameters, double scale) {
  torch::NoGradGuard no_grad;
  int64_t at = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& p = parameters[i];
    if (pieces[i].defined()) flat.narrow(0, at, p.numel()).view(p.sizes()).add_(pieces[i], scale);
    at += p.numel();
  }
}

std::vector<Tensor> parameter_gradients(const Network& network, const std::vector<Tensor>& roots,
                                        const std::vector<Tensor>& seeds, bool keep_graph,
                                        bool create_graph) {
  const auto missing = [](const std::string& name) {
    return InvalidArgument("parameter " + name, "a gradient",
                           "none: the loss does not depend on it");
  };
  for (const auto& root : roots) {
    if (!root.requires_grad()) throw missing(network.parameters.at(0).name);
  }
  auto gradients = torch::autograd::grad(roots, network.parameter_values(), seeds, keep_graph,
                                         create_graph, /*allow_unused=*/true);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) throw missing(network.parameters[i].name);
  }
  return gradients;
}

}  // namespace ritz::nn::detail
