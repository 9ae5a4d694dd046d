#pragma once
// A user's own module as a Network. Apart from network.h, because torch/nn costs seconds to
// compile.
//
//     #include "ritz/nn/wrap.h"
//     #include <torch/nn.h>
//     #include <torch/types.h>
//     #include "ritz/nn/curvature.h"
//     struct Mine : torch::nn::Module {
//       torch::nn::Linear linear = register_module("linear", torch::nn::Linear(4, 3));
//       torch::Tensor forward(const torch::Tensor& x) { return linear(x.tanh()); }
//     };
//     int main() {
//       const auto network = ritz::nn::wrap(std::make_shared<Mine>(), "mine");
//       const auto x = torch::eye(4), y = torch::arange(4).remainder(3);  // samples and their classes
//       const auto H = ritz::nn::hessian({network, {}, x, y});
//       return H->apply(torch::ones({15})).isfinite().all().item<bool>() ? 0 : 1;
//     }
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>

#include "ritz/nn/layers.h"
#include "ritz/nn/network.h"

namespace ritz::nn {

/// A module and its forward function as a Network in evaluation mode: parameters that require grad,
/// buffers, and a tap for each of ritz's own capturing layers inside.
Network wrap(std::shared_ptr<torch::nn::Module> module,
             std::function<Tensor(const Tensor&)> forward, std::string description);

/// The same for a layer, whose chain is read off where all of its parts have stages.
Network wrap(std::shared_ptr<Layer> layer, std::string description);

/// The same for any module with `Tensor forward(const Tensor&)` (or `Tensor forward(Tensor)`).
template <class Module>
requires(std::is_base_of_v<torch::nn::Module, Module> && !std::is_base_of_v<Layer, Module>) Network
    wrap(std::shared_ptr<Module> module, std::string description) {
  auto* raw = module.get();
  return wrap(
      std::static_pointer_cast<torch::nn::Module>(std::move(module)),
      [raw](const Tensor& x) { return raw->forward(x); }, std::move(description));
}

}  // namespace ritz::nn
