#pragma once
// Two oscillators of incommensurate frequencies seen as one field: a strong wave and a weak one.
//
//   const auto made = ritz::studies::two_oscillators({.trajectories = 40, .steps = 40});
//   // made.field [40, 40, 48], made.phases [40, 40, 2]
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::studies {

struct TwoOscillatorsOptions {
  int64_t trajectories = 40, steps = 40;  // frames of a trajectory
  int64_t points = 48;                    // of the ring
  double weak = 0.08;                     // A
  double noise = 0;                       // deviation of the Gaussian noise
  uint64_t seed = 0;
};
struct TwoOscillators {
  Tensor field;   // float64 [N, T, points]
  Tensor phases;  // float64 [N, T, 2], of the strong and of the weak one
};
/// u = exp(1.5 cos(x - p1)) / 2 + A exp(cos(3 x - p2)) / 1.5 on [0, 2 pi), p1 += 0.35 and p2 +=
/// 0.35 sqrt(2) a step from random phases, plus noise.
TwoOscillators two_oscillators(const TwoOscillatorsOptions& options);

}  // namespace ritz::studies
