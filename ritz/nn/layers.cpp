#include "ritz/nn/layers.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"

namespace ritz::nn {
namespace {

constexpr double kMomentum = 0.1;  // of batch norm's running statistics

int index_of(const ParameterIndex& index, const Tensor& parameter) {
  if (!parameter.defined()) return -1;
  const auto found = index.find(parameter.unsafeGetTensorImpl());
  return found == index.end() ? -1 : found->second;
}

/// A stage can only name what is a parameter: false where one was frozen.
bool all_found(const ParameterIndex& index, const ParameterLayer& layer) {
  return index_of(index, layer.weight) >= 0 &&
         (!layer.bias.defined() || index_of(index, layer.bias) >= 0);
}

/// [n, ..., w] as [n, positions, w].
Tensor as_rows(const Tensor& x) {
  return x.reshape({x.size(0), -1, x.size(-1)});
}

/// sum_t g_t a_t^T for each sample: rows g [n, t, out], a [n, t, in] give [n, out * in].
Tensor outer_sums(const Tensor& g, const Tensor& a) {
  return g.transpose(1, 2).matmul(a).flatten(1);
}

void check_conv(int64_t in, int64_t out, const ConvOptions& options) {
  check_at_least("in", in, 1);
  check_at_least("out", out, 1);
  check_at_least("kernel", options.kernel, 1);
  check_at_least("stride", options.stride, 1);
  check_at_least("dilation", options.dilation, 1);
  check_at_least("groups", options.groups, 1);
  if (in % options.groups != 0 || out % options.groups != 0) {
    throw InvalidArgument("groups",
                          "a divisor of " + std::to_string(in) + " and " + std::to_string(out),
                          std::to_string(options.groups));
  }
}

/// Patches of x [n, c, h, w] as [n, c kh kw, positions].
Tensor patches(const Tensor& x, at::IntArrayRef kernel, at::IntArrayRef padding,
               const ConvOptions& options) {
  const std::vector<int64_t> dilation(2, options.dilation);
  const std::vector<int64_t> stride(2, options.stride);
  return at::im2col(x, kernel, dilation, padding, stride);
}

/// Per-sample gradients of a convolution from patches [n, c kk, t] and output gradients [n, out,
/// t].
std::vector<Tensor> conv_sample_gradients(const Tensor& patches, const Tensor& g, int64_t groups,
                                          bool with_bias) {
  const int64_t n = g.size(0), t = g.size(2);
  const Tensor a = patches.reshape({n, groups, -1, t});
  std::vector<Tensor> result{
      g.reshape({n, groups, -1, t}).matmul(a.transpose(2, 3)).flatten(1)};  // [n, out * c/g kk]
  if (with_bias) result.push_back(g.sum(2));
  return result;
}

/// Whether forward mode runs through this layer: libtorch's backward passes of its fused norms have
/// none, so that they must then be written out.
bool is_dual(const Tensor& parameter) {
  return parameter._fw_grad(0).defined();
}

/// softmax over the last dimension, written out where forward mode runs through it.
Tensor soft_weights(const Tensor& scores, bool dual) {
  if (!dual) return scores.softmax(-1);
  const Tensor e = (scores - scores.detach().amax(-1, true)).exp();
  return e / e.sum(-1, true);
}

/// [1, c, 1, ...]: how a vector of channels stands against x [n, c, ...].
std::vector<int64_t> channel_shape(const Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[1] = x.size(1);
  return shape;
}

void require_one_group(const ConvOptions& options) {
  if (options.groups != 1) {
    throw Unsupported("rows of a convolution: a grouped kernel has no single matrix form");
  }
}

}  // namespace

bool Layer::append_stages(Chain&, const ParameterIndex&) const {
  return false;
}

std::vector<Tensor> ParameterLayer::own_parameters() const {
  return bias.defined() ? std::vector<Tensor>{weight, bias} : std::vector<Tensor>{weight};
}

void ParameterLayer::make_parameters(at::IntArrayRef weight_shape, int64_t bias_size,
                                     const std::string& prefix) {
  weight = register_parameter(prefix + "weight", at::zeros(weight_shape));
  if (bias_size > 0) bias = register_parameter(prefix + "bias", at::zeros({bias_size}));
}

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  check_at_least("in", in, 1);
  check_at_least("out", out, 1);
  make_parameters({out, in}, with_bias ? out : 0);
}

Tensor Linear::forward(const Tensor& x) {
  return record(x, at::linear(x, weight, bias));
}

bool Linear::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(LinearStage{index_of(index, weight), index_of(index, bias)});
  return all_found(index, *this);
}

