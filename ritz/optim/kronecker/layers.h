#pragma once
// What the Kronecker-factored optimisers (MKOR, K-FAC, Eva, SNGD, HyLo) see of a layer: its
// parameters as one matrix, and the rows that make up that matrix's gradient.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ritz/nn/network.h"

namespace ritz::optim {

/// The rows behind one step's gradient of one layer, over all uses of the layer and all
/// micro-batches. Invariant: the gradient of X = [W b] is G^T A / scale, where the loss is the mean
/// over the step's samples.
///
/// A sample is an image of a convolution and a token of a sequence: (n, t, d) is (n t, d) for a
/// linear layer. A convolution's row is a patch, and a sample has a row for each position.
struct LayerSamples {
  Tensor inputs;            // A [n t, i']; the last column is 1 where the layer has a bias
  Tensor output_gradients;  // G [n t, o]; of the sample's own loss: the mean is undone
  int64_t samples = 0;      // n, uses counted apart
  int64_t positions = 1;    // t; 0 where maps of several sizes went through a convolution
  double scale = 1;         // samples of the step; uses are no samples here
};

/// A layer (or several that share their parameters) as the matrix X = [W b], [o, i']: kernels are
/// flattened to [o, c k k], the bias is the last column.
class KroneckerLayer {
 public:
  KroneckerLayer(std::string name, std::shared_ptr<nn::CapturesCurvature> layer);

  const std::string& name() const { return name_; }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }  // undefined where there is none
  int64_t outputs() const { return weight_.size(0); }
  int64_t inputs() const { return weight_.numel() / weight_.size(0) + (bias_.defined() ? 1 : 0); }
  bool convolution() const { return weight_.dim() > 2; }

  /// dL/dX [o, i'], a copy where the layer has a bias; undefined where a gradient is missing.
  Tensor gradient() const;
  /// Writes scale D, D [o, i'], into the gradients of weight and bias.
  void set_gradient(const Tensor& D, double scale = 1) const;

  /// Another layer with the same parameters: its calls are uses of this one.
  void add_part(std::shared_ptr<nn::CapturesCurvature> layer);

  void capture(bool on) const;
  /// Forgets what was recorded; recording goes on.
  void release() const;
  /// What was recorded since the last release, calls whose backward pass did not run left out;
  /// nothing where there is no other. The loss was `loss_scale` times what is trained on, and its
  /// mean was taken over the samples of all `micro_batches` together. Throws InvalidArgument where
  /// a call had no samples.
  std::optional<LayerSamples> samples(int64_t micro_batches, double loss_scale) const;

 private:
  std::string name_;
  std::vector<std::shared_ptr<nn::CapturesCurvature>> parts_;
  Tensor weight_, bias_;
};

/// The layers of a network that can be preconditioned, and what is left.
struct KroneckerLayers {
  std::vector<KroneckerLayer> layers;
  std::vector<std::string> excluded;     // by `exclude`
  std::vector<std::string> first_order;  // modules of other kinds that have parameters
};

/// Linear, Conv1d and Conv2d of one group, and SelfAttention's input projection, and any layer of
/// the user's own whose weight is a matrix. `exclude` holds names or patterns (`*`, `?`) of
/// modules. Throws Unsupported where the network has no such layer (a TorchScript file has none),
/// InvalidArgument where a pattern matches nothing or all are excluded.
KroneckerLayers find_kronecker_layers(const nn::Network& network,
                                      const std::vector<std::string>& exclude = {});

/// Does `name` match `pattern`, in which * stands for any text and ? for any character?
bool matches_pattern(std::string_view pattern, std::string_view name);

}  // namespace ritz::optim
