#include "ritz/optim/batch_scaling/rules.h"

#include <algorithm>
#include <cmath>

#include "ritz/base/check.h"

namespace ritz::optim {

std::optional<double> max_learning_rate(const NoiseModel& model, double b, double momentum) {
  check_in("momentum", momentum, 0, 1);
  if (!model.positive_curvature()) return std::nullopt;
  return 2 * (1 + momentum) / model.top(b).value;
}

std::optional<double> spectral_rule(const NoiseModel& model, const TunedPoint& tuned, double b) {
  check_positive("lr", tuned.lr);
  if (!model.positive_curvature()) return std::nullopt;
  return tuned.lr * model.top(tuned.b).value / model.top(b).value;
}

double linear_rule(double lr0, double batch0, double batch) {
  return lr0 * batch / batch0;
}

double sqrt_rule(double lr0, double batch0, double batch) {
  return lr0 * std::sqrt(batch / batch0);
}

double noise_scale_rule(double lr_max, double noise_scale, double batch) {
  check_non_negative("noise_scale", noise_scale);
  return lr_max / (1 + noise_scale / batch);
}

std::optional<double> adaptive_max_learning_rate(const NoiseModel& model, double delta, double b) {
  check_positive("delta", delta);
  if (!model.positive_curvature()) return std::nullopt;
  return delta * std::sqrt(b / model.variance());
}

double min_damping(const NoiseModel& model, double lr, double b, double floor) {
  check_positive("lr", lr);
  check_non_negative("floor", floor);
  return std::max(floor, lr / 2 * model.top(b).value - model.lambda_1);
}

double damping_law(const NoiseModel& model, double lr, double b) {
  check_positive("lr", lr);
  return lr * model.c / (2 * b);
}

std::vector<BatchRule> batch_rules(const NoiseModel& model, const std::vector<int64_t>& batch_sizes,
                                   const RuleOptions& options) {
  std::optional<TunedPoint> tuned;
  if (options.lr)
    tuned = TunedPoint{*options.lr,
                       effective_batch(options.at_batch, options.samples, options.replacement)};
  std::vector<BatchRule> rules;
  for (const int64_t batch : batch_sizes) {
    BatchRule rule{.batch = batch,
                   .b = effective_batch(batch, options.samples, options.replacement)};
    rule.lr_sgd = tuned ? spectral_rule(model, *tuned, rule.b)
                        : max_learning_rate(model, rule.b, options.momentum);
    if (tuned) {
      const auto at = static_cast<double>(options.at_batch), to = static_cast<double>(batch);
      rule.lr_adam = sqrt_rule(tuned->lr, at, to);
      rule.lr_linear = linear_rule(tuned->lr, at, to);
    }
    if (rule.lr_sgd) {
      rule.damping_min = min_damping(model, *rule.lr_sgd, rule.b);
      rule.damping_law = damping_law(model, *rule.lr_sgd, rule.b);
    }
    rules.push_back(rule);
  }
  return rules;
}

}  // namespace ritz::optim
