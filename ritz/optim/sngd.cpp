#include "ritz/optim/sngd.h"

#include <torch/types.h>

#include <algorithm>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

bool Sngd::is_finite(const SampleRows& rows) {
  return std::isfinite((rows.A.norm() + rows.G.norm()).item<double>());
}

Sngd::Sngd(const nn::Network& network, std::unique_ptr<Optimizer> backend, SngdOptions options,
           dist::ProcessGroup* group)
    : Sngd("sngd", network, std::move(backend), options, group) {}

Sngd::Sngd(const char* name, const nn::Network& network, std::unique_ptr<Optimizer> backend,
           const SngdOptions& options, dist::ProcessGroup* group)
    : KroneckerOptimizer({.name = name, .takes_sandwich = false}, network, std::move(backend),
                         {.f = options.f,
                          .warmup = options.warmup,
                          .rescale = options.rescale,
                          .kl_clip = options.kl_clip,
                          .exclude = options.exclude},
                         group),
      damping_(options.damping) {
  check_positive("damping", damping_);
  for (const auto& layer : layers()) {
    const auto none = [&](int64_t rows, int64_t columns) {
      return at::empty({rows, columns}, layer.weight().options().requires_grad(false));
    };
    const SampleRows rows{none(0, layer.inputs()), none(0, layer.outputs()), 1};
    states_.push_back({{rows, none(0, 0), damping_}, at::ones({}, at::kLong)});
  }
}

SampleRows Sngd::gathered(const SampleRows& own) {
  if (group() == nullptr) return own;
  SampleRows all{{}, {}, own.positions};
  timed(times().reduce, [&] {
    all.A = at::cat(group()->all_gather_unequal(own.A));
    all.G = at::cat(group()->all_gather_unequal(own.G));
  });
  return all;
}

std::optional<SampledFisher> Sngd::fisher(size_t, const SampleRows& own) {
  const SampleRows all = gathered(own);
  if (!is_finite(all)) return std::nullopt;
  return exact_fisher(all, damping_);
}

void Sngd::renew(const std::vector<std::optional<LayerSamples>>& samples) {
  for (size_t k = 0; k < states_.size(); ++k) {
    if (!samples[k]) continue;
    if (samples[k]->positions == 0) {
      throw Unsupported(
          layers()[k].name() +
          ": maps of several sizes went through it, and samples cannot be told apart; "
          "exclude it");
    }
    LayerState& state = states_[k];
    auto found =
        fisher(k, {samples[k]->inputs, samples[k]->output_gradients, samples[k]->positions});
    if (found) {
      state.fisher = std::move(*found);
      // Row by row, as a loaded state stands: products then round alike after a resumption.
      for (Tensor* x : {&state.fisher.rows.A, &state.fisher.rows.G, &state.fisher.W}) {
        *x = x->contiguous();
      }
      state.positions.fill_(state.fisher.rows.positions);
    } else {
      ++state.skipped;
    }
  }
}

std::vector<Tensor> Sngd::precondition(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> hats(gradients.size());
  for (size_t k = 0; k < gradients.size(); ++k) {
    // Without samples F is 0: the gradient is divided by the damping alone.
    if (gradients[k].defined()) hats[k] = states_[k].fisher.divide(gradients[k]);
  }
  return hats;
}

std::vector<int64_t> Sngd::sample_counts() const {
  std::vector<int64_t> counts;
  for (const auto& state : states_) counts.push_back(state.fisher.rows.count());
  return counts;
}

std::vector<NamedTensor> Sngd::factors() {
  std::vector<NamedTensor> all;
  for (size_t k = 0; k < states_.size(); ++k) {
    const std::string name = "." + layers()[k].name();
    const SampledFisher& fisher = states_[k].fisher;
    all.push_back({"A" + name, fisher.rows.A});
    all.push_back({"G" + name, fisher.rows.G});
    all.push_back({"W" + name, fisher.W});
    all.push_back({"positions" + name, states_[k].positions});
  }
  return all;
}

void Sngd::prepare_to_load(const std::vector<NamedTensor>& given) {
  // The numbers of rows are the state's own; the widths are the layers', and are checked with all
  // else when the tensors are taken.
  const auto rows_of = [&](const std::string& name) -> int64_t {
    for (const auto& [other, value] : given) {
      if (other == name && value.dim() == 2) return value.size(0);
    }
    return 0;
  };
  for (size_t k = 0; k < states_.size(); ++k) {
    const std::string name = "." + layers()[k].name();
    SampledFisher& fisher = states_[k].fisher;
    const auto room = [&](Tensor& x, int64_t rows, int64_t columns) {
      if (x.size(0) != rows) x = at::zeros({rows, columns}, x.options());
    };
    room(fisher.rows.A, rows_of("A" + name), layers()[k].inputs());
    room(fisher.rows.G, rows_of("G" + name), layers()[k].outputs());
    const int64_t kept = rows_of("W" + name);
    room(fisher.W, kept, kept);
  }
}

void Sngd::loaded() {
  for (auto& state : states_) state.fisher.rows.positions = state.positions.item<int64_t>();
}

Statistics Sngd::method_statistics() const {
  double skipped = 0, kept = 0;
  for (const auto& state : states_) {
    skipped += static_cast<double>(state.skipped);
    kept = std::max(kept, static_cast<double>(state.fisher.rows.count()));
  }
  return {{"samples", kept}, {"skipped", skipped}};
}

void Sngd::complete_report(std::vector<LayerReport>& reports) const {
  for (size_t k = 0; k < states_.size(); ++k) {
    reports[k].input_rank1_error = reports[k].gradient_rank1_error = std::nan("");
    reports[k].skipped = states_[k].skipped;
  }
}

}  // namespace ritz::optim
