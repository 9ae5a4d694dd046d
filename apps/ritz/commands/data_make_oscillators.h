#pragma once
// `ritz data make two-oscillators`.
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct MakeTwoOscillators {
  static constexpr std::string_view kName = "data make two-oscillators";
  static constexpr std::string_view kSummary =
      "a field of a strong and a weak oscillator (info-koopman)";
  static constexpr std::string_view kDescription =
      "Trajectories [N, T, D] of two waves on a ring with incommensurate frequencies from random "
      "phases. The truth beside it holds the frequencies and the first phases.";
  static constexpr std::string_view kExample = "ritz data make two-oscillators --out waves.npy";

  int64_t trajectories = 40, steps = 40, points = 48;
  double weak = 0.08, noise = 0.2;

  void declare(Options& options) {
    options.option("--trajectories", trajectories, "N", "trajectories").at_least(1);
    options.option("--steps", steps, "T", "frames of a trajectory").at_least(1);
    options.option("--points", points, "D", "points of the ring").at_least(1);
    options.option("--weak", weak, "A", "amplitude of the weak oscillator").at_least(0);
    options.option("--noise", noise, "S", "deviation of the noise").at_least(0);
    options.output_file("the trajectories").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
