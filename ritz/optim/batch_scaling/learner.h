#pragma once
// Learning rate and momentum on the fly, from a few Lanczos steps on the curvature of a batch
// (reconstructed: the paper describes the method, not the algorithm).
//
//     #include "ritz/optim/batch_scaling/learner.h"
//     #include <torch/types.h>
//     #include "ritz/base/random.h"
//     #include "ritz/nn/models.h"
//     #include "ritz/optim/first_order.h"
//     int main() {
//       const auto network = ritz::nn::make_network("mlp:6-8-3", {.input_shape = {6}, .outputs = 3});
//       const auto x = ritz::RandomStream(1).normal({256, 6}, torch::kFloat32);
//       const ritz::optim::Split data{x, x.narrow(1, 0, 3).argmax(1)};
//       ritz::dist::ProcessGroup alone;
//       ritz::optim::SpectralLearner learner(network, {}, data, alone, {.batch = 32});
//       ritz::optim::Sgd sgd(network.parameter_values(), {.lr = 0.1, .momentum = 0.9});
//       const auto run = ritz::optim::train({network, {}, data, sgd, alone, &learner},
//                                           {.batch = 32, .steps = 60});
//       return run.log.back().loss < run.log.front().loss ? 0 : 1;
//     }
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ritz/krylov/quadrature.h"
#include "ritz/nn/curvature.h"
#include "ritz/optim/trainer.h"

namespace ritz::optim {

/// What stands for the smallest curvature that matters, l.
enum class FloorRule {
  positive_mean,      // "wpos": max(sum_k w_k max(theta_k, 0), 1e-3 L), tr(A+) / P
  smallest_positive,  // "pos": the smallest Ritz value > 1e-3 L
  bulk_edge           // "edge": |theta_min|
};
FloorRule parse_floor_rule(const std::string& name);

/// L = max(theta_max, -theta_min) and l of one quadrature; l <= L, and >= 1e-3 L.
struct CurvatureRange {
  double largest = 0;   // L
  double smallest = 0;  // l
};
CurvatureRange curvature_range(const ProbeQuadrature& quadrature,
                               FloorRule rule = FloorRule::positive_mean);

/// Heavy ball's optimum on a quadratic with curvatures in [l, L], made safe:
///   rho   = min(((sqrt L - sqrt l) / (sqrt L + sqrt l))^2, cap)
///   alpha = safety min((2 / (sqrt L + sqrt l))^2, 2 (1 + rho) / L)
struct HeavyBall {
  double lr = 0;
  double momentum = 0;
};
HeavyBall heavy_ball(const CurvatureRange& range, double safety = 0.25, double cap = 0.9);

struct LearnerOptions {
  int64_t batch = 128;  // samples a step of all ranks together, B
  int64_t every = 0;    // steps between calls; 0: N / (2 B), for cauchy N / B
  int64_t sample = 0;   // S, of the sub-sample; 0: B
  int64_t steps = 15;   // of Lanczos
  FloorRule floor = FloorRule::positive_mean;
  bool ggn = false;     // Gauss-Newton instead of the Hessian
  bool cauchy = false;  // alpha = g^T g / g^T H g on the sub-sample after one epoch's warm start,
                        // momentum unchanged (code)
  std::optional<double> momentum = {};  // fixed; unset: learned
  double safety = 0.25;                 // c, > 0
  double cap = 0.9;                     // of the momentum, [0, 1)
  double smoothing = 0.5;               // share of the new log L and log l, (0, 1]
  uint64_t seed = 0;                    // streams ("learner/rows", call), ("lanczos/start", ..)
  int64_t memory_limit = 0;             // bytes for graphs kept; 0: 80 % of what is free
};

/// A controller of the training loop. Rank 0 decides and broadcasts; the first call comes before
/// the first step. L is smoothed in its logarithm but never below what was just seen. Where L is
/// not positive and finite (or g^T H g <= 0) the values in force are kept; `kept()` counts these
/// calls.
class SpectralLearner : public Controller {
 public:
  SpectralLearner(const nn::Network& network, const nn::Loss& loss, const Split& data,
                  dist::ProcessGroup& group, LearnerOptions options = {});

  void before_step(int64_t step, Controls& controls) override;
  /// L, l, lr, momentum.
  Statistics statistics() const override;
  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;

  /// What one observation makes of the state: the part without a network.
  HeavyBall update(const CurvatureRange& seen);
  /// How many calls saw no usable curvature.
  int64_t kept() const { return kept_; }
  int64_t every() const { return every_; }

 private:
  void look(int64_t call);
  Tensor pack() const;
  void unpack(const Tensor& packed);

  nn::Objective objective_;
  dist::ProcessGroup* group_;
  LearnerOptions options_;
  int64_t every_ = 1;
  int64_t first_ = 1;         // step of the first call
  CurvatureRange smoothed_;   // 0: nothing seen yet
  std::optional<double> lr_;  // decided; unset before the first usable call
  std::optional<double> momentum_;
  int64_t kept_ = 0;
};

}  // namespace ritz::optim
