#pragma once
// Layers with libtorch's parameter names that can hand over their curvature (ritz/nn/capture.h)
// and, where the chain has a stage for them, describe themselves to the hand-written kernels
// (ritz/nn/chain.h).
//
//     #include "ritz/nn/layers.h"
//     #include <torch/types.h>
//     #include "ritz/nn/wrap.h"
//     int main() {
//       auto net = std::make_shared<ritz::nn::Sequential>();
//       net->add("0", std::make_shared<ritz::nn::Linear>(784, 64));
//       net->add("1", ritz::nn::make_activation(ritz::nn::Activation::tanh));
//       net->add("2", std::make_shared<ritz::nn::Linear>(64, 10));
//       ritz::nn::initialise(*net, /*seed=*/7);
//       const ritz::nn::Network network = ritz::nn::wrap(net, "my-net");
//       return network.parameter_count() == 784 * 64 + 64 + 64 * 10 + 10 ? 0 : 1;
//     }
#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ritz/nn/capture.h"
#include "ritz/nn/chain.h"

namespace ritz::nn {

/// Where a parameter stands in Network::parameters.
using ParameterIndex = std::map<const c10::TensorImpl*, int>;

/// A module from one tensor to one tensor.
class Layer : public torch::nn::Module {
 public:
  virtual Tensor forward(const Tensor& x) = 0;
  /// Appends the stages that compute this layer; false where the chain has none.
  virtual bool append_stages(Chain& chain, const ParameterIndex& index) const;
};

/// A layer with a weight and perhaps a bias of its own. Weights are left uninitialised (zero) until
/// `initialise`.
class ParameterLayer : public Layer, public CapturesCurvature {
 public:
  std::vector<Tensor> own_parameters() const override;
  Tensor weight, bias;  // bias undefined where the layer has none

 protected:
  void make_parameters(at::IntArrayRef weight_shape, int64_t bias_size,
                       const std::string& prefix = "");
};

/// y = x W^T + b over the last dimension; W [out, in].
class Linear : public ParameterLayer {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  Tensor input_rows(const Tensor& input) const override;
  Tensor output_rows(const Tensor& output_gradient) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
};

struct ConvOptions {
  int64_t kernel = 3, stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
};

/// x [n, in, l], W [out, in / groups, k].
class Conv1d : public ParameterLayer {
 public:
  Conv1d(int64_t in, int64_t out, ConvOptions options = {});
  Tensor forward(const Tensor& x) override;
  Tensor input_rows(const Tensor& input) const override;
  Tensor output_rows(const Tensor& output_gradient) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
  const ConvOptions options;
};

/// x [n, in, h, w], W [out, in / groups, k, k].
class Conv2d : public ParameterLayer {
 public:
  Conv2d(int64_t in, int64_t out, ConvOptions options = {});
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  Tensor input_rows(const Tensor& input) const override;
  Tensor output_rows(const Tensor& output_gradient) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
  const ConvOptions options;
};

/// Normalises the last dimension; weight and bias [width].
class LayerNorm : public ParameterLayer {
 public:
  explicit LayerNorm(int64_t width, double eps = 1e-5);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
  const double eps;
};

/// Normalises each channel of [n, c, h, w] (or [n, c, l], [n, c]); running statistics with momentum
/// 0.1, the unbiased variance, as libtorch's.
class BatchNorm2d : public ParameterLayer {
 public:
  explicit BatchNorm2d(int64_t channels, double eps = 1e-5);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
  Tensor running_mean, running_var, num_batches_tracked;
  const double eps;
};

/// Rows of the weight [count, width] by int64 index; x [n, ...] gives [n, ..., width].
class Embedding : public ParameterLayer {
 public:
  Embedding(int64_t count, int64_t width);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
};

/// x [n, t, w] plus learned positions; weight [t, w].
class PositionEmbedding : public ParameterLayer {
 public:
  PositionEmbedding(int64_t tokens, int64_t width);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
};

/// Multi-head self-attention, x [n, t, w] to the same; parameters named as libtorch's
/// MultiheadAttention: in_proj_weight [3w, w], in_proj_bias, out_proj.weight, out_proj.bias.
/// Softmax attention is written out in matrix products, so that it can be differentiated twice; its
/// own record is that of the input projection.
class SelfAttention : public ParameterLayer {
 public:
  SelfAttention(int64_t width, int64_t heads);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  Tensor input_rows(const Tensor& input) const override;
  Tensor output_rows(const Tensor& output_gradient) const override;
  std::vector<Tensor> sample_gradients(const Tensor& input, const Tensor& gradient) const override;
  const int64_t heads;

 private:
  std::shared_ptr<Linear> out_proj_;
};

/// A layer without parameters, described by its stage: activation, pooling, flatten, reshape,
/// transpose, mean over tokens.
class StageLayer : public Layer {
 public:
  explicit StageLayer(Stage stage) : stage_(std::move(stage)) {}
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;

 private:
  const Stage stage_;
};
inline std::shared_ptr<StageLayer> make_activation(Activation kind) {
  return std::make_shared<StageLayer>(ActivationStage{kind});
}

/// Layers in a row; each is a submodule under its name.
class Sequential : public Layer {
 public:
  Sequential& add(const std::string& name, std::shared_ptr<Layer> layer);
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;
  bool empty() const { return layers_.empty(); }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

/// y = body(x) + shortcut(x); no shortcut is the identity. Submodules are registered under the
/// names given, so that a block can carry the names of a published checkpoint.
class Residual : public Layer {
 public:
  using Part = std::pair<std::string, std::shared_ptr<Layer>>;
  explicit Residual(std::vector<Part> body, std::vector<Part> shortcut = {});
  Tensor forward(const Tensor& x) override;
  bool append_stages(Chain& chain, const ParameterIndex& index) const override;

 private:
  std::vector<std::shared_ptr<Layer>> body_, shortcut_;
};

/// The function itself: the one place that ties an Activation to libtorch. gelu is the exact one.
Tensor activate(Activation kind, const Tensor& x);

/// He et al. 2015: weights normal with variance 2 / fan_in, biases 0, norm weights 1, embeddings
/// normal with deviation 0.02. Each parameter draws from its own stream in float64, so that the
/// same seed gives the same weights, rounded, in every dtype and on every device.
void initialise(torch::nn::Module& module, uint64_t seed);

}  // namespace ritz::nn
