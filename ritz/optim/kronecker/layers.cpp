#include "ritz/optim/kronecker/layers.h"

#include <torch/types.h>

#include <algorithm>

#include "ritz/base/check_tensor.h"
#include "ritz/nn/layers.h"

namespace ritz::optim {

namespace {

/// Whether a layer's weight is one matrix. Layers of the user's own say so by their shape.
bool has_matrix_form(const nn::CapturesCurvature& layer) {
  if (const auto* conv = dynamic_cast<const nn::Conv2d*>(&layer)) return conv->options.groups == 1;
  if (const auto* conv = dynamic_cast<const nn::Conv1d*>(&layer)) return conv->options.groups == 1;
  if (dynamic_cast<const nn::Embedding*>(&layer) != nullptr) return false;
  if (dynamic_cast<const nn::PositionEmbedding*>(&layer) != nullptr) return false;
  const auto own = layer.own_parameters();
  return !own.empty() && own.size() <= 2 && own[0].dim() >= 2;
}

std::string module_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? parameter : parameter.substr(0, dot);
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

KroneckerLayer::KroneckerLayer(std::string name, std::shared_ptr<nn::CapturesCurvature> layer)
    : name_(std::move(name)) {
  const auto own = layer->own_parameters();
  weight_ = own[0];
  if (own.size() > 1) bias_ = own[1];
  parts_.push_back(std::move(layer));
}

Tensor KroneckerLayer::gradient() const {
  const Tensor& w = weight_.grad();
  if (!w.defined()) return {};
  const Tensor matrix = w.flatten(1);
  if (!bias_.defined()) return matrix;
  const Tensor& b = bias_.grad();
  if (!b.defined()) return {};
  return at::cat({matrix, b.unsqueeze(1)}, 1);
}

void KroneckerLayer::set_gradient(const Tensor& D, double scale) const {
  check_shape("D", D, {outputs(), inputs()});
  const int64_t i = weight_.numel() / outputs();
  const auto write = [&](const Tensor& to, const Tensor& from) {
    Tensor target = to;
    at::mul_out(target, from, at::scalar_tensor(scale, from.options()));
  };
  write(weight_.grad(), D.narrow(1, 0, i).view(weight_.sizes()));
  if (bias_.defined()) write(bias_.grad(), D.select(1, i));
}

void KroneckerLayer::add_part(std::shared_ptr<nn::CapturesCurvature> layer) {
  parts_.push_back(std::move(layer));
}

void KroneckerLayer::capture(bool on) const {
  for (const auto& part : parts_) part->capture(on);
}

void KroneckerLayer::release() const {
  for (const auto& part : parts_) part->release();
}

std::optional<LayerSamples> KroneckerLayer::samples(int64_t micro_batches,
                                                    double loss_scale) const {
  std::vector<Tensor> inputs, gradients;
  LayerSamples found;
  int64_t calls = 0;
  for (const auto& part : parts_) {
    for (size_t call = 0; call < part->inputs().size(); ++call) {
      const Tensor& gradient = part->output_gradients()[call];
      if (!gradient.defined()) continue;
      if (gradient.numel() == 0) {
        throw InvalidArgument("batch of " + name_, "at least one sample", describe(gradient));
      }
      const Tensor a = part->input_rows(part->inputs()[call]);  // [n, t, i]
      const int64_t t = convolution() ? a.size(1) : 1;
      found.samples += a.size(0) * a.size(1) / t;
      found.positions = calls == 0 || found.positions == t ? t : 0;
      inputs.push_back(a.reshape({-1, a.size(-1)}));
      gradients.push_back(part->output_rows(gradient).reshape({-1, outputs()}));
      ++calls;
    }
  }
  if (calls == 0) return std::nullopt;
  // A layer that is used u times in a pass has u calls a micro-batch, of the same samples.
  const double uses = static_cast<double>(calls) / static_cast<double>(micro_batches);
  found.scale = static_cast<double>(found.samples) / uses;
  found.output_gradients =
      (calls == 1 ? gradients[0] : at::cat(gradients)).mul(found.scale / loss_scale);
  const Tensor rows = calls == 1 ? inputs[0] : at::cat(inputs);
  found.inputs = bias_.defined() ? at::cat({rows, rows.new_ones({rows.size(0), 1})}, 1) : rows;
  return found;
}

bool matches_pattern(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    return matches_pattern(pattern.substr(1), name) ||
           (!name.empty() && matches_pattern(pattern, name.substr(1)));
  }
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) &&
         matches_pattern(pattern.substr(1), name.substr(1));
}

KroneckerLayers find_kronecker_layers(const nn::Network& network,
                                      const std::vector<std::string>& exclude) {
  KroneckerLayers found;
  std::vector<bool> taken(network.parameters.size());
  std::vector<bool> matched(exclude.size());
  const auto is_excluded = [&](const std::string& name) {
    bool any = false;
    for (size_t k = 0; k < exclude.size(); ++k) {
      if (!matches_pattern(exclude[k], name)) continue;
      matched[k] = any = true;
    }
    return any;
  };
  for (const auto& tap : network.layers) {
    const bool excluded = is_excluded(tap.name);
    if (!has_matrix_form(*tap.layer)) continue;
    for (const int index : tap.parameters) taken[static_cast<size_t>(index)] = true;
    if (excluded) {
      found.excluded.push_back(tap.name);
      continue;
    }
    KroneckerLayer layer(tap.name, tap.layer);
    const auto same =
        std::find_if(found.layers.begin(), found.layers.end(),
                     [&](const auto& other) { return other.weight().is_same(layer.weight()); });
    if (same == found.layers.end()) {
      found.layers.push_back(std::move(layer));
    } else if (same->bias().defined() == layer.bias().defined() &&
               (!layer.bias().defined() || same->bias().is_same(layer.bias()))) {
      same->add_part(tap.layer);
    } else {
      throw Unsupported(tap.name + ": shares its weight with " + same->name() +
                        " but not its bias; exclude one of them");
    }
  }
  if (found.layers.empty() && found.excluded.empty()) {
    throw Unsupported(network.description +
                      ": has none of ritz's own layers (ritz::nn::Linear, Conv1d, Conv2d, "
                      "SelfAttention) to look into");
  }
  for (size_t k = 0; k < exclude.size(); ++k) {
    if (matched[k]) continue;
    std::string names;
    for (const auto& tap : network.layers) names += (names.empty() ? "" : ", ") + tap.name;
    throw InvalidArgument("exclude", "a name or pattern of " + names, exclude[k]);
  }
  if (found.layers.empty()) {
    throw InvalidArgument("exclude", "a layer left to precondition", "all of them excluded");
  }
  for (size_t k = 0; k < taken.size(); ++k) {
    if (!taken[k]) add_once(found.first_order, module_of(network.parameters[k].name));
  }
  return found;
}

}  // namespace ritz::optim
