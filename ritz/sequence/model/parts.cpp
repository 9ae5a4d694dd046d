#include "ritz/sequence/model/parts.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/base/random.h"
#include "ritz/sequence/model/lengths.h"

namespace ritz::sequence {

Dropout::Dropout(double p, uint64_t seed, uint64_t index, int rank)
    : p_(p),
      seed_(seed),
      index_(stream_id("sequence/dropout/layer", index + 65536ULL * static_cast<uint64_t>(rank))) {
  check_in("dropout", p, 0, 1);
  if (p == 1) throw InvalidArgument("dropout", "a share below 1", "1");
  if (p > 0) passes_ = register_buffer("passes", at::zeros({}, at::kLong));
}

Tensor Dropout::forward(const Tensor& x) {
  if (p_ == 0 || !is_training()) return x;
  const auto pass = static_cast<uint64_t>(passes_.item<int64_t>());
  passes_.add_(1);
  RandomStream random(seed_,
                      stream_id("sequence/dropout", index_ ^ (pass * 0x9e3779b97f4a7c15ULL)));
  const Tensor kept = random.uniform(x.sizes(), x.options().requires_grad(false)).ge_(p_);
  return x * kept.mul_(1 / (1 - p_));
}

StepNorm::StepNorm(int64_t width, double momentum, double eps) : momentum_(momentum), eps_(eps) {
  check_in("momentum", momentum, 0, 1);
  weight = register_parameter("weight", at::ones({width}));
  bias = register_parameter("bias", at::zeros({width}));
  running_mean = register_buffer("running_mean", at::zeros({width}));
  running_var = register_buffer("running_var", at::ones({width}));
}

Tensor StepNorm::forward(const Tensor& x, const Tensor& lengths) {
  Tensor mean = running_mean, variance = running_var;
  if (is_training()) {
    Tensor rows = x.reshape({-1, x.size(-1)});
    if (lengths.defined()) {
      rows = rows.index_select(0, length_mask(lengths, x.size(1)).view({-1}).nonzero().squeeze(1));
    }
    const auto count = static_cast<double>(rows.size(0));
    std::tie(variance, mean) = at::var_mean(rows, at::IntArrayRef{0}, /*unbiased=*/false);
    const at::NoGradGuard no_graph;
    const double unbiased = count > 1 ? count / (count - 1) : 1;
    running_mean.mul_(momentum_).add_(mean, 1 - momentum_);
    running_var.mul_(momentum_).add_(variance, (1 - momentum_) * unbiased);
  }
  const Tensor scale = weight * (variance + eps_).rsqrt();
  return at::addcmul(bias - mean * scale, x, scale);
}

MixingLayer::MixingLayer(Mixing kind, int64_t width, double dropout, uint64_t seed,
                         uint64_t first_index, int rank)
    : kind_(kind) {
  if (kind != Mixing::gelu) {
    const int64_t out = kind == Mixing::full_glu ? 2 * width : width;
    linear_ = register_module("linear", std::make_shared<nn::Linear>(width, out));
  }
  inner_ = register_module("inner", std::make_shared<Dropout>(dropout, seed, first_index, rank));
  outer_ =
      register_module("outer", std::make_shared<Dropout>(dropout, seed, first_index + 1, rank));
}

Tensor MixingLayer::forward(const Tensor& x) {
  const Tensor g = inner_->forward(at::gelu(x));
  switch (kind_) {
    case Mixing::gelu:
      return g;
    case Mixing::full_glu:
      return outer_->forward(at::glu(linear_->forward(g), -1));
    case Mixing::half_glu1:
      return outer_->forward(g * linear_->forward(g).sigmoid());
    case Mixing::half_glu2:
      break;
  }
  return outer_->forward(x * linear_->forward(g).sigmoid());
}

void initialise_linear(torch::nn::Module& module, uint64_t seed) {
  const at::NoGradGuard no_graph;
  uint64_t count = 0;
  for (const auto& part : module.modules(/*include_self=*/false)) {
    RandomStream random(seed, stream_id("sequence/initialise", count));
    const TensorOptions f64(at::kDouble);
    if (auto* linear = dynamic_cast<nn::Linear*>(part.get())) {
      const double bound = 1 / std::sqrt(static_cast<double>(linear->weight.size(1)));
      linear->weight.copy_(random.uniform(linear->weight.sizes(), f64, -bound, bound));
      if (linear->bias.defined()) {
        linear->bias.copy_(random.uniform(linear->bias.sizes(), f64, -bound, bound));
      }
    } else if (auto* embedding = dynamic_cast<nn::Embedding*>(part.get())) {
      embedding->weight.copy_(random.normal(embedding->weight.sizes(), f64));
    } else if (auto* norm = dynamic_cast<nn::LayerNorm*>(part.get())) {
      norm->weight.fill_(1);
      norm->bias.zero_();
      continue;
    } else {
      continue;
    }
    ++count;
  }
}

}  // namespace ritz::sequence
