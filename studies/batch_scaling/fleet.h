#pragma once
// A fleet of equal small networks trained side by side on the same batches, each with a learning
// rate of its own: a grid of learning rates in one sequence of block products instead of a loop.
#include <cstdint>
#include <vector>

#include "ritz/nn/network.h"

namespace ritz::studies {

/// G copies of a multilayer perceptron (linear layers with biases, tanh or ReLU between them,
/// softmax cross-entropy). Parameters are [G, ...]; the gradient is written out by hand.
class Fleet {
 public:
  enum class Activation { tanh, relu };

  Fleet(const nn::Network& start, int64_t copies, Activation activation);

  /// Mean loss of each copy over X [n, in], y [n]: [G] float64.
  Tensor losses(const Tensor& X, const Tensor& y) const;
  /// theta <- theta - lr v, v <- momentum v + gradient; lr and momentum [G].
  void sgd_step(const Tensor& X, const Tensor& y, const Tensor& lr, const Tensor& momentum);
  void sgd_step(const Tensor& X, const Tensor& y, const Tensor& lr);
  /// The parameters of one copy as one vector [P], in the network's order.
  Tensor flat_parameters(int64_t copy) const;
  /// Adam with betas (0.9, 0.999), eps 1e-8; lr [G].
  void adam_step(const Tensor& X, const Tensor& y, const Tensor& lr);

 private:
  /// Activations of each layer [G, n, width], the last being the outputs.
  std::vector<Tensor> forward(const Tensor& X) const;
  std::vector<Tensor> gradient(const Tensor& X, const Tensor& y) const;

  std::vector<Tensor> parameters_;      // weight [G, out, in], bias [G, out], layer by layer
  std::vector<Tensor> first_, second_;  // moments
  int64_t steps_ = 0;
  Activation activation_;
};

/// The largest learning rate whose copy succeeded; NaN where none did. `lrs` ascending, `success`
/// [G] bool.
double largest_success(const std::vector<double>& lrs, const Tensor& success);

/// low, low ratio, low ratio^2, ..., up to high.
std::vector<double> geometric_grid(double low, double high, double ratio);

/// Least-squares slope of log y on log x over the points where both are positive and finite.
double log_slope(const std::vector<double>& x, const std::vector<double>& y);

double geometric_mean(const std::vector<double>& x);

}  // namespace ritz::studies
