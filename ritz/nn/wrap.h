#pragma once
// A user's own module as a Network. Apart from network.h, because torch/nn costs seconds to
// compile.
//
//     struct Mine : torch::nn::Module { torch::Tensor forward(const torch::Tensor& x); ... };
//     auto mine = std::make_shared<Mine>();
//     ritz::nn::Network network = ritz::nn::wrap(mine, "mine");
//     auto H = ritz::nn::hessian({network, {}, x, y});
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
