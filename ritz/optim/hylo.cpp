#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/optim/sngd.h"

namespace ritz::optim {

namespace {

/// A learning rate below this share of the step before has fallen.
constexpr double kFall = 0.9;

HyloOptions checked(const HyloOptions& o) {
  check_in("ratio", o.ratio, 0, 1);
  check_positive("ratio", o.ratio);
  check_at_least("kid_steps", o.kid_steps, 0);
  return o;
}

}  // namespace

Hylo::Hylo(const nn::Network& network, std::unique_ptr<Optimizer> backend, HyloOptions options,
           dist::ProcessGroup* group)
    : Sngd("hylo", network, std::move(backend),
           {.f = options.f,
            .warmup = options.warmup,
            .damping = options.damping,
            .rescale = options.rescale,
            .kl_clip = options.kl_clip,
            .exclude = options.exclude},
           group),
      own_(checked(options)),
      regime_(at::tensor({0.0, 1.0}, at::kDouble)) {}

int64_t Hylo::kept(int64_t samples) const {
  return std::max<int64_t>(1, static_cast<int64_t>(own_.ratio * static_cast<double>(samples)));
}

void Hylo::watch_rate() {
  double* regime = regime_.data_ptr<double>();
  const double rate = param_groups_.front().options().get_lr();
  if (rate < kFall * regime[0]) regime[1] = static_cast<double>(steps_done() + 1);
  regime[0] = rate;
}

void Hylo::renew(const std::vector<std::optional<LayerSamples>>& samples) {
  watch_rate();
  const double age = static_cast<double>(steps_done() + 1) - regime_[1].item<double>();
  decomposed_ = own_.form == HyloForm::kid ||
                (own_.form == HyloForm::automatic && age < static_cast<double>(own_.kid_steps));
  Sngd::renew(samples);
}

std::vector<Tensor> Hylo::precondition(const std::vector<Tensor>& gradients) {
  watch_rate();  // in steps without a renewal too
  return Sngd::precondition(gradients);
}

std::optional<SampledFisher> Hylo::fisher(size_t k, const SampleRows& own) {
  if (decomposed_) {
    const SampleRows all = gathered(own);
    if (!is_finite(all)) return std::nullopt;
    return interpolated_fisher(all, kept(all.count()), damping());
  }
  // All ranks draw the same samples out of all; each then hands on those of its own.
  Tensor scores = gradient_norms2(own);
  int64_t before = 0;
  if (group() != nullptr) {
    timed(times().reduce, [&] {
      const auto parts = group()->all_gather_unequal(scores);
      for (int rank = 0; rank < group()->rank(); ++rank) before += parts[rank].numel();
      scores = at::cat(parts);
    });
  }
  const int64_t all = scores.numel();
  if (!scores.isfinite().all().item<bool>()) return std::nullopt;
  const Tensor probabilities = inclusion_probabilities(scores, kept(all));
  RandomStream random(
      own_.seed, stream_id("hylo/" + layers()[k].name(), static_cast<uint64_t>(steps_done() + 1)));
  const double u = random.uniform({1}, at::TensorOptions(at::kDouble)).item<double>();
  const Tensor drawn = systematic_sample(probabilities, u);  // ascending
  const Tensor local =
      drawn.masked_select(drawn.ge(before).logical_and(drawn.lt(before + own.count()))) - before;
  const SampleRows rows = gathered(own.pick(local.to(own.A.device())));
  return weighted_fisher(rows, probabilities.index_select(0, drawn), all, damping());
}

std::vector<NamedTensor> Hylo::factors() {
  auto all = Sngd::factors();
  all.push_back({"regime", regime_});
  return all;
}

Statistics Hylo::method_statistics() const {
  auto all = Sngd::method_statistics();
  all.push_back({"decomposed", decomposed_ ? 1.0 : 0.0});
  return all;
}

}  // namespace ritz::optim
