#pragma once
// The workload of the Kronecker-factored optimisers' benchmarks: a 6 x 1024 perceptron, batch 128.
#include <torch/types.h>

#include <memory>
#include <string>

#include "ritz/base/random.h"
#include "ritz/nn/layers.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/wrap.h"
#include "ritz/optim/first_order.h"

namespace ritz::bench {

struct Perceptron {
  static constexpr int64_t kBatch = 128, kWidth = 1024, kLayers = 6;

  nn::Network network;
  at::Tensor x, y;

  explicit Perceptron(bool with_biases = true) {
    auto net = std::make_shared<nn::Sequential>();
    for (int64_t k = 0; k < kLayers; ++k) {
      net->add(std::to_string(2 * k), std::make_shared<nn::Linear>(kWidth, kWidth, with_biases));
      if (k + 1 < kLayers) {
        net->add(std::to_string(2 * k + 1),
                 std::make_shared<nn::StageLayer>(nn::ActivationStage{nn::Activation::relu}));
      }
    }
    nn::initialise(*net, 3);
    network = nn::wrap(std::static_pointer_cast<nn::Layer>(net), "6 x 1024");
    x = RandomStream(2, stream_id("bench/inputs")).normal({kBatch, kWidth}, at::kFloat);
    y = RandomStream(2, stream_id("bench/labels")).integers({kBatch}, 0, kWidth);
  }

  std::unique_ptr<optim::Optimizer> descent() const {
    return std::make_unique<optim::Sgd>(network.parameter_values(),
                                        optim::SgdOptions{.lr = 1e-4, .momentum = 0.9});
  }
  void step(optim::Optimizer& optimizer) const {
    optimizer.zero_grad();
    nn::Loss{}(network.forward(x), y).backward();
    optimizer.step();
  }
};

}  // namespace ritz::bench
