#pragma once
// Training of Koopman models: windows of trajectories, Adam with clipped gradients, a decaying
// rate, validation with early stopping, checkpoints, data-parallel ranks.
//
//     #include "ritz/koopman/learned/training.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       const auto t = torch::arange(80.) * 0.3;
//       const Trajectories data{torch::stack({t.sin(), t.cos()}, 1).unsqueeze(0)};
//       Model model({.network = "mlp:16", .sample = {2}, .latent = 4});
//       ritz::dist::ProcessGroup alone;
//       const auto trained = train(model, {data}, {.window = 8, .batch = 8, .steps = 50}, alone);
//       return trained.steps == 50 ? 0 : 1;
//     }
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "ritz/dist/process_group.h"
#include "ritz/koopman/learned/loss.h"
#include "ritz/koopman/learned/trajectories.h"

namespace ritz::koopman::learned {

struct TrainingData {
  Trajectories train;
  std::optional<Trajectories> validation = {};  // none: the training loss decides what is best
};

/// One row of log.csv.
struct TrainingRecord {
  int64_t step = 0;
  double epoch = 0, loss = 0, lr = 0, seconds = 0;
  std::vector<double> parts = {};         // part_names(); NaN where a term is not there
  std::optional<double> validation = {};  // at the end of an epoch
};

struct TrainingOptions {
  LossOptions loss = {};
  int64_t window = 16;  // T: windows have T + 1 frames
  int64_t batch = 16;   // windows a step, on each rank
  /// In all; 0: `epochs` passes over the windows.
  int64_t steps = 0;
  int64_t epochs = 300;
  int64_t patience = 50;  // epochs without a better validation loss before it stops; 0: never
  double lr = 1e-3;       // Adam's
  double decay = 0.8;     // of the rate, every `decay_every` epochs (0: never)
  int64_t decay_every = 20;
  double clip = 1;  // of the gradient's norm; 0: none
  Scaling scaling = Scaling::channel;
  uint64_t seed = 0;
  std::string out = {};          // folder for log.csv and the checkpoint; empty: none
  int64_t checkpoint_every = 0;  // steps; 0: only when stopped
  bool resume = false;
  std::map<std::string, std::string> identity = {};  // facts that a resumed run must share
  std::function<bool()> stop = {};                   // asked once a step
  std::function<void(const TrainingRecord&)> on_step = {};
};

struct TrainingResult {
  int64_t steps = 0, planned = 0;
  int64_t best_step = 0;  // whose parameters the model has now
  double best_loss = 0;   // of the validation windows, else the mean training loss of an epoch
  std::optional<int64_t> diverged_at, resumed_from;
  bool interrupted = false, stopped_early = false;
  double seconds = 0;
  std::vector<TrainingRecord> log;
};

/// Sets the model's scale from the training frames, trains, and leaves the best parameters of all
/// epochs in the model (also where the loss stopped being finite: then `diverged_at` says so). A
/// ridge operator is then solved once over all training windows. Each epoch is one permutation of
/// the windows; ranks take together the windows that one rank with P times the batch would, their
/// gradients are averaged. Validation has the objective's own weights and K.
TrainingResult train(Model& model, const TrainingData& data, const TrainingOptions& options,
                     dist::ProcessGroup& group);

/// The mean objective over evenly spread windows of `data` (at most `most` batches), without
/// gradient.
double validate(Model& model, const Trajectories& data, const TrainingOptions& options,
                dist::ProcessGroup& group, int64_t most = 32);

/// Solves a ridge model's K (and B) over all one-step pairs of `data`.
void solve_ridge(Model& model, const Trajectories& data, dist::ProcessGroup& group);

/// Latents (means) [N, L, (objects,) d] of raw frames; no gradient.
Tensor encode_all(Model& model, const Tensor& frames);

}  // namespace ritz::koopman::learned
