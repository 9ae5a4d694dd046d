// A ritz optimiser in a libtorch training loop of your own.
//
//     cmake --build build/release --target example_training_loop
//     build/release/examples/training_loop
//
// Every optimiser of ritz/optim is a torch::optim::Optimizer: nothing else in the loop changes.
// Beyond that each can hand over its whole state by name, so that a run goes on as if it had never
// stopped.
#include <torch/nn.h>
#include <torch/types.h>

#include <cmath>
#include <cstdio>
#include <numbers>

#include "ritz/base/random.h"
#include "ritz/optim/first_order.h"

// Step 1. Data: two interleaved spirals with a little noise; the numbers come from a stream of
// their own, so the run is the same every time.
struct Spirals {
  torch::Tensor points;  // [n, 2]
  torch::Tensor labels;  // [n]
};
Spirals make_spirals(int64_t n, uint64_t seed) {
  ritz::RandomStream random(seed, ritz::stream_id("example/spirals"));
  const auto labels = random.integers({n}, 0, 2);
  const auto along = random.uniform({n}, torch::kFloat32, 0.3, 3.0);
  const auto angle = 2.5 * along + labels * std::numbers::pi;
  const auto points = torch::stack({along * angle.cos(), along * angle.sin()}, 1);
  return {points + random.normal({n, 2}, torch::kFloat32, 0, 0.05), labels};
}

// Step 2. Any module will do.
torch::nn::Sequential make_network(uint64_t seed) {
  using torch::nn::Linear, torch::nn::Tanh;
  torch::nn::Sequential network(Linear(2, 32), Tanh(), Linear(32, 32), Tanh(), Linear(32, 2));
  ritz::RandomStream random(seed, ritz::stream_id("example/weights"));
  for (auto& weight : network->parameters()) {
    const double inputs = weight.dim() > 1 ? static_cast<double>(weight.size(1)) : 1;
    random.fill_normal(weight, 0, weight.dim() > 1 ? 1 / std::sqrt(inputs) : 0);
  }
  return network;
}

double accuracy(torch::nn::Sequential& network, const Spirals& data) {
  const torch::NoGradGuard no_grad;
  return network->forward(data.points)
      .argmax(1)
      .eq(data.labels)
      .to(torch::kFloat64)
      .mean()
      .item<double>();
}

int main() {
  const auto train = make_spirals(1000, 1), test = make_spirals(1000, 2);
  auto network = make_network(3);

  // Step 3. The optimiser: options by name, defaults for the rest.
  ritz::optim::Adam optimizer(network->parameters(),
                              {.lr = 1e-2, .weight_decay = 1e-3, .decoupled = true});

  // Step 4. The loop, as in any libtorch program.
  const int64_t batch = 100, epochs = 30;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const auto order =
        ritz::RandomStream(4, ritz::stream_id("example/order", static_cast<uint64_t>(epoch)))
            .permutation(train.labels.size(0));
    double sum = 0;
    for (const auto& rows : order.split(batch)) {
      optimizer.zero_grad();
      const auto outputs = network->forward(train.points.index_select(0, rows));
      const auto loss =
          torch::nn::functional::cross_entropy(outputs, train.labels.index_select(0, rows));
      loss.backward();
      optimizer.step();
      sum += loss.item<double>() * static_cast<double>(rows.size(0));
    }
    optimizer.set_lr(1e-2 * 0.5 *
                     (1 + std::cos(std::numbers::pi * static_cast<double>(epoch) / epochs)));
    if (epoch % 10 == 0) {
      std::printf("epoch %2ld   loss %.4f   accuracy %.3f (train) %.3f (test)\n",
                  static_cast<long>(epoch), sum / static_cast<double>(train.labels.size(0)),
                  accuracy(network, train), accuracy(network, test));
    }
  }

  // Step 5. A checkpoint is the parameters and this; ritz/io writes both to safetensors files.
  size_t bytes = 0;
  for (const auto& [name, value] : optimizer.state_dict()) bytes += value.nbytes();
  std::printf("optimiser state: %zu tensors, %zu bytes\n", optimizer.state_dict().size(), bytes);
  return accuracy(network, test) > 0.95 ? 0 : 1;
}
