#include "ritz/nn/detail/chain_parts.h"

#include <ATen/ThreadLocalState.h>
#include <torch/types.h>

#include <algorithm>

#include "ritz/base/parallel.h"

namespace ritz::nn::detail {
namespace {

template <class... Rules>
struct Overload : Rules... {
  using Rules::operator()...;
};

// Turns a chain into steps, folding channel affines into the dense step before them. The weights
// are made by the first call of `build` and shared by the following ones, one call for each part of
// the batch.
class Builder {
 public:
  Builder(const Network& network, bool training) : network_(network), training_(training) {
    int64_t offset = 0;
    for (const auto& parameter : network.parameters) {
      places_.push_back({parameter.value.detach(), offset});
      offset += parameter.value.numel();
    }
  }

  Sequence build(int64_t input_dim, int64_t lane) {
    next_ = 0;
    lane_ = lane;
    return sequence(*network_.chain, input_dim);
  }
  const std::vector<std::shared_ptr<Weights>>& weights() const { return weights_; }

 private:
  // `dim` follows the number of dimensions of what flows through.
  Sequence sequence(const Chain& chain, int64_t& dim) {
    Sequence steps;
    for (size_t i = 0; i < chain.size(); ++i) {
      const auto* affine = i + 1 < chain.size() && !training_
                               ? std::get_if<ChannelAffineStage>(&chain[i + 1])
                               : nullptr;
      std::visit(
          Overload{
              [&](const LinearStage& s) {
                // Dimension 1 is the channels' only where a sample is a vector.
                if (dim != 2) affine = nullptr;
                steps.add(linear_step(dense(s.weight, s.bias, affine, at::MemoryFormat::Contiguous),
                                      lane_));
                i += affine != nullptr;
              },
              [&](const Conv2dStage& s) {
                steps.add(conv_step(dense(s.weight, s.bias, affine, at::MemoryFormat::ChannelsLast),
                                    s, lane_));
                i += affine != nullptr;
              },
              [&](const ChannelAffineStage& s) {
                if (training_) {
                  return steps.add(batch_norm_step(plain(s.weight, s.bias), s, lane_));
                }
                steps.add(scale_step(dense(-1, -1, &s, at::MemoryFormat::Contiguous), lane_));
              },
              [&](const ActivationStage& s) {
                if (s.kind != Activation::identity) steps.add(activation_step(s.kind));
              },
              [&](const LayerNormStage& s) {
                steps.add(layer_norm_step(plain(s.weight, s.bias), s.eps, lane_));
              },
              [&](const AttentionStage& s) { steps.add(attention_step(s.heads)); },
              [&](const PositionStage& s) { steps.add(position_step(plain(s.weight, -1), lane_)); },
              [&](const EmbeddingStage& s) {
                steps.add(embedding_step(plain(s.weight, -1), lane_));
                ++dim;
              },
              [&](const TokenMeanStage&) {
                steps.add(token_mean_step());
                --dim;
              },
              [&](const TransposeStage&) { steps.add(transpose_step()); },
              [&](const AveragePoolStage& s) {
                steps.add(average_pool_step(s.kernel));
                if (s.kernel == 0) dim = 2;
              },
              [&](const MaxPoolStage& s) { steps.add(max_pool_step(s.kernel)); },
              [&](const FlattenStage&) {
                steps.add(reshape_step({-1}));
                dim = 2;
              },
              [&](const ReshapeStage& s) {
                steps.add(reshape_step(s.shape));
                dim = 1 + static_cast<int64_t>(s.shape.size());
              },
              [&](const ResidualStage& s) {
                auto body_dim = dim;
                auto body = sequence(s.body, body_dim);
                steps.add(residual_step(std::move(body), sequence(s.shortcut, dim)));
                dim = body_dim;
              }},
          chain[i]);
    }
    return steps;
  }

  std::shared_ptr<Weights> plain(int weight, int bias) {
    return dense(weight, bias, nullptr, at::MemoryFormat::Contiguous);
  }
  std::shared_ptr<Weights> dense(int weight, int bias, const ChannelAffineStage* affine,
                                 at::MemoryFormat format) {
    if (next_ == weights_.size()) {
      Weights::Source source{.weight = place(weight),
                             .bias = place(bias),
                             .gain = {},
                             .shift = {},
                             .mean = {},
                             .variance = {},
                             .format = format};
      if (affine) {
        source.gain = place(affine->weight);
        source.shift = place(affine->bias);
        source.mean = affine->mean.detach();
        source.variance = affine->variance.detach();
        source.eps = affine->eps;
      }
      source.channels = affine ? source.mean.size(0) : source.weight.value.size(0);
      weights_.push_back(std::make_shared<Weights>(std::move(source)));
    }
    return weights_[next_++];
  }

  ParameterPlace place(int index) const { return index < 0 ? ParameterPlace{} : places_.at(index); }

