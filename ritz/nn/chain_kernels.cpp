#include "ritz/nn/detail/chain_kernels.h"

#include <ATen/ThreadLocalState.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/parallel.h"
#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {

Tensor Sequence::forward(Tensor x) {
  for (const auto& step : steps_) x = step->forward(std::move(x));
  return x;
}

Tensor Sequence::backward(Tensor dy, bool wanted) {
  for (size_t i = steps_.size(); i-- > 0;) {
    const bool below = wanted || std::any_of(steps_.begin(), steps_.begin() + i,
                                             [](const auto& s) { return s->has_parameters(); });
    dy = steps_[i]->backward(std::move(dy), below);
    if (!below) return {};
  }
  return dy;
}

Tensor Sequence::forward_tangent(Tensor Rx, const Block& block) {
  for (const auto& step : steps_) Rx = step->forward_tangent(std::move(Rx), block);
  return Rx;
}

Tensor Sequence::backward_tangent(Tensor Rdy, const Block& block, bool wanted) {
  for (size_t i = steps_.size(); i-- > 0;) {
    const bool below = wanted || std::any_of(steps_.begin(), steps_.begin() + i,
                                             [](const auto& s) { return s->has_parameters(); });
    Rdy = steps_[i]->backward_tangent(std::move(Rdy), block, below);
    if (!below) return {};
  }
  return Rdy;
}

bool Sequence::has_parameters() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const auto& s) { return s->has_parameters(); });
}

