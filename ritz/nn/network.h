#pragma once
// What the rest of ritz needs of a network: its parameters, a forward function, and, where its
// structure is known, the chain of stages that the fast second-order kernels take. Built-in models,
// a user's torch::nn::Module and TorchScript files all become this.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/nn/capture.h"
#include "ritz/nn/chain.h"

namespace ritz::nn {

struct NamedTensor {
  std::string name;  // as in a state_dict: "layers.0.weight"
  Tensor value;
};

/// A network as a function of its parameters. Copies share the parameters.
struct Network {
  std::string description;              // "mlp:784-128-64-10:tanh", or the file it came from
  std::vector<NamedTensor> parameters;  // leaves that require grad, in state_dict order
  std::vector<NamedTensor> buffers;     // running statistics; saved with the parameters
  std::function<Tensor(const Tensor&)> forward;  // [n, ...] -> [n, outputs]
  std::function<void(bool)> set_training;  // batch norm and dropout; starts in evaluation mode
  std::function<bool()> is_training;
  std::shared_ptr<const Chain> chain;  // null where the structure is not known
  std::vector<LayerTap> layers;        // layers that can hand over inputs and output gradients
  std::shared_ptr<void> owner;         // keeps the module alive

  int64_t parameter_count() const;
  /// dtype and device of the parameters; InvalidArgument where they differ among themselves.
  TensorOptions options() const;
  std::vector<Tensor> parameter_values() const;
  /// All parameters as one vector [P], in order; a copy, detached.
  Tensor flat_parameters() const;
  /// Writes a vector [P] into the parameters.
  void set_flat_parameters(const Tensor& theta) const;
};

/// Puts the network into evaluation (or training) mode, and back at the end of its life.
class ModeGuard {
 public:
  ModeGuard(const Network& network, bool training);
  ~ModeGuard();
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  std::function<void(bool)> restore_;
  bool before_ = false;
};

}  // namespace ritz::nn