Tensor Linear::input_rows(const Tensor& input) const {
  return as_rows(input);
}
Tensor Linear::output_rows(const Tensor& gradient) const {
  return as_rows(gradient);
}

std::vector<Tensor> Linear::sample_gradients(const Tensor& input, const Tensor& gradient) const {
  const Tensor g = as_rows(gradient);
  std::vector<Tensor> result{outer_sums(g, as_rows(input))};
  if (bias.defined()) result.push_back(g.sum(1));
  return result;
}

Conv1d::Conv1d(int64_t in, int64_t out, ConvOptions opts) : options(opts) {
  check_conv(in, out, options);
  make_parameters({out, in / options.groups, options.kernel}, options.bias ? out : 0);
}

Tensor Conv1d::forward(const Tensor& x) {
  return record(x, at::conv1d(x, weight, bias, options.stride, options.padding, options.dilation,
                              options.groups));
}

Tensor Conv1d::input_rows(const Tensor& input) const {
  require_one_group(options);
  return patches(input.unsqueeze(2), {1, options.kernel}, {0, options.padding}, options)
      .transpose(1, 2);
}

Tensor Conv1d::output_rows(const Tensor& gradient) const {
  return gradient.transpose(1, 2);
}

std::vector<Tensor> Conv1d::sample_gradients(const Tensor& input, const Tensor& gradient) const {
  return conv_sample_gradients(
      patches(input.unsqueeze(2), {1, options.kernel}, {0, options.padding}, options), gradient,
      options.groups, bias.defined());
}

Conv2d::Conv2d(int64_t in, int64_t out, ConvOptions opts) : options(opts) {
  check_conv(in, out, options);
  make_parameters({out, in / options.groups, options.kernel, options.kernel},
                  options.bias ? out : 0);
}

Tensor Conv2d::forward(const Tensor& x) {
  return record(x, at::conv2d(x, weight, bias, options.stride, options.padding, options.dilation,
                              options.groups));
}

bool Conv2d::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(Conv2dStage{index_of(index, weight), index_of(index, bias), options.stride,
                                 options.padding, options.dilation, options.groups});
  return all_found(index, *this);
}

Tensor Conv2d::input_rows(const Tensor& input) const {
  require_one_group(options);
  const int64_t k = options.kernel, p = options.padding;
  return patches(input, {k, k}, {p, p}, options).transpose(1, 2);
}

Tensor Conv2d::output_rows(const Tensor& gradient) const {
  return gradient.flatten(2).transpose(1, 2);
}

std::vector<Tensor> Conv2d::sample_gradients(const Tensor& input, const Tensor& gradient) const {
  const int64_t k = options.kernel, p = options.padding;
  return conv_sample_gradients(patches(input, {k, k}, {p, p}, options), gradient.flatten(2),
                               options.groups, bias.defined());
}

LayerNorm::LayerNorm(int64_t width, double epsilon) : eps(epsilon) {
  check_at_least("width", width, 1);
  make_parameters({width}, width);
  torch::NoGradGuard no_grad;
  weight.fill_(1);
}

Tensor LayerNorm::forward(const Tensor& x) {
  if (is_dual(weight)) {
    const Tensor centred = x - x.mean(-1, true);
    return record(x, centred * (centred.square().mean(-1, true) + eps).rsqrt() * weight + bias);
  }
  return record(x, at::layer_norm(x, weight.sizes(), weight, bias, eps));
}

bool LayerNorm::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(LayerNormStage{index_of(index, weight), index_of(index, bias), eps});
  return all_found(index, *this);
}

std::vector<Tensor> LayerNorm::sample_gradients(const Tensor& input, const Tensor& gradient) const {
  const Tensor centred = input - input.mean(-1, true);
  const Tensor hat = centred * (centred.square().mean(-1, true) + eps).rsqrt();
  return {as_rows(gradient * hat).sum(1), as_rows(gradient).sum(1)};
}

BatchNorm2d::BatchNorm2d(int64_t channels, double epsilon) : eps(epsilon) {
  check_at_least("channels", channels, 1);
  make_parameters({channels}, channels);
  {
    torch::NoGradGuard no_grad;
    weight.fill_(1);
  }
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

Tensor BatchNorm2d::forward(const Tensor& x) {
  if (is_training()) num_batches_tracked.add_(1);
  if (!is_training() && is_dual(weight)) {
    const auto shape = channel_shape(x);
    const Tensor scale = weight * (running_var + eps).rsqrt();
    return record(x, x * scale.view(shape) + (bias - running_mean * scale).view(shape));
  }
  return record(x, at::batch_norm(x, weight, bias, running_mean, running_var, is_training(),
                                  kMomentum, eps, /*cudnn_enabled=*/true));
}

bool BatchNorm2d::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(ChannelAffineStage{index_of(index, weight), index_of(index, bias),
                                        running_mean, running_var, eps, kMomentum,
                                        num_batches_tracked});
  return all_found(index, *this);
}

