#pragma once
// A model of whole sequences: encoder, residual blocks of a layer over time, pooling, decoder.
//
//   x_0 = encoder(u)                                       [n, L, d] or ids [n, L]  ->  [n, L, H]
//   z = layer(norm?(x)); x <- norm?(x + mixing(z))         each block; the norm before or after
//   outputs = decoder(pool(x))                             [n, outputs]
//
// with pool the mean over a sequence's length, or its last step. Pairs of documents a, b: both are
// encoded and pooled, then decoder(gelu(hidden([a, b, a - b, a b]))).
//
//     #include "ritz/sequence/model/model.h"
//     #include <torch/types.h>
//     int main() {
//       ritz::sequence::ModelOptions options{.channels = 3, .outputs = 2};
//       ritz::sequence::parse_model("s4d:2x8x16", options);
//       ritz::sequence::SequenceModel model(options);
//       model.eval();
//       const torch::NoGradGuard no_graph;
//       const auto u = torch::linspace(-1, 1, 4 * 30 * 3).view({4, 30, 3});
//       const auto lengths = torch::tensor({30, 12, 1, 7});
//       const auto whole = model.forward(u, lengths);
//       auto stream = model.stream(4);  // the same, a step at a time
//       torch::Tensor y;
//       for (int t = 0; t < 12; ++t) y = stream.push(u.select(1, t));
//       return torch::allclose(y[1], whole[1], 1e-4, 1e-5) ? 0 : 1;
//     }
#include <memory>
#include <optional>
#include <vector>

#include "ritz/base/random.h"
#include "ritz/nn/network.h"
#include "ritz/sequence/model/layer.h"
#include "ritz/sequence/model/options.h"

namespace ritz::sequence {

/// amplitude U cos(omega Delta_h t) on channel h of every layer's input, U uniform on [0, 1) for
/// each sample and channel: a narrow band at the frequency where a system resonates (sheet, study
/// B). Layers without a Delta of a channel take log-spaced ones from dt_min to dt_max.
struct Disturbance {
  double amplitude = 0;
  double omega = 0;
  uint64_t seed = 0;
};

class SequenceModel;

/// One residual block.
class SequenceBlock : public torch::nn::Module {
 public:
  SequenceBlock(const ModelOptions& options, int64_t index);
  /// x [n, L, H] to the same.
  Tensor forward(const Tensor& x, const Tensor& lengths, Mode mode);
  void disturb(std::optional<Disturbance> disturbance);
  std::shared_ptr<Layer> layer;

 private:
  friend class ModelStream;
  Tensor before(const Tensor& x, const Tensor& lengths);
  Tensor after(const Tensor& x, const Tensor& z, const Tensor& lengths);
  Tensor normalise(const Tensor& x, const Tensor& lengths);
  Tensor disturbed(const Tensor& z);

  const bool prenorm_, residual_;
  const int64_t index_;
  Tensor spare_steps_;  // [H] of layers that have none
  std::shared_ptr<nn::LayerNorm> layer_norm_;
  std::shared_ptr<StepNorm> step_norm_;
  std::shared_ptr<MixingLayer> mixing_;
  std::optional<Disturbance> disturbance_;
  std::optional<RandomStream> random_;  // of the disturbance: goes on from batch to batch
};

/// A model at work on streams: each pushed step is answered by the outputs for what has come so
/// far.
class ModelStream {
 public:
  /// u [n, channels], or ids [n] where the model has a vocabulary; gives [n, outputs].
  Tensor push(const Tensor& u);
  /// Begins new sequences.
  void reset();
  int64_t steps() const { return steps_; }
  /// With `steps`, all that it would take to go on elsewhere: the sum over steps [n, H], then each
  /// layer's tensors. Copies.
  std::vector<Tensor> state() const;
  void set_state(const std::vector<Tensor>& state, int64_t steps);

 private:
  friend class SequenceModel;
  ModelStream(SequenceModel& model, int64_t n);
  SequenceModel& model_;
  std::vector<std::unique_ptr<LayerStream>> layers_;
  Tensor sum_;  // [n, H]: over steps, for the mean
  int64_t steps_ = 0;
};

class SequenceModel : public torch::nn::Module {
 public:
  explicit SequenceModel(ModelOptions options);

  /// u [n, L, channels] or ids [n, L] (pairs: [n, 2, L, ...]); lengths int64 [n] (pairs [n, 2]) or
  /// undefined; gives [n, outputs]. Without a mode: the one that the layers are trained in.
  Tensor forward(const Tensor& u, const Tensor& lengths = {});
  Tensor forward(const Tensor& u, const Tensor& lengths, Mode mode);
  /// The same out of a packed batch (ritz/sequence/model/lengths.h).
  Tensor forward_packed(const Tensor& packed, std::optional<Mode> mode = {});

  /// n streams from here on; in evaluation mode. Unsupported for pairs and bidirectional models.
  ModelStream stream(int64_t n = 1);
  /// From now on, in every layer; nothing: no more.
  void disturb(std::optional<Disturbance> disturbance);
  /// The ways in which it can be computed, that of training first.
  std::vector<Mode> modes() const;
  /// As given, with the number of stored states that came of them: what a file needs to say.
  const ModelOptions& options() const { return options_; }

 private:
  friend class ModelStream;
  Tensor encode(const Tensor& u);
  Tensor decode(const Tensor& features);
  Tensor features(const Tensor& u, const Tensor& lengths, Mode mode);

  ModelOptions options_;
  std::shared_ptr<nn::Linear> encoder_, hidden_, decoder_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::vector<std::shared_ptr<SequenceBlock>> blocks_;
};

/// The model as a Network over packed batches, for training loops and model files.
nn::Network make_network(const std::shared_ptr<SequenceModel>& model);

/// The outputs [n, outputs] of many sequences, in evaluation mode and without a graph, `batch` at a
/// time; packed as in forward_packed.
Tensor predict(SequenceModel& model, const Tensor& packed, Mode mode, int64_t batch = 256);

}  // namespace ritz::sequence
