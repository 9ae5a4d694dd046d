#pragma once
// Learning rate, momentum and damping for each batch size.
//
// On the local quadratic the largest stable learning rate of SGD is 2 / lambda_1'(B): linear in B
// for small batches, square root of B where the bulk dominates, and never more than 2 / lambda_1 of
// the full data (paper).
#include <cstdint>
#include <optional>
#include <vector>

#include "ritz/optim/batch_scaling/model.h"

namespace ritz::optim {

/// 2 (1 + rho) / lambda_1'(b), heavy ball with momentum rho in [0, 1). None without positive
/// curvature.
std::optional<double> max_learning_rate(const NoiseModel& model, double b, double momentum = 0);

/// A learning rate that was found good at effective batch b.
struct TunedPoint {
  double lr = 0;
  double b = 0;
};
/// lr0 lambda_1'(b0) / lambda_1'(b): the method's rule for SGD. None without positive curvature.
std::optional<double> spectral_rule(const NoiseModel& model, const TunedPoint& tuned, double b);
/// lr0 B / B0 (Goyal et al. 2017).
double linear_rule(double lr0, double batch0, double batch);
/// lr0 sqrt(B / B0): for Adam, RMSprop, Adagrad, K-FAC with small damping (paper).
double sqrt_rule(double lr0, double batch0, double batch);
/// lr_max / (1 + B_noise / B) (McCandlish et al. 2018).
double noise_scale_rule(double lr_max, double noise_scale, double batch);

/// Largest stable learning rate of an adaptive method whose preconditioner has a flat bulk at
/// damping delta: delta sqrt(b) / sqrt(P sigma^2) (reconstructed). None without positive curvature.
std::optional<double> adaptive_max_learning_rate(const NoiseModel& model, double delta, double b);

/// Least damping of a second-order method with learning rate lr:
/// max(floor, lr / 2 lambda_1'(b) - lambda_1) (reconstructed).
double min_damping(const NoiseModel& model, double lr, double b, double floor = 0);
/// Its law for lr <= 2, proportional to lr / B: lr c / (2 b) (reconstructed).
double damping_law(const NoiseModel& model, double lr, double b);

/// One row of advice.
struct BatchRule {
  int64_t batch = 0;
  double b = 0;
  std::optional<double> lr_sgd = {};  // spectral_rule, or max_learning_rate where nothing was tuned
  std::optional<double> lr_adam = {};      // sqrt_rule; none where nothing was tuned
  std::optional<double> lr_linear = {};    // linear_rule, what is usually done; likewise
  std::optional<double> damping_min = {};  // min_damping at lr_sgd
  std::optional<double> damping_law = {};
};
struct RuleOptions {
  int64_t samples = 0;  // N
  bool replacement = false;
  double momentum = 0;
  std::optional<double> lr = {};  // found good at `at_batch`
  int64_t at_batch = 0;
};
/// The table B -> advice; lambda_1' as the model predicts it.
std::vector<BatchRule> batch_rules(const NoiseModel& model, const std::vector<int64_t>& batch_sizes,
                                   const RuleOptions& options);

}  // namespace ritz::optim
