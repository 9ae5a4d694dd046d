#pragma once
// Layers that hand over what Kronecker-factored and per-sample methods need of a backward pass:
// their inputs and the gradients of the loss at their outputs.
#include <memory>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::nn {

/// A layer with parameters that can record, for each call of its forward function, its input and,
/// once the backward pass has run, the gradient at its output. Off by default, and then free: no
/// hook is set.
///
///     for (auto& tap : network.layers) tap.layer->capture(true);
///     loss(network.forward(x), y).backward();
///     for (auto& tap : network.layers) use(tap.layer->inputs()[0],
///     tap.layer->output_gradients()[0]); for (auto& tap : network.layers) tap.layer->release(); //
///     after the step; capturing stays on
///
/// A layer called several times in one pass (shared weights) has one entry a call, in order. The
/// gradients are those of the loss that was differentiated: under a mean over n samples, 1/n of the
/// per-sample ones.
class CapturesCurvature {
 public:
  virtual ~CapturesCurvature() = default;

  /// Turns recording on or off; off also releases what was recorded.
  void capture(bool on);
  bool capturing() const { return capturing_; }
  /// Forgets what was recorded. Without it the records of the next pass are appended.
  void release();
  /// One tensor a forward call, detached.
  const std::vector<Tensor>& inputs() const;
  /// One tensor a forward call; undefined until its backward pass has run.
  const std::vector<Tensor>& output_gradients() const;

  /// The layer's own parameters, `weight` before `bias`; a missing bias is left out.
  virtual std::vector<Tensor> own_parameters() const = 0;
  /// The input as rows of the weight's matrix form, [n, positions, in]: patches for a convolution,
  /// tokens for a sequence. Throws Unsupported for layers whose weight is no matrix (norms, grouped
  /// kernels).
  virtual Tensor input_rows(const Tensor& input) const;
  /// The output gradient as [n, positions, out], the partner of `input_rows`.
  virtual Tensor output_rows(const Tensor& output_gradient) const;
  /// Gradients of sum_i loss_i for each own parameter and each sample i, [n, numel], in closed form
  /// from one call's input and output gradient.
  virtual std::vector<Tensor> sample_gradients(const Tensor& input,
                                               const Tensor& output_gradient) const = 0;

 protected:
  /// Called by forward functions: records input and output where capturing, and returns the output.
  Tensor record(const Tensor& input, Tensor output);

 private:
  friend class CaptureScope;
  struct Records {
    std::vector<Tensor> inputs, gradients;
  };
  bool capturing_ = false;
  std::shared_ptr<Records> records_;
};

/// A capturing layer of a network and where its own parameters stand in Network::parameters.
struct LayerTap {
  std::string name;  // of the module: "layers.0"
  std::shared_ptr<CapturesCurvature> layer;
  std::vector<int> parameters;  // in the order of own_parameters()
};

/// Captures into fresh records for its lifetime, then puts back what the layers had before: for
/// functions that need records of their own beside those of a training loop.
class CaptureScope {
 public:
  explicit CaptureScope(const std::vector<LayerTap>& layers);
  ~CaptureScope();
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;

 private:
  struct Saved {
    std::shared_ptr<CapturesCurvature> layer;
    bool capturing;
    std::shared_ptr<CapturesCurvature::Records> records;
  };
  std::vector<Saved> saved_;
};

}  // namespace ritz::nn
