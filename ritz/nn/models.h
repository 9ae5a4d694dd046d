#pragma once
// The small models of the command line, by their description.
#include <string>

#include "ritz/nn/network.h"

namespace ritz::nn {

struct ModelOptions {
  std::vector<int64_t> input_shape;  // of one sample: [784], [28, 28] or [3, 32, 32]
  int64_t outputs = 10;  // classes; cnn, resnet and transformer need it, mlp states its own
  TensorOptions tensor;  // dtype (float32 default) and device
  uint64_t seed = 0;     // He initialisation from the library's own streams
};

/// `mlp:784-128-64-10`, `mlp:...:tanh`, `cnn:8-16-16`, `resnet:20`, `transformer:LAYERSxWIDTH`, or
/// the path of a TorchScript file. Throws InvalidArgument with the grammar where the text fits
/// none.
Network make_network(const std::string& description, const ModelOptions& options = {});

}  // namespace ritz::nn
