#pragma once
// A network's structure as data: stages in the order of the forward pass, each naming its
// parameters by their index in Network::parameters (-1: none) and holding its buffers. The
// second-order kernels (ritz/nn/detail/chain_kernels.h) run forward, backward and their tangents
// over it by hand, with blocks of tangent vectors in one matrix product; a network without a chain
// goes through autograd instead.
#include <cstdint>
#include <variant>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::nn {

enum class Activation { identity, relu, tanh, gelu, sigmoid, softplus, silu };

/// y = x W^T + b;  W [out, in], b [out]
struct LinearStage {
  int weight = -1, bias = -1;
};
/// x [n, in, h, w], W [out, in / groups, kh, kw], b [out]
struct Conv2dStage {
  int weight = -1, bias = -1;
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
struct ActivationStage {
  Activation kind = Activation::relu;
};
/// Batch norm over dimension 1: y = (x - mean) / sqrt(variance + eps) w + b. In evaluation mode by
/// the running statistics, an affine; in training mode by the batch's, which moves the running ones
/// (and needs w and b).
struct ChannelAffineStage {
  int weight = -1, bias = -1;
  Tensor mean, variance;  // [c], the running statistics (shared with the module)
  double eps = 1e-5;
  double momentum = 0.1;
  Tensor count = {};  // int64 scalar: batches seen in training mode; may be undefined
};
/// y = (x - mean) / sqrt(variance + eps) w + b, mean and variance over the last dimension
struct LayerNormStage {
  int weight = -1, bias = -1;
  double eps = 1e-5;
};
/// Softmax attention: x [n, t, 3 w] holds queries, keys and values, each of `heads` heads of width
/// w / heads; y [n, t, w] = softmax(Q K^T / sqrt(w / heads)) V
struct AttentionStage {
  int64_t heads = 1;
};
/// y = x + W, W in the shape of one sample
struct PositionStage {
  int weight = -1;
};
/// x [n, ...] int64, y [n, ..., w] rows of W [count, w]; the first stage
struct EmbeddingStage {
  int weight = -1;
};
/// [n, t, ...] -> [n, ...]: mean over dimension 1
struct TokenMeanStage {};
/// [n, a, b, ...] -> [n, b, a, ...]
struct TransposeStage {};
struct AveragePoolStage {
  int64_t kernel = 2;  // kernel = stride, no padding; 0: global, [n, c, h, w] -> [n, c]
};
struct MaxPoolStage {
  int64_t kernel = 2;  // kernel = stride, no padding
};
/// [n, ...] -> [n, product]
struct FlattenStage {};
/// [n, ...] -> [n, shape...]
struct ReshapeStage {
  std::vector<int64_t> shape;
};
struct ResidualStage;

using Stage =
    std::variant<LinearStage, Conv2dStage, ActivationStage, ChannelAffineStage, LayerNormStage,
                 AttentionStage, PositionStage, EmbeddingStage, TokenMeanStage, TransposeStage,
                 AveragePoolStage, MaxPoolStage, FlattenStage, ReshapeStage, ResidualStage>;
using Chain = std::vector<Stage>;

/// y = body(x) + shortcut(x); an empty shortcut is the identity
struct ResidualStage {
  std::vector<Stage> body, shortcut;
};

}  // namespace ritz::nn