void Sequence::kept(std::vector<Tensor>& tensors) const {
  for (const auto& step : steps_) step->kept(tensors);
}

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
  explicit Builder(const Network& network) : network_(network) {
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
      const auto* affine =
          i + 1 < chain.size() ? std::get_if<ChannelAffineStage>(&chain[i + 1]) : nullptr;
      std::visit(
          Overload{[&](const LinearStage& s) {
                     // Dimension 1 is the channels' only where a sample is a vector.
                     if (dim != 2) affine = nullptr;
                     steps.add(linear_step(
                         dense(s.weight, s.bias, affine, at::MemoryFormat::Contiguous), lane_));
                     i += affine != nullptr;
                   },
                   [&](const Conv2dStage& s) {
                     steps.add(
                         conv_step(dense(s.weight, s.bias, affine, at::MemoryFormat::ChannelsLast),
                                   s, lane_));
                     i += affine != nullptr;
                   },
                   [&](const ChannelAffineStage& s) {
                     steps.add(scale_step(dense(-1, -1, &s, at::MemoryFormat::Contiguous), lane_));
                   },
                   [&](const ActivationStage& s) {
                     if (s.kind != Activation::identity) steps.add(activation_step(s.kind));
                   },
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
  std::vector<ParameterPlace> places_;
  std::vector<std::shared_ptr<Weights>> weights_;
  size_t next_ = 0;
  int64_t lane_ = 0;
};

// The largest activation of one sample, in numbers, the input aside.
int64_t widest(const Sequence& steps, const Tensor& input) {
  std::vector<Tensor> tensors;
  steps.kept(tensors);
  int64_t most = 1;
  for (const auto& t : tensors)
    if (t.defined() && t.storage().data() != input.storage().data())
      most = std::max(most, t.numel() / t.size(0));
  return most;
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

class ChainDerivatives final : public BatchDerivatives {
 public:
  ChainDerivatives(const Network& network, const Loss& loss, const Tensor& inputs,
                   const Tensor& targets, Product product)
      : loss_(loss), block_(block_numbers(inputs)) {
    const at::NoGradGuard no_grad;
    Builder builder(network);
    const int64_t n = inputs.size(0);
    auto trial = builder.build(inputs.dim(), 0);
    const auto sample = inputs.narrow(0, 0, 1).clone();
    trial.forward(sample);
    width_ = widest(trial, sample);
    weights_ = builder.weights();
    if (inputs.is_cpu()) lanes_ = std::clamp<int64_t>(n * width_ / kLaneNumbers, 1, kMostLanes);
    const bool backward = product == Product::hessian;
    for (const auto& w : weights_)
      if (backward && w->wants_gradient()) w->start_gradient(lanes_);

    const int64_t parts = std::max(lanes_, n * width_ / block_);
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t begin = n * i / parts, end = n * (i + 1) / parts;
      parts_.push_back({builder.build(inputs.dim(), i * lanes_ / parts),
                        begin,
                        end - begin,
                        {},
                        targets.slice(0, begin, end)});
    }
    for_parts([&](Part& part) {
      part.outputs = part.steps.forward(inputs.narrow(0, part.begin, part.size));
      if (backward) part.steps.backward(loss.output_gradient(part.outputs, part.targets), false);
    });
    std::vector<Tensor> outputs;
    for (const auto& part : parts_) outputs.push_back(part.outputs);
    outputs_ = at::cat(outputs);
    for (const auto& w : weights_) w->finish_gradient();
  }

  const Tensor& outputs() const override { return outputs_; }

  void add_hessian_products(const Tensor& V, const Tensor& out, double scale) override {
    const at::NoGradGuard no_grad;
    for_groups(V.size(0), [&](int64_t first, int64_t k) {
      start(V.narrow(0, first, k), true);
      const Block block{k, true};
      for_parts([&](Part& part) {
        const auto Rz = tangents(part, block);
        part.steps.backward_tangent(loss_.output_hessian_product(part.outputs, Rz), block, false);
      });
      finish(out.narrow(0, first, k), scale, true);
    });
  }

  Tensor jacobian_products(const Tensor& V) override {
    const at::NoGradGuard no_grad;
    const auto Jv = at::empty({V.size(0), outputs_.size(0), outputs_.size(1)}, outputs_.options());
    for_groups(V.size(0), [&](int64_t first, int64_t k) {
      start(V.narrow(0, first, k), false);
      const auto group = Jv.narrow(0, first, k);
      for_parts([&](Part& part) {
        group.narrow(1, part.begin, part.size).copy_(tangents(part, {k, false}));
      });
    });
    return Jv;
  }

  void add_output_products(const Tensor& W, const Tensor& out, double scale) override {
    const at::NoGradGuard no_grad;
    for_groups(W.size(0), [&](int64_t first, int64_t k) {
      for (const auto& w : weights_) w->start_products(k, lanes_);
      const auto group = W.narrow(0, first, k);
      for_parts([&](Part& part) {
        part.steps.backward_tangent(group.narrow(1, part.begin, part.size), {k, false}, false);
      });
      finish(out.narrow(0, first, k), scale, false);
    });
  }

 private:
  struct Part {
    Sequence steps;
    int64_t begin, size;  // samples
    Tensor outputs, targets;
  };

  // Visits the parts, those of different lanes at the same time.
  template <class Visit>
  void for_parts(const Visit& visit) {
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

  // As many tangents at once as keep a block within its size.
  template <class Run>
  void for_groups(int64_t k, const Run& run) const {
    const int64_t n = (outputs_.size(0) + static_cast<int64_t>(parts_.size()) - 1) /
                      static_cast<int64_t>(parts_.size());
    const int64_t at_once = std::max<int64_t>(1, block_ / std::max<int64_t>(1, n * width_));
    for (int64_t first = 0; first < k; first += at_once) run(first, std::min(at_once, k - first));
  }

  void start(const Tensor& V, bool products) {
    for (const auto& w : weights_) {
      w->load_tangents(V);
      if (products) w->start_products(V.size(0), lanes_);
    }
  }
  void finish(const Tensor& out, double scale, bool second_order) const {
    for (const auto& w : weights_) w->add_products(out, scale, second_order);
  }

  // R z [k, n, c].
  static Tensor tangents(Part& part, const Block& block) {
    const auto Rz = part.steps.forward_tangent({}, block);
    return Rz.defined()
               ? Rz
               : at::zeros({block.k, part.size, part.outputs.size(1)}, part.outputs.options());
  }

  Loss loss_;
  int64_t block_;
  int64_t lanes_ = 1;
  std::vector<std::shared_ptr<Weights>> weights_;
  std::vector<Part> parts_;
  Tensor outputs_;
  int64_t width_ = 1;
};

}  // namespace

std::unique_ptr<BatchDerivatives> chain_derivatives(const Network& network, const Loss& loss,
                                                    const Tensor& inputs, const Tensor& targets,
                                                    Product product) {
  if (!network.chain) throw Unsupported("chain_derivatives: the network has no chain of stages");
  return std::make_unique<ChainDerivatives>(network, loss, inputs, targets, product);
}

}  // namespace ritz::nn::detail