  const Network& network_;
  const bool training_;
  std::vector<ParameterPlace> places_;
  std::vector<std::shared_ptr<Weights>> weights_;
  size_t next_ = 0;
  int64_t lane_ = 0;
};

// The largest activation in numbers, the input aside.
int64_t widest(const Sequence& steps, const Tensor& input) {
  std::vector<Tensor> tensors;
  steps.kept(tensors);
  int64_t most = 1;
  for (const auto& t : tensors)
    if (t.defined() && t.storage().data() != input.storage().data())
      most = std::max(most, t.numel());
  return most;
}

// Whether a sample's outputs depend on the others of its batch.
bool couples_samples(const Chain& chain) {
  return std::any_of(chain.begin(), chain.end(), [](const Stage& stage) {
    if (const auto* s = std::get_if<ResidualStage>(&stage))
      return couples_samples(s->body) || couples_samples(s->shortcut);
    return std::holds_alternative<ChannelAffineStage>(stage);
  });
}

// Numbers in the largest tangent block. On the CPU 2 MB in float32: small enough for the outer
// cache to hold the few that one step touches and for the heap to hand the same pages out again,
// large enough for the products to run at their peak. An accelerator wants work for all its cores
// in one launch.
int64_t block_numbers(const Tensor& inputs) {
  return inputs.is_cpu() ? 1 << 19 : 1 << 26;
}

// On the CPU a batch is dealt to lanes that run side by side, each on one thread: that keeps all
// steps of a lane in its core's cache and every thread at work, where sharing out the single
// operations leaves what is not a product to one. Their number depends on the work alone, so the
// bits do not depend on the number of threads. A lane costs sums [k, P] of its own: it must have
// work to pay for that.
constexpr int64_t kLaneNumbers = 1 << 17;  // of the widest activation
constexpr int64_t kMostLanes = 8;

}  // namespace

ChainParts::ChainParts(const Network& network, const Tensor& inputs)
    : block_(block_numbers(inputs)) {
  const bool training = network.is_training && network.is_training();
  const bool whole = training && couples_samples(*network.chain);
  Builder builder(network, training);
  const int64_t n = inputs.size(0);
  int64_t count = 1;
  if (!whole) {
    auto trial = builder.build(inputs.dim(), 0);
    const auto sample = inputs.narrow(0, 0, 1).clone();
    trial.forward(sample);
    const int64_t numbers = n * widest(trial, sample);
    if (inputs.is_cpu()) lanes_ = std::clamp<int64_t>(numbers / kLaneNumbers, 1, kMostLanes);
    count = std::max(lanes_, numbers / block_);
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = n * i / count, end = n * (i + 1) / count;
    parts_.push_back({builder.build(inputs.dim(), i * lanes_ / count), begin, end - begin});
  }
  weights_ = builder.weights();
}

void ChainParts::for_each(const std::function<void(Part&)>& visit) {
  const auto count = static_cast<int64_t>(parts_.size());
  const auto run = [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < count; ++i)
      if (const int64_t lane = i * lanes_ / count; first <= lane && lane < last)
        visit(parts_[static_cast<size_t>(i)]);
  };
  if (lanes_ == 1) return run(0, 1);  // the operations share out themselves
  const at::ThreadLocalState state;   // gradient mode; who counts the memory
  parallel_for(0, lanes_, 1, [&](int64_t first, int64_t last) {
    const at::ThreadLocalStateGuard guard(state);
    run(first, last);
  });
}

void ChainParts::for_groups(int64_t k, const std::function<void(int64_t, int64_t)>& run) const {
  int64_t most = 1;
  for (const auto& part : parts_) most = std::max(most, part.numbers);
  const int64_t at_once = std::max<int64_t>(1, block_ / most);
  for (int64_t first = 0; first < k; first += at_once) run(first, std::min(at_once, k - first));
}

Tensor ChainParts::forward(Part& part, const Tensor& inputs) {
  const Tensor x = inputs.narrow(0, part.begin, part.size);
  Tensor z = part.steps.forward(x);
  part.numbers = widest(part.steps, x);
  return z;
}

Tensor ChainParts::forward_tangents(Part& part, const Tensor& outputs, const Block& block) {
  const auto Rz = part.steps.forward_tangent({}, block);
  return Rz.defined() ? Rz : at::zeros({block.k, part.size, outputs.size(1)}, outputs.options());
}

void ChainParts::start_gradient(bool where_mixed) {
  for (const auto& w : weights_)
    if (!where_mixed || w->mixes_gradient()) w->start_gradient(lanes_);
}
void ChainParts::finish_gradient() {
  for (const auto& w : weights_) w->finish_gradient();
}
void ChainParts::load_tangents(const Tensor& V) {
  for (const auto& w : weights_) w->load_tangents(V);
}
void ChainParts::start_products(int64_t k) {
  for (const auto& w : weights_) w->start_products(k, lanes_);
}
void ChainParts::add_gradient(const Tensor& out, double scale) const {
  for (const auto& w : weights_) w->add_gradient(out, scale);
}
void ChainParts::add_products(const Tensor& out, double scale, bool second_order) const {
  for (const auto& w : weights_) w->add_products(out, scale, second_order);
}

}  // namespace ritz::nn::detail
