// MKOR: what the paper claims, re-measured.
//
//     ritz study mkor --scale desk --out study
//
// (A) steps to a loss; (B) cost of a renewal and of an iteration; (C) words sent; (D) MKOR-H.
#include "studies/mkor.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/nn/data.h"
#include "ritz/nn/models.h"
#include "ritz/optim/make_optimizer.h"
#include "studies/mkor/parts.h"

namespace ritz::studies {
namespace mkor {

Images images(const StudyContext& context) {
  nn::DataOptions options;
  options.data = "fashion-mnist";
  options.pool = 2;
  if (context.scale == Scale::quick) options.limit = 10000;
  const auto data = nn::load_labelled_data(options);
  return {data.inputs, data.targets, data.test_inputs, data.test_targets};
}

Outcome train(const Images& images, const Run& run, bool with_accuracy) {
  const auto network = nn::make_network("mlp:196-128-64-10", {.seed = run.seed});
  dist::ProcessGroup alone;
  const optim::Settings settings(optim::find_optimizer(run.optimizer), run.opt);
  const auto optimizer =
      optim::make_optimizer(run.optimizer, {network, run.lr, &alone, run.seed}, settings);
  const auto trained = optim::train(
      {network, {}, {images.inputs, images.targets}, *optimizer, alone},
      {.batch = 128, .steps = run.steps, .lr = run.lr, .schedule = run.schedule, .seed = run.seed});
  Outcome outcome{.seconds_optimizer = trained.seconds_optimizer};
  for (const auto& record : trained.log) {
    outcome.loss.push_back(record.loss);
    outcome.seconds.push_back(record.seconds);
  }
  constexpr size_t kLast = 20;
  double last = std::numeric_limits<double>::infinity();
  if (!trained.diverged_at && outcome.loss.size() >= kLast) {
    last = 0;
    for (size_t k = 0; k < kLast; ++k) last += outcome.loss[outcome.loss.size() - 1 - k] / kLast;
  }
  outcome.final_loss = std::isfinite(last) ? last : std::numeric_limits<double>::infinity();
  outcome.loss.resize(static_cast<size_t>(run.steps), std::numeric_limits<double>::quiet_NaN());
  outcome.seconds.resize(outcome.loss.size(), std::numeric_limits<double>::quiet_NaN());
  if (with_accuracy) {
    const auto test =
        optim::evaluate(network, {}, {images.test_inputs, images.test_targets}, alone);
    outcome.accuracy = test.accuracy.value_or(0);
  }
  for (const auto& [name, value] : optimizer->state_dict()) {
    if (name == "switched_at") outcome.switched_at = value.item<double>();
  }
  return outcome;
}

double steps_to(const Outcome& outcome, double level) {
  const auto mean = running_mean(outcome.loss, 20);
  for (size_t t = 0; t < mean.size(); ++t) {
    if (mean[t] < level) return static_cast<double>(t + 1);
  }
  return static_cast<double>(outcome.loss.size() + 1);
}

void add_spread(Claim& claim, const std::string& name, const std::vector<double>& values) {
  claim.measured.emplace_back(name, median(values));
  if (values.size() < 2) return;
  claim.measured.emplace_back(name + ", smallest", *std::min_element(values.begin(), values.end()));
  claim.measured.emplace_back(name + ", largest", *std::max_element(values.begin(), values.end()));
}

}  // namespace mkor

StudyResult study_mkor(const StudyContext& context) {
  if (context.scale == Scale::full) {
    throw Unsupported(
        "mkor: the paper's own scale (BERT-Large, ResNet-50 on ImageNet) runs through the "
        "library's "
        "Mkor over your module, with LAMB or SGD as its backend");
  }
  StudyResult result;
  mkor::convergence(context, result);
  mkor::cost(context, result);
  mkor::hybrid(context, result);
  return result;
}

}  // namespace ritz::studies
