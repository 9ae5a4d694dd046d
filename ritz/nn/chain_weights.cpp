#include <torch/types.h>

#include <utility>

#include "ritz/nn/detail/chain_weights.h"

namespace ritz::nn::detail {
namespace {

// The rows of a block [k, P] that belong to one parameter, [k, shape...]; a view.
Tensor part_of(const Tensor& block, const ParameterPlace& place) {
  std::vector<int64_t> shape{block.size(0)};
  for (const auto size : place.value.sizes()) shape.push_back(size);
  return block.narrow(1, place.offset, place.value.numel()).view(shape);
}

// [k, out, in, h, w] with each tangent in the format a convolution likes.
Tensor in_format(const Tensor& block, at::MemoryFormat format) {
  if (format == at::MemoryFormat::Contiguous) return block.contiguous();
  return block.flatten(0, 1).contiguous(format).unflatten(0, {block.size(0), block.size(1)});
}

Tensor sum_but(const Tensor& block,
               int64_t kept) {  // sums over all dimensions behind the first `kept`
  return block.dim() > kept ? block.flatten(kept).sum(-1) : block;
}

void accumulate(Tensor& sum, const Tensor& term) {
  if (!term.defined()) return;
  sum = sum.defined() ? sum + term : term;
}

}  // namespace

Weights::Weights(Source source) : source_(std::move(source)) {
  const auto& s = source_;
  if (!s.mean.defined()) {
    value_ = s.weight.value.contiguous(s.format);
    bias_ = s.bias.value;
    return;
  }
  deviation_ = (s.variance + s.eps).rsqrt();
  gain_ = s.gain.defined() ? s.gain.value * deviation_ : deviation_;
  centred_bias_ = s.bias.defined() ? s.bias.value - s.mean : -s.mean;
  value_ = s.weight.defined() ? (per_channel(gain_) * s.weight.value).contiguous(s.format) : gain_;
  bias_ = gain_ * centred_bias_;
  if (s.shift.defined()) bias_ = bias_ + s.shift.value;
}

Tensor Weights::per_channel(const Tensor& of_channels) const {
  auto out = of_channels;
  for (int64_t d = 1; source_.weight.defined() && d < source_.weight.value.dim(); ++d)
    out = out.unsqueeze(-1);
  return out;
}

Weights::Sums Weights::total(std::vector<Sums> lanes) {
  Sums sum = std::move(lanes.front());
  for (size_t lane = 1; lane < lanes.size(); ++lane) {  // in order: the same bits each time
    sum.weight.add_(lanes[lane].weight);
    if (sum.bias.defined()) sum.bias.add_(lanes[lane].bias);
  }
  return sum;
}

void Weights::start_gradient(int64_t lanes) {
  for (int64_t lane = 0; lane < lanes; ++lane)
    gradients_.push_back({at::zeros_like(value_), at::zeros({source_.channels}, value_.options())});
}

void Weights::finish_gradient() {
  if (!gradients_.empty()) gradient_ = total(std::exchange(gradients_, {}));
}

void Weights::load_tangents(const Tensor& V) {
  const auto& s = source_;
  raw_tangent_ = s.weight.defined() ? part_of(V, s.weight) : Tensor();
  raw_bias_tangent_ = s.bias.defined() ? part_of(V, s.bias) : Tensor();
  if (!s.mean.defined()) {
    tangent_ = in_format(raw_tangent_, s.format);
    bias_tangent_ = raw_bias_tangent_;
    return;
  }
  gain_tangent_ = s.gain.defined() ? part_of(V, s.gain) * deviation_ : Tensor();
  tangent_ = bias_tangent_ = Tensor();
  if (raw_tangent_.defined()) {
    accumulate(tangent_, per_channel(gain_) * raw_tangent_);
    if (gain_tangent_.defined()) accumulate(tangent_, per_channel(gain_tangent_) * s.weight.value);
    tangent_ = in_format(tangent_, s.format);
  } else {
    tangent_ = gain_tangent_;
  }
  if (s.shift.defined()) accumulate(bias_tangent_, part_of(V, s.shift));
  if (gain_tangent_.defined()) accumulate(bias_tangent_, gain_tangent_ * centred_bias_);
  if (raw_bias_tangent_.defined()) accumulate(bias_tangent_, gain_ * raw_bias_tangent_);
}

void Weights::start_products(int64_t k, int64_t lanes) {
  std::vector<int64_t> shape{k * value_.size(0)};
  for (int64_t d = 1; d < value_.dim(); ++d) shape.push_back(value_.size(d));
  products_.clear();
  for (int64_t lane = 0; lane < lanes; ++lane) {
    auto zeros = at::zeros(shape, value_.options().memory_format(source_.format));
    products_.push_back(
        {zeros.unflatten(0, {k, value_.size(0)}),
         wants_bias_product() ? at::zeros({k, source_.channels}, value_.options()) : Tensor()});
  }
}

Weights::Pulled Weights::pulled(const Sums& sums) const {
  const auto& s = source_;
  Pulled out;
  if (!s.mean.defined()) {
    out.weight = sums.weight;
    if (s.bias.defined()) out.bias = sums.bias;
    return out;
  }
  if (s.weight.defined()) out.weight = per_channel(gain_) * sums.weight;
  if (s.bias.defined()) out.bias = gain_ * sums.bias;
  if (s.shift.defined()) out.shift = sums.bias;
  if (s.gain.defined()) {
    out.gain = sums.bias * centred_bias_;
    out.gain += s.weight.defined() ? sum_but(sums.weight * s.weight.value, 2) : sums.weight;
    out.gain *= deviation_;
  }
  return out;
}

void Weights::add(const Tensor& out, const Pulled& what, double scale) const {
  const std::pair<const ParameterPlace&, const Tensor&> places[] = {{source_.weight, what.weight},
                                                                    {source_.bias, what.bias},
                                                                    {source_.gain, what.gain},
                                                                    {source_.shift, what.shift}};
  for (const auto& [place, tensor] : places)
    if (tensor.defined()) part_of(out, place).add_(tensor, scale);
}

void Weights::add_gradient(const Tensor& out, double scale) const {
  add(out.unsqueeze(0), pulled({gradient_.weight.unsqueeze(0), gradient_.bias.unsqueeze(0)}),
      scale);
}

void Weights::add_products(const Tensor& out, double scale, bool second_order) {
  const auto& s = source_;
  if (!s.mean.defined()) {
    for (const auto& product : std::exchange(products_, {})) add(out, pulled(product), scale);
    return;
  }
  auto sum = pulled(total(std::exchange(products_, {})));
  if (second_order && gradient_.weight.defined()) {
    if (gain_tangent_.defined()) {
      if (s.weight.defined()) sum.weight += per_channel(gain_tangent_) * gradient_.weight;
      if (s.bias.defined()) sum.bias += gain_tangent_ * gradient_.bias;
    }
    if (s.gain.defined() && raw_tangent_.defined()) {
      auto mixed = sum_but(gradient_.weight * raw_tangent_, 2);
      if (raw_bias_tangent_.defined()) mixed += gradient_.bias * raw_bias_tangent_;
      sum.gain += mixed * deviation_;
    }
  }
  add(out, sum, scale);
}

}  // namespace ritz::nn::detail
