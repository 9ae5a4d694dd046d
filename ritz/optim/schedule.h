#pragma once
// Learning-rate schedules: a factor on the base rate for each step, steps counted from 1.
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace ritz::optim {

/// Notices when the loss no longer falls as it used to (reconstructed after MKOR's knee-point
/// rule):
///   recent  = -(least-squares slope of the last `window` losses), se its standard error,
///   overall = (mean of the first 10 - mean of the last `window`) / (their distance in steps, t),
///   a knee where recent + 2 se < beta overall at `patience` checks in a row,
/// checked every `check` steps once t >= min_steps since the start or the last knee.
struct KneeOptions {
  int64_t window = 200;
  int64_t min_steps = 600;  // 3 windows
  int64_t check = 50;
  int64_t patience = 2;
  double beta = 0.05;
};

class KneeDetector {
 public:
  explicit KneeDetector(KneeOptions options = {});
  /// Takes the loss of the next step; true at a knee, after which a new regime begins.
  bool observe(double loss);
  /// All of its state, for checkpoints.
  std::vector<double> state() const;
  void set_state(const std::vector<double>& state);

 private:
  KneeOptions options_;
  int64_t t_ = 0;  // losses seen in this regime
  int64_t strikes_ = 0;
  double first_sum_ = 0;     // over the first 10
  std::deque<double> last_;  // at most `window`
};

/// `constant`; `step:FACTOR@STEP,FACTOR@STEP,...` (multiplied by FACTOR from that step on);
/// `cosine` (from 1 down to 0 over all steps), `cosine:WARMUP` (so many steps up first, linearly
/// from 1 / WARMUP, then down to 0 over the others); `knee[:FACTOR]` (multiplied by FACTOR, 0.1 by
/// default, at each knee).
class Schedule {
 public:
  Schedule() = default;
  /// Throws InvalidArgument with the grammar where the text does not follow it. `total_steps` is
  /// the length of the run, which `cosine` needs.
  Schedule(const std::string& text, int64_t total_steps);

  /// The factor for a step.
  double factor(int64_t step) const;
  /// Takes the loss of a step when it is known; only `knee` looks at it.
  void observe(double loss);

  std::vector<double> state() const;
  void set_state(const std::vector<double>& state);

 private:
  enum class Kind { constant, step, cosine, knee };
  Kind kind_ = Kind::constant;
  int64_t total_steps_ = 0;
  int64_t warmup_ = 0;                             // cosine
  std::vector<std::pair<double, int64_t>> steps_;  // (factor, first step)
  double knee_factor_ = 0.1;
  double reached_ = 1;  // knee: the product so far
  KneeDetector knee_;
};

}  // namespace ritz::optim
