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
/// Batch norm in evaluation mode: y = (x - mean) / sqrt(variance + eps) w + b
struct ChannelAffineStage {
  int weight = -1, bias = -1;
  Tensor mean, variance;  // [c], the running statistics (shared with the module)
  double eps = 1e-5;
};
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
    std::variant<LinearStage, Conv2dStage, ActivationStage, ChannelAffineStage, AveragePoolStage,
                 MaxPoolStage, FlattenStage, ReshapeStage, ResidualStage>;
using Chain = std::vector<Stage>;

/// y = body(x) + shortcut(x); an empty shortcut is the identity
struct ResidualStage {
  std::vector<Stage> body, shortcut;
};

}  // namespace ritz::nn
