#include "studies/generators/oscillators.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {

TwoOscillators two_oscillators(const TwoOscillatorsOptions& o) {
  check_at_least("trajectories", o.trajectories, 1);
  check_at_least("steps", o.steps, 1);
  check_at_least("points", o.points, 1);
  check_non_negative("weak", o.weak);
  check_non_negative("noise", o.noise);
  const double turn = 2 * M_PI;
  RandomStream start(o.seed, stream_id("two-oscillators/phases"));
  const Tensor first = start.uniform({o.trajectories, 1, 2}, torch::kFloat64, 0, turn);
  const Tensor speed = torch::tensor({0.35, 0.35 * std::sqrt(2.0)}, torch::kFloat64);
  const Tensor time = torch::arange(o.steps, torch::kFloat64).view({1, -1, 1});
  const Tensor phases = first + time * speed;
  const Tensor x =
      torch::arange(o.points, torch::kFloat64) * (turn / static_cast<double>(o.points));
  const Tensor p1 = phases.narrow(2, 0, 1), p2 = phases.narrow(2, 1, 1);
  Tensor field = (1.5 * (x - p1).cos()).exp() / 2 + o.weak / 1.5 * (3 * x - p2).cos().exp();
  if (o.noise > 0) {
    RandomStream noise(o.seed, stream_id("two-oscillators/noise"));
    field = field + noise.normal(field.sizes(), torch::kFloat64, 0, o.noise);
  }
  return {field, phases.remainder(turn)};
}

}  // namespace ritz::studies
