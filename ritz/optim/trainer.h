#pragma once
// The training loop that all optimisers share: batches, schedules, accumulation, data-parallel
// averaging, logs, checkpoints, and a resume that ends in the bits of an uninterrupted run.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ritz/dist/process_group.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"
#include "ritz/optim/controller.h"
#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// Samples with targets; inputs have the network's dtype and device.
struct Split {
  Tensor inputs;   // [N, ...]
  Tensor targets;  // [N] int64 or [N, outputs]
};

/// What is trained with what. The loss is taken as a mean over the samples.
struct TrainingTask {
  nn::Network network;
  nn::Loss loss;
  Split data;
  Optimizer& optimizer;
  dist::ProcessGroup& group;
  Controller* controller = nullptr;
};

/// One row of log.csv.
struct StepRecord {
  int64_t step = 0;
  double epoch = 0;    // epochs done before this step
  double loss = 0;     // mean over all samples of the step, on all ranks, before the update
  double lr = 0;       // of this step
  double seconds = 0;  // of training so far, over all resumptions
};

struct TrainerOptions {
  int64_t batch = 128;     // samples a micro-batch on each rank
  int64_t accumulate = 1;  // micro-batches a step
  int64_t steps = 1000;    // in all, those before a resumption among them
  double lr = 0.1;         // base learning rate, times the schedule's factor
  std::string schedule = "constant";
  uint64_t seed = 0;             // of the batches' order
  std::string out = {};          // folder for the files; empty: none are written
  int64_t checkpoint_every = 0;  // steps; 0: only when stopped
  bool resume = false;           // go on from the folder's last checkpoint
  /// Bytes that a step may take beyond data and parameters: its passes and the optimiser's state.
  /// 0: 80 % of what is free. A step that needs more is refused before the first.
  int64_t memory_limit = 0;
  /// Facts that a resumed run must share with its checkpoint (model, optimiser and its options,
  /// ...).
  std::map<std::string, std::string> identity = {};
  /// Of model.safetensors, beside the model itself.
  std::map<std::string, std::string> metadata = {};
  /// Asked once a step on every rank; true on any: all finish the step, write a checkpoint and
  /// leave.
  std::function<bool()> stop = {};
  std::function<void(const StepRecord&)> on_step = {};  // progress
};

struct TrainingResult {
  int64_t steps = 0;  // updates done in all
  std::optional<int64_t> diverged_at, resumed_from;
  bool interrupted = false;
  double seconds = 0;            // over all resumptions, as the next two
  double seconds_optimizer = 0;  // beyond the loss and its gradient
  int64_t words_sent = 0;
  std::vector<StepRecord> log;  // of this part of the run
};

/// Trains. Rank 0 writes into `out`:
/// - log.csv, a row a step as the steps are done;
/// - optimizer.csv, the optimiser's and the controller's statistics;
/// - checkpoint.safetensors every `checkpoint_every` steps and when stopped: parameters, buffers,
///   optimiser, schedule, controller; the rows of the logs up to it are on the disk before it is;
/// - model.safetensors at the end, also where the loss stopped being finite (then the parameters
/// are
///   those that gave that loss).
/// Gradients are averaged over ranks in one flat all-reduce, which also carries the loss, running
/// statistics (averaged, so that all ranks keep the same) and the wish to stop. Batch norm sees
/// each micro-batch alone. The ranks of a resumed run must all see the folder.
TrainingResult train(const TrainingTask& task, const TrainerOptions& options);

struct Evaluation {
  double loss = 0;                 // mean over the samples
  std::optional<double> accuracy;  // share of samples whose largest output is their label
};
/// Over all samples of a split, shared out among the ranks, in evaluation mode.
Evaluation evaluate(const nn::Network& network, const nn::Loss& loss, const Split& split,
                    dist::ProcessGroup& group, int64_t micro_batch = 1000);

}  // namespace ritz::optim
