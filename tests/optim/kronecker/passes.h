#pragma once
// A small network with data, and what a Kronecker-factored optimiser should see of its passes.
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/models.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/kronecker/layers.h"

namespace ritz::test {

struct Problem {
  nn::Network network;
  at::Tensor x, y;

  explicit Problem(const std::string& model, std::vector<int64_t> shape, int64_t samples = 7,
                   at::ScalarType dtype = at::kDouble)
      : network(nn::make_network(
            model, {.input_shape = shape, .outputs = 3, .tensor = dtype, .seed = 4})) {
    shape.insert(shape.begin(), samples);
    x = RandomStream(6).normal(shape, at::TensorOptions(dtype));
    y = at::arange(samples) % 3;
  }

  /// Forward and backward over samples first, ..., first + n - 1, times `factor`.
  void passes(int64_t first, int64_t n, double factor = 1) const {
    const auto outputs = network.forward(x.narrow(0, first, n));
    (nn::Loss{}(outputs, y.narrow(0, first, n)) * factor).backward();
  }
  void passes() const { passes(0, x.size(0)); }

  void zero_gradients() const {
    for (const auto& parameter : network.parameters) parameter.value.mutable_grad() = at::Tensor();
  }

  /// Gradients and samples of each layer, the parameters' own gradients left clear.
  struct Seen {
    std::vector<at::Tensor> gradients;
    std::vector<optim::LayerSamples> samples;
  };
  Seen look() const {
    const auto layers = optim::find_kronecker_layers(network).layers;
    for (const auto& layer : layers) layer.capture(true);
    zero_gradients();
    passes();
    Seen seen;
    for (const auto& layer : layers) {
      seen.gradients.push_back(layer.gradient().clone());
      seen.samples.push_back(*layer.samples(1, 1));
      layer.capture(false);
    }
    zero_gradients();
    return seen;
  }

  /// All layers' [W b].
  std::vector<at::Tensor> weights() const {
    std::vector<at::Tensor> all;
    for (const auto& layer : optim::find_kronecker_layers(network).layers) {
      const at::Tensor w = layer.weight().detach().flatten(1);
      all.push_back(layer.bias().defined() ? at::cat({w, layer.bias().detach().unsqueeze(1)}, 1)
                                           : w.clone());
    }
    return all;
  }

  std::unique_ptr<optim::Optimizer> descent(double lr = 1) const {
    return std::make_unique<optim::Sgd>(network.parameter_values(), optim::SgdOptions{.lr = lr});
  }
};

/// |a - b| / |b|.
inline double difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace ritz::test
