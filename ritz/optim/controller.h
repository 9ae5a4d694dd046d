#pragma once
// What may set learning rate and momentum as the training goes on, besides a schedule:
// batch-scaling's learner does, from the curvature of the loss.
#include <optional>

#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// What a controller may set before a step; it finds the values in force.
struct Controls {
  double lr = 0;                   // after the schedule
  std::optional<double> momentum;  // unset: left as it is
};

/// Called on every rank with the same step; all ranks must choose the same.
class Controller {
 public:
  virtual ~Controller() = default;
  /// Before the passes of step s (from 1). The network's parameters are those that the step starts
  /// from, and must be left so. What is set in one step does not carry over: `controls` comes
  /// afresh from the schedule each time.
  virtual void before_step(int64_t step, Controls& controls) = 0;
  /// Columns of optimizer.csv, the same names every step.
  virtual Statistics statistics() const { return {}; }
  /// All that the next steps depend on; live tensors, as in Optimizer::state_dict.
  virtual std::vector<NamedTensor> state_dict() { return {}; }
  virtual void load_state_dict(const std::vector<NamedTensor>& state) {
    assign_state(state_dict(), state);
  }
};

}  // namespace ritz::optim
