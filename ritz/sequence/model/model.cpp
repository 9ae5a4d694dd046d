#include "ritz/sequence/model/model.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/nn/wrap.h"
#include "ritz/sequence/model/lengths.h"
#include "ritz/sequence/model/ssm_layers.h"

namespace ritz::sequence {

namespace {

/// Floating parameters and buffers into the options' dtype; counters stay whole numbers.
void convert(torch::nn::Module& module, const TensorOptions& options) {
  const auto dtype = c10::typeMetaToScalarType(options.dtype());
  for (const auto& list : {module.parameters(), module.buffers()}) {
    for (const Tensor& tensor : list) {
      Tensor handle = tensor;
      if (tensor.is_floating_point()) handle.set_data(tensor.detach().to(options.device(), dtype));
    }
  }
}

/// [n, ...] sums over the steps within each length.
Tensor sum_over_steps(const Tensor& x, const Tensor& lengths) {
  if (!lengths.defined()) return x.sum(1);
  const Tensor mask = length_mask(lengths, x.size(1)).to(x.scalar_type());
  return at::matmul(mask.unsqueeze(1), x).squeeze(1);
}

}  // namespace

SequenceBlock::SequenceBlock(const ModelOptions& options, int64_t index)
    : prenorm_(options.prenorm), residual_(options.residual), index_(index) {
  LayerOptions each = options.layer;
  each.seed = stream_id("sequence/layer", static_cast<uint64_t>(index)) ^ options.layer.seed;
  layer = register_module("layer", make_layer(each));
  const int64_t width = options.layer.width;
  if (options.norm == Norm::layer) {
    layer_norm_ = register_module("norm", std::make_shared<nn::LayerNorm>(width));
  } else if (options.norm == Norm::batch) {
    step_norm_ = register_module("norm", std::make_shared<StepNorm>(width, options.norm_momentum));
  }
  mixing_ = register_module(
      "mixing",
      std::make_shared<MixingLayer>(options.mixing, width, options.dropout, options.layer.seed,
                                    2 * static_cast<uint64_t>(index), options.rank));
  spare_steps_ = at::logspace(std::log10(options.layer.dt_min), std::log10(options.layer.dt_max),
                              width, 10, at::kDouble);
}

Tensor SequenceBlock::normalise(const Tensor& x, const Tensor& lengths) {
  if (layer_norm_) return layer_norm_->forward(x);
  return step_norm_ ? step_norm_->forward(x, lengths) : x;
}

Tensor SequenceBlock::before(const Tensor& x, const Tensor& lengths) {
  return prenorm_ ? normalise(x, lengths) : x;
}

Tensor SequenceBlock::after(const Tensor& x, const Tensor& z, const Tensor& lengths) {
  Tensor y = mixing_->forward(z);
  if (residual_) y = x + y;
  return prenorm_ ? y : normalise(y, lengths);
}

Tensor SequenceBlock::disturbed(const Tensor& z) {
  if (!disturbance_ || disturbance_->amplitude == 0) return z;
  Tensor steps = layer->channel_steps();
  steps = (steps.defined() ? steps : spare_steps_).detach().to(z.device(), at::kDouble);
  const Tensor t = at::arange(z.size(1), steps.options());
  const Tensor wave = at::outer(t, steps * disturbance_->omega).cos().mul_(disturbance_->amplitude);
  const Tensor sizes =
      random_->uniform({z.size(0), 1, z.size(2)}, z.options().requires_grad(false));
  return at::addcmul(z, sizes, wave.to(z.scalar_type()));
}

Tensor SequenceBlock::forward(const Tensor& x, const Tensor& lengths, Mode mode) {
  return after(x, layer->forward(disturbed(before(x, lengths)), lengths, mode), lengths);
}

void SequenceBlock::disturb(std::optional<Disturbance> disturbance) {
  disturbance_ = disturbance;
  random_.reset();
  if (disturbance) {
    random_.emplace(disturbance->seed,
                    stream_id("sequence/disturbance", static_cast<uint64_t>(index_)));
  }
}

SequenceModel::SequenceModel(ModelOptions options) : options_(std::move(options)) {
  check_at_least("layers", options_.layers, 1);
  check_at_least("outputs", options_.outputs, 1);
  check_at_least("vocabulary", options_.vocabulary, 0);
  const int64_t width = options_.layer.width;
  check_at_least("width", width, 1);
  const auto dtype = c10::typeMetaToScalarType(options_.layer.tensor.dtype());
  if (dtype != at::kFloat && dtype != at::kDouble) {
    throw InvalidArgument("dtype", "float32 or float64", dtype_name(dtype));
  }
  if (options_.vocabulary > 0) {
    embedding_ =
        register_module("encoder", std::make_shared<nn::Embedding>(options_.vocabulary, width));
  } else {
    encoder_ = register_module("encoder", std::make_shared<nn::Linear>(options_.channels, width));
  }
  for (int64_t k = 0; k < options_.layers; ++k) {
    blocks_.push_back(
        register_module("block" + std::to_string(k), std::make_shared<SequenceBlock>(options_, k)));
  }
  const auto* states = dynamic_cast<const StateSpaceLayer*>(blocks_.front()->layer.get());
  if (states != nullptr) options_.layer.stored = states->stored();
  if (options_.pairs) {
    hidden_ = register_module("hidden", std::make_shared<nn::Linear>(4 * width, width));
  }
  decoder_ = register_module("decoder", std::make_shared<nn::Linear>(width, options_.outputs));
  convert(*this, options_.layer.tensor);
  initialise_linear(*this, options_.layer.seed);
}

std::vector<Mode> SequenceModel::modes() const {
  std::vector<Mode> modes = blocks_.front()->layer->modes;
  if (blocks_.front()->layer->bidirectional) std::erase(modes, Mode::step);
  return modes;
}

Tensor SequenceModel::encode(const Tensor& u) {
  if (!embedding_) return encoder_->forward(u);
  const Tensor ids = u.is_floating_point() ? u.to(at::kLong) : u;
  return embedding_->forward(ids);
}

Tensor SequenceModel::features(const Tensor& u, const Tensor& lengths, Mode mode) {
  Tensor x = encode(u);
  for (const auto& block : blocks_) x = block->forward(x, lengths, mode);
  if (options_.pooling == Pooling::mean) {
    const Tensor sum = sum_over_steps(x, lengths);
    return lengths.defined() ? sum / lengths.unsqueeze(1) : sum / x.size(1);
  }
  if (!lengths.defined()) return x.select(1, x.size(1) - 1);
  const Tensor last = (lengths - 1).view({-1, 1, 1}).expand({-1, 1, x.size(2)});
  return x.gather(1, last).squeeze(1);
}

Tensor SequenceModel::decode(const Tensor& features) {
  if (!options_.pairs) return decoder_->forward(features);
  const Tensor a = features.select(1, 0), b = features.select(1, 1);
  return decoder_->forward(at::gelu(hidden_->forward(at::cat({a, b, a - b, a * b}, 1))));
}

Tensor SequenceModel::forward(const Tensor& u, const Tensor& lengths) {
  return forward(u, lengths, modes().front());
}

Tensor SequenceModel::forward(const Tensor& u, const Tensor& lengths, Mode mode) {
  const bool ids = options_.vocabulary > 0;
  std::vector<int64_t> shape{-1};
  if (options_.pairs) shape.push_back(2);
  shape.push_back(-1);
  if (!ids) shape.push_back(options_.channels);
  check_shape("u", u, shape);
  const Tensor all = options_.pairs ? u.flatten(0, 1) : u;
  const Tensor flat = lengths.defined() ? lengths.flatten() : lengths;
  check_lengths("lengths", flat, all.size(0), all.size(1));
  Tensor pooled = features(all, flat, mode);
  if (options_.pairs) pooled = pooled.view({-1, 2, pooled.size(1)});
  return decode(pooled);
}

Tensor SequenceModel::forward_packed(const Tensor& packed, std::optional<Mode> mode) {
  const auto [u, lengths] = unpack(packed);
  return forward(options_.vocabulary > 0 ? u.squeeze(-1).to(at::kLong) : u, lengths,
                 mode.value_or(modes().front()));
}

ModelStream SequenceModel::stream(int64_t n) {
  if (options_.pairs) {
    throw Unsupported("stream: pairs of sequences are compared when both are whole");
  }
  if (is_training()) throw InvalidArgument("stream", "a model in evaluation mode", "training mode");
  return {*this, n};
}

void SequenceModel::disturb(std::optional<Disturbance> disturbance) {
  if (disturbance) {
    check_non_negative("amplitude", disturbance->amplitude);
    check_non_negative("omega", disturbance->omega);
  }
  for (const auto& block : blocks_) block->disturb(disturbance);
}

ModelStream::ModelStream(SequenceModel& model, int64_t n) : model_(model) {
  for (const auto& block : model.blocks_) layers_.push_back(block->layer->stream(n));
  sum_ = at::zeros({n, model.options_.layer.width}, model.options_.layer.tensor);
}

Tensor ModelStream::push(const Tensor& u) {
  const at::NoGradGuard no_graph;
  if (model_.options_.vocabulary > 0) {
    check_shape("u", u, {sum_.size(0)});
  } else {
    check_shape("u", u, {sum_.size(0), model_.options_.channels});
  }
  Tensor x = model_.encode(u);
  for (size_t k = 0; k < layers_.size(); ++k) {
    SequenceBlock& block = *model_.blocks_[k];
    x = block.after(x, layers_[k]->push(block.before(x, {})), {});
  }
  ++steps_;
  if (model_.options_.pooling == Pooling::last) return model_.decode(x);
  sum_.add_(x);
  return model_.decode(sum_ / steps_);
}

std::vector<Tensor> ModelStream::state() const {
  std::vector<Tensor> all{sum_.clone()};
  for (const auto& layer : layers_) {
    for (const Tensor& part : layer->state()) all.push_back(part);
  }
  return all;
}

void ModelStream::set_state(const std::vector<Tensor>& given, int64_t steps) {
  check_at_least("steps", steps, 0);
  const size_t expected = state().size();
  if (given.size() != expected) {
    throw InvalidArgument("state", std::to_string(expected) + " tensors",
                          std::to_string(given.size()));
  }
  check_shape("state", given[0], sum_.sizes());
  auto next = given.begin() + 1;
  for (const auto& layer : layers_) {
    const auto count = static_cast<ptrdiff_t>(layer->state().size());
    layer->set_state({next, next + count});
    next += count;
  }
  sum_.copy_(given[0]);
  steps_ = steps;
}

void ModelStream::reset() {
  for (const auto& layer : layers_) layer->reset();
  sum_.zero_();
  steps_ = 0;
}

nn::Network make_network(const std::shared_ptr<SequenceModel>& model) {
  auto* raw = model.get();
  return nn::wrap(
      std::static_pointer_cast<torch::nn::Module>(model),
      [raw](const Tensor& packed) { return raw->forward_packed(packed); },
      model_description(model->options()));
}

Tensor predict(SequenceModel& model, const Tensor& packed, Mode mode, int64_t batch) {
  check_at_least("batch", batch, 1);
  const at::NoGradGuard no_graph;
  const bool training = model.is_training();
  model.eval();
  std::vector<Tensor> outputs;
  for (int64_t first = 0; first < packed.size(0); first += batch) {
    const int64_t n = std::min(batch, packed.size(0) - first);
    outputs.push_back(model.forward_packed(packed.narrow(0, first, n), mode));
  }
  model.train(training);
  return at::cat(outputs, 0);
}

}  // namespace ritz::sequence
