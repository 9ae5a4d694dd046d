#pragma once
// The parts of a residual block that know nothing of time: dropout from the library's own streams,
// norms that leave padding out of their statistics, and the mixing of channels after a layer.
//
// Mixing, over the last axis (H wide), g = dropout(gelu(x)) (sheet: S5's code; S4D's code):
//   gelu       g
//   full_glu   (W1 g + b1) * sigmoid(W2 g + b2)   S4D's 1x1 convolution to 2 H with its GLU is this
//   half_glu1  g * sigmoid(W2 g + b2)
//   half_glu2  x * sigmoid(W2 g + b2)
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "ritz/nn/layers.h"

namespace ritz::sequence {

enum class Mixing { gelu, full_glu, half_glu1, half_glu2 };
enum class Norm { layer, batch, none };

/// Zeroes a share p of the entries and scales the others by 1 / (1 - p), in training mode. The
/// pattern is a function of (seed, index, rank) and of how many passes there were, which is a
/// buffer of the module: a resumed run goes on with the pattern that an uninterrupted one would
/// have.
class Dropout : public torch::nn::Module {
 public:
  Dropout(double p, uint64_t seed, uint64_t index, int rank = 0);
  Tensor forward(const Tensor& x);

 private:
  double p_;
  uint64_t seed_, index_;
  Tensor passes_;  // int64 scalar
};

/// Batch norm over all steps of all sequences, x [n, L, H], that are within their lengths; in
/// evaluation mode (and over [n, H]) by the running statistics:
///   running <- momentum running + (1 - momentum) batch,
/// with the unbiased variance. Statistics are each process's own in data-parallel training.
class StepNorm : public torch::nn::Module {
 public:
  explicit StepNorm(int64_t width, double momentum = 0.9, double eps = 1e-5);
  Tensor forward(const Tensor& x, const Tensor& lengths = {});
  Tensor weight, bias, running_mean, running_var;

 private:
  double momentum_, eps_;
};

class MixingLayer : public torch::nn::Module {
 public:
  /// `first_index` numbers its two dropouts.
  MixingLayer(Mixing kind, int64_t width, double dropout, uint64_t seed, uint64_t first_index,
              int rank = 0);
  /// [..., H] -> [..., H]
  Tensor forward(const Tensor& x);

 private:
  Mixing kind_;
  std::shared_ptr<nn::Linear> linear_;  // null for gelu
  std::shared_ptr<Dropout> inner_, outer_;
};

/// Weights of all ritz::nn::Linear inside from U(-1/sqrt(in), 1/sqrt(in)), biases alike
/// (libtorch's); embeddings standard normal; each from its own stream of `seed`.
void initialise_linear(torch::nn::Module& module, uint64_t seed);

}  // namespace ritz::sequence