std::vector<Tensor> BatchNorm2d::sample_gradients(const Tensor& input,
                                                  const Tensor& gradient) const {
  if (is_training()) {
    throw Unsupported(
        "per-sample gradients: batch norm in training mode couples the samples of a batch; use "
        "evaluation mode");
  }
  const auto shape = channel_shape(input);
  const Tensor hat = (input - running_mean.view(shape)) * (running_var + eps).rsqrt().view(shape);
  const auto over_positions = [](const Tensor& x) {
    return x.reshape({x.size(0), x.size(1), -1}).sum(2);
  };
  return {over_positions(gradient * hat), over_positions(gradient)};
}

Embedding::Embedding(int64_t count, int64_t width) {
  check_at_least("count", count, 1);
  check_at_least("width", width, 1);
  make_parameters({count, width}, 0);
}

Tensor Embedding::forward(const Tensor& x) {
  return record(x, at::embedding(weight, x));
}

bool Embedding::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(EmbeddingStage{index_of(index, weight)});
  return all_found(index, *this);
}

std::vector<Tensor> Embedding::sample_gradients(const Tensor& input, const Tensor& gradient) const {
  const int64_t n = input.size(0), count = weight.size(0), width = weight.size(1);
  const Tensor first = at::arange(n, input.options()).mul_(count).unsqueeze(1);
  return {
      at::zeros({n * count, width}, gradient.options())
          .index_add(0, (input.reshape({n, -1}) + first).flatten(), gradient.reshape({-1, width}))
          .view({n, count * width})};
}

PositionEmbedding::PositionEmbedding(int64_t tokens, int64_t width) {
  check_at_least("tokens", tokens, 1);
  check_at_least("width", width, 1);
  make_parameters({tokens, width}, 0);
}

Tensor PositionEmbedding::forward(const Tensor& x) {
  return record(x, x + weight);
}

bool PositionEmbedding::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(PositionStage{index_of(index, weight)});
  return all_found(index, *this);
}

std::vector<Tensor> PositionEmbedding::sample_gradients(const Tensor&,
                                                        const Tensor& gradient) const {
  return {gradient.flatten(1)};
}

SelfAttention::SelfAttention(int64_t width, int64_t head_count) : heads(head_count) {
  check_at_least("width", width, 1);
  check_at_least("heads", heads, 1);
  if (width % heads != 0) {
    throw InvalidArgument("heads", "a divisor of width " + std::to_string(width),
                          std::to_string(heads));
  }
  make_parameters({3 * width, width}, 3 * width, "in_proj_");
  out_proj_ = register_module("out_proj", std::make_shared<Linear>(width, width));
}

Tensor SelfAttention::forward(const Tensor& x) {
  const int64_t n = x.size(0), t = x.size(1), w = x.size(2), d = w / heads;
  const Tensor qkv = record(x, at::linear(x, weight, bias));  // [n, t, 3w]
  const auto parts =
      qkv.view({n, t, 3, heads, d}).permute({2, 0, 3, 1, 4}).unbind();  // [n, h, t, d]
  const Tensor scores =
      parts[0].matmul(parts[1].transpose(2, 3)) / std::sqrt(static_cast<double>(d));
  const Tensor mixed = soft_weights(scores, is_dual(weight)).matmul(parts[2]);  // [n, h, t, d]
  return out_proj_->forward(mixed.transpose(1, 2).reshape({n, t, w}));
}

bool SelfAttention::append_stages(Chain& chain, const ParameterIndex& index) const {
  chain.emplace_back(LinearStage{index_of(index, weight), index_of(index, bias)});
  chain.emplace_back(AttentionStage{heads});
  return out_proj_->append_stages(chain, index) && all_found(index, *this);
}

Tensor SelfAttention::input_rows(const Tensor& input) const {
  return as_rows(input);
}
Tensor SelfAttention::output_rows(const Tensor& gradient) const {
  return as_rows(gradient);
}

std::vector<Tensor> SelfAttention::sample_gradients(const Tensor& input,
                                                    const Tensor& gradient) const {
  return {outer_sums(as_rows(gradient), as_rows(input)), as_rows(gradient).sum(1)};
}

}  // namespace ritz::nn
