#pragma once
// What other koopman commands do with --checkpoint, a learned model in place of a fitted one.
#include <optional>
#include <string>

#include "apps/ritz/frame/run.h"

namespace ritz::app {

/// `koopman forecast X --checkpoint M`: the frames after the last one of every trajectory, to
/// --out. `actions` (empty: none): those of the steps to come, [H, m] or [N, H, m].
struct CheckpointForecast {
  std::string frames, checkpoint, actions;
  int64_t horizon = 1;
};
void forecast_by_checkpoint(const CheckpointForecast& request, Run& run);

/// `koopman spectrum [X] --checkpoint M`: eigenvalues of the model's K; with X their
/// eigenfunctions' residuals there, of the pairs before and of those after the hold-out.
struct CheckpointSpectrum {
  std::string checkpoint;
  std::optional<std::string> frames;
  std::string modes, plot;
  double dt = 1, holdout = 0.25, tolerance = 0.05;
  int64_t replicas = 1000;
};
void spectrum_of_checkpoint(const CheckpointSpectrum& request, Run& run);

}  // namespace ritz::app
