// Layers without parameters of their own: stages, rows of layers, residual blocks; and
// initialisation.
#include <torch/types.h>

#include <string_view>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/layers.h"

namespace ritz::nn {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

Tensor run(const std::vector<std::shared_ptr<Layer>>& layers, Tensor x) {
  for (const auto& layer : layers) x = layer->forward(x);
  return x;
}

bool append_all(const std::vector<std::shared_ptr<Layer>>& layers, Chain& chain,
                const ParameterIndex& index) {
  for (const auto& layer : layers) {
    if (!layer->append_stages(chain, index)) return false;
  }
  return true;
}

}  // namespace

Tensor activate(Activation kind, const Tensor& x) {
  switch (kind) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x.relu();
    case Activation::tanh:
      return x.tanh();
    case Activation::gelu:
      return at::gelu(x);
    case Activation::sigmoid:
      return x.sigmoid();
    case Activation::softplus:
      return at::softplus(x);
    case Activation::silu:
      return at::silu(x);
  }
  throw InvalidArgument("activation", "a known kind", std::to_string(static_cast<int>(kind)));
}

Tensor StageLayer::forward(const Tensor& x) {
  return std::visit(
      Overloaded{[&](const ActivationStage& s) { return activate(s.kind, x); },
                 [&](const AveragePoolStage& s) {
                   return s.kernel == 0 ? x.mean({2, 3}) : at::avg_pool2d(x, {s.kernel, s.kernel});
                 },
                 [&](const MaxPoolStage& s) {
                   return at::max_pool2d(x, {s.kernel, s.kernel});
                 },
                 [&](const FlattenStage&) { return x.flatten(1); },
                 [&](const TokenMeanStage&) { return x.mean(1); },
                 [&](const TransposeStage&) { return x.transpose(1, 2); },
                 [&](const ReshapeStage& s) {
                   std::vector<int64_t> shape{x.size(0)};
                   shape.insert(shape.end(), s.shape.begin(), s.shape.end());
                   return x.reshape(shape);
                 },
                 [](const auto&) -> Tensor {
                   throw InvalidArgument("stage", "one without parameters", "one with parameters");
                 }},
      stage_);
}

bool StageLayer::append_stages(Chain& chain, const ParameterIndex&) const {
  chain.push_back(stage_);
  return true;
}

Sequential& Sequential::add(const std::string& name, std::shared_ptr<Layer> layer) {
  layers_.push_back(register_module(name, std::move(layer)));
  return *this;
}

Tensor Sequential::forward(const Tensor& x) {
  return run(layers_, x);
}

bool Sequential::append_stages(Chain& chain, const ParameterIndex& index) const {
  return append_all(layers_, chain, index);
}

Residual::Residual(std::vector<Part> body, std::vector<Part> shortcut) {
  for (auto& [name, layer] : body) body_.push_back(register_module(name, std::move(layer)));
  for (auto& [name, layer] : shortcut) shortcut_.push_back(register_module(name, std::move(layer)));
}

Tensor Residual::forward(const Tensor& x) {
  return run(body_, x) + run(shortcut_, x);
}

bool Residual::append_stages(Chain& chain, const ParameterIndex& index) const {
  ResidualStage stage;
  if (!append_all(body_, stage.body, index) || !append_all(shortcut_, stage.shortcut, index)) {
    return false;
  }
  chain.emplace_back(std::move(stage));
  return true;
}

void initialise(torch::nn::Module& module, uint64_t seed) {
  torch::NoGradGuard no_grad;
  uint64_t count = 0;
  const auto fill = [&](const Tensor& weight, double sd) {
    RandomStream random(seed, stream_id("nn/initialise", count));
    weight.copy_(random.normal(weight.sizes(), TensorOptions(at::kDouble), 0, sd));
  };
  for (const auto& part : module.modules()) {
    auto* layer = dynamic_cast<ParameterLayer*>(part.get());
    if (layer == nullptr) continue;
    const Tensor& weight = layer->weight;
    if (weight.dim() == 1) {  // the norms
      weight.fill_(1);
    } else if (dynamic_cast<Embedding*>(layer) || dynamic_cast<PositionEmbedding*>(layer)) {
      fill(weight, 0.02);
    } else {
      const auto fan_in = static_cast<double>(weight.numel() / weight.size(0));
      fill(weight, std::sqrt(2 / fan_in));
    }
    if (layer->bias.defined()) layer->bias.zero_();
    ++count;
  }
}

}  // namespace ritz::nn
