#include "ritz/optim/eva.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

namespace {

EvaOptions checked(const EvaOptions& o) {
  check_positive("damping", o.damping);
  check_in("weight", o.weight, 0, 1);
  check_positive("weight", o.weight);
  return o;
}

}  // namespace

Tensor eva_direction(const Tensor& X, const Tensor& g, const Tensor& a, double damping) {
  // Stays on the device: no number is copied to the host.
  const Tensor factor = g.dot(X.mv(a)) / (a.dot(a) * g.dot(g) + damping);
  return (X - at::outer(g * factor, a)).div_(damping);
}

Eva::Eva(const nn::Network& network, std::unique_ptr<Optimizer> backend, EvaOptions options,
         dist::ProcessGroup* group)
    : KroneckerOptimizer({.name = "eva", .takes_sandwich = false}, network, std::move(backend),
                         {.f = options.f,
                          .warmup = options.warmup,
                          .rescale = options.rescale,
                          .kl_clip = options.kl_clip,
                          .exclude = options.exclude},
                         group),
      own_(checked(options)) {
  for (const auto& layer : layers()) {
    const auto zeros = [&](int64_t d) {
      return at::zeros({d}, layer.weight().options().requires_grad(false));
    };
    states_.push_back({zeros(layer.inputs()), zeros(layer.outputs()), at::zeros({}, at::kLong)});
  }
}

void Eva::renew(const std::vector<std::optional<LayerSamples>>& samples) {
  const auto ranks = group() == nullptr ? 1 : group()->world_size();
  std::vector<Tensor> means;  // a, g of each layer that was used
  for (const auto& each : samples) {
    if (!each) continue;
    means.push_back(each->inputs.mean(0));
    means.push_back(each->output_gradients.mean(0).div_(each->scale * ranks));
  }
  if (means.empty()) return;
  const Tensor flat = at::cat(means);
  if (group() != nullptr) {
    timed(times().reduce, [&] { group()->all_reduce_sum(flat); });
    flat.div_(ranks);
  }
  int64_t used = 0;
  const auto next = [&](const Tensor& like) {
    return flat.narrow(0, (used += like.numel()) - like.numel(), like.numel());
  };
  for (size_t k = 0; k < states_.size(); ++k) {
    if (!samples[k]) continue;
    LayerState& state = states_[k];
    const Tensor a = next(state.a), g = next(state.g);
    if (!std::isfinite((a.norm() + g.norm()).item<double>())) {
      ++state.skipped;
      continue;
    }
    int64_t& renewals = *state.renewals.data_ptr<int64_t>();
    const double weight = renewals++ == 0 ? 1 : own_.weight;
    state.a.mul_(1 - weight).add_(a, weight);
    state.g.mul_(1 - weight).add_(g, weight);
  }
}

std::vector<Tensor> Eva::precondition(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> hats(gradients.size());
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k].defined()) {
      hats[k] = eva_direction(gradients[k], states_[k].g, states_[k].a, own_.damping);
    }
  }
  return hats;
}

std::vector<NamedTensor> Eva::factors() {
  std::vector<NamedTensor> all;
  for (size_t k = 0; k < states_.size(); ++k) {
    const std::string name = "." + layers()[k].name();
    all.push_back({"a" + name, states_[k].a});
    all.push_back({"g" + name, states_[k].g});
    all.push_back({"renewals" + name, states_[k].renewals});
  }
  return all;
}

Statistics Eva::method_statistics() const {
  double skipped = 0;
  for (const auto& state : states_) skipped += static_cast<double>(state.skipped);
  return {{"skipped", skipped}};
}

void Eva::complete_report(std::vector<LayerReport>& reports) const {
  for (size_t k = 0; k < states_.size(); ++k) {
    reports[k].input_rank1_error = reports[k].gradient_rank1_error = std::nan("");
    reports[k].skipped = states_[k].skipped;
  }
}

}  // namespace ritz::optim
