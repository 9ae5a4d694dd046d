#pragma once
// The small models of the command line, by their description.
#include <string>

#include "ritz/nn/network.h"

namespace ritz::nn {

struct ModelOptions {
  /// Of one sample. mlp flattens any shape whose product is its first width (empty: not checked).
  /// cnn and resnet take [C, H, W], [H, W] as one channel, and [D] as one channel where D is a
  /// square. transformer takes the rows of an image as its tokens: [H, W] is H tokens of W
  /// features, [C, H, W] is H tokens of C W, [D] a square image's rows; a sequence [T, F] is what
  /// it looks like.
  std::vector<int64_t> input_shape = {};
  int64_t outputs = 10;       // classes; cnn, resnet and transformer need it, mlp states its own
  TensorOptions tensor = {};  // dtype (float32 default) and device
  uint64_t seed = 0;          // He initialisation from the library's own streams
};

/// A network by its description, in evaluation mode:
///
/// - `mlp:784-128-64-10` or `mlp:784-64-10:tanh`: linear layers with ReLU (default), tanh, gelu,
/// sigmoid,
///   softplus, silu or identity between them;
/// - `cnn:8-16-16`: 3x3 convolutions with batch norm and ReLU; a change of width halves the image,
/// an equal
///   width is a residual layer; global average pooling and a linear layer end it;
/// - `resnet:20`: He et al. 2016, section 4.2: 6 n + 2 layers of widths 16, 32, 64; shortcuts that
/// change
///   the width are 1x1 convolutions with batch norm (option B, P = 2.7e5 for 20);
/// - `transformer:2x64`: pre-norm encoder of 2 blocks, width 64 (heads of 16 where that divides the
/// width,
///   else one), MLPs of twice the width with gelu, learned positions, mean over tokens, a linear
///   layer;
/// - the path of a TorchScript file (`load_torchscript`).
///
/// Throws InvalidArgument with the grammar where the text fits none, and with both shapes where
/// `input_shape` does not fit.
Network make_network(const std::string& description, const ModelOptions& options = {});

/// A TorchScript file as a Network: parameters that require grad, buffers, `train` and `eval`; no
/// chain and no layers. Floating parameters and buffers are converted to `options`' dtype and
/// device where it names one. Throws DataError where the file is none, Unsupported where it has no
/// parameters.
Network load_torchscript(const std::string& path, const TensorOptions& options = {});

/// "relu", "tanh", ..., as descriptions spell them.
Activation parse_activation(const std::string& name);

}  // namespace ritz::nn
