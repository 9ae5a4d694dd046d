#pragma once
// Encoders and decoders of Koopman models, by their description.
//
//     #include "ritz/koopman/learned/networks.h"
//     #include <torch/types.h>
//     int main() {
//       const auto nets = ritz::koopman::learned::make_networks("mlp:64-16", {.sample = {48}, .latent = 8});
//       const auto z = nets.encoder->forward(torch::ones({5, 48}));
//       return z.size(1) == 8 && nets.decoder->forward(z).size(1) == 48 ? 0 : 1;
//     }
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ritz/base/random.h"
#include "ritz/nn/layers.h"

namespace ritz::koopman::learned {

/// The random numbers of a training step (dropout, samples of a variational latent): a pure
/// function of (seed, rank, step), whatever ran before.
class Noise {
 public:
  void start(uint64_t seed, uint64_t rank, uint64_t step);
  /// Standard normal, uniform on [0, 1). Before `start` they throw.
  Tensor normal(at::IntArrayRef shape, const TensorOptions& options);
  Tensor uniform(at::IntArrayRef shape, const TensorOptions& options);

 private:
  std::unique_ptr<RandomStream> stream_;
};

struct NetworkOptions {
  std::vector<int64_t> sample = {};  // shape of one frame: [D] or [C, H, W]
  int64_t latent = 16;               // d
  int64_t heads = 1;                 // numbers a latent coordinate: 2 where log deviations come too
  uint64_t seed = 0;                 // He initialisation
  double dropout = 0.1;              // conv: before the flattening, in training
};

struct Networks {
  std::shared_ptr<nn::Layer> encoder = {};  // [n, sample...] -> [n, heads d]
  std::shared_ptr<nn::Layer> decoder = {};  // [n, d] -> [n, sample...]
  /// Frames a call that keep the activations in the processor's caches; 0: all at once. Larger
  /// batches of a convolution only wait for memory.
  int64_t piece = 0;
  std::shared_ptr<Noise> noise = {};
};

/// - `mlp:64-16` or `mlp:64-16:tanh`: linear layers of these widths with ReLU (or another
/// activation)
///   between them, the decoder mirrored; `mlp` is `mlp:128-128`;
/// - `conv` or `conv:16-32-64-128-256` for frames [C, H, W] (paper): kernels 7, 5, 3, 3, ..., each
///   but the last with a 2x2 average pool, each with ReLU; dropout, flatten, linear. Decoder:
///   linear, ReLU, as many 3x3 convolutions back to C, all but the first behind a bilinear doubling
///   (of stride 1: convolutions and their transposes are one family), then 1x1 convolutions C -> 64
///   -> 32 -> C. H and W are multiples of 2^(number of widths - 1);
/// - `attention` or `attention:64` for frames [C, H, W], H and W multiples of 4: a 3x3 stem, a 4x4
///   convolution of stride 4, one block of attention along rows and then along columns, linear;
///   decoder: linear, ReLU, two transposed convolutions of stride 2 in sub-pixel form.
///
/// Throws InvalidArgument with the grammar or with both shapes where the text or the frames do not
/// fit.
Networks make_networks(const std::string& description, const NetworkOptions& options);

/// layer(x) in pieces of `piece` rows (0: all at once).
Tensor apply_in_pieces(nn::Layer& layer, const Tensor& x, int64_t piece);

}  // namespace ritz::koopman::learned
