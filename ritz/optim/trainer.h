#pragma once
// The training loop that all optimisers share: batches, schedules, accumulation, data-parallel
// averaging, logs, checkpoints, and a resume that ends in the bits of an uninterrupted run.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ritz/dist/process_group.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"
#include "ritz/optim/optimizer.h"
#include "ritz/optim/schedule.h"

namespace ritz::optim {

/// Samples of one split; dtype and device of the network for inputs. Empty tensors: no such split.
struct Split {
  Tensor inputs;   // [N, ...]
  Tensor targets;  // [N] int64 or [N, outputs]
};

/// What a controller may set before a step; the values it finds are those in force.
struct Controls {
  double lr = 0;
  std::optional<double> momentum;  // unset: left as it is
};

/// Sets learning rate and momentum as the training goes on (batch-scaling's learner does). Called
/// on every rank with the same step; all ranks must choose the same.
class Controller {
 public:
  virtual ~Controller() = default;
  /// Before the passes of step s (from 1), after the schedule has set the learning rate. The
  /// network's parameters are those the step starts from, and must be left so, gradients too.
  virtual void before_step(int64_t step, Controls& controls) = 0;
  virtual Statistics statistics() const { return {}; }
  virtual std::vector<NamedTensor> state_dict() { return {}; }
  virtual void load_state_dict(const std::vector<NamedTensor>&) {}
};

struct TrainerOptions {
  int64_t batch = 128;     // samples a micro-batch on each rank
  int64_t accumulate = 1;  // micro-batches a step
  int64_t steps = 1000;    // optimiser steps in all
  double lr = 0.1;         // base learning rate, times the schedule's factor
  std::string schedule = "constant";
  uint64_t seed = 0;             // of the batches' order
  std::string out;               // folder of the files; empty: nothing is written
  int64_t checkpoint_every = 0;  // steps; 0: only when stopped
  bool resume = false;           // go on from the folder's checkpoint
  /// Facts that a resumed run must share with the checkpoint (model, optimiser and its options,
  /// ...), and that model.safetensors carries as metadata.
  std::vector<std::pair<std::string, std::string>> identity;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::function<bool()> stop;  // asked once a step; true: checkpoint and leave (Ctrl-C)
};

/// One row of log.csv.
struct StepRecord {
  int64_t step = 0;
  double epoch = 0;  // of the data seen before this step
  double loss = 0;   // mean over all samples of the step, before the update
  double lr = 0;
  double seconds = 0;  // since the start of training, over all resumptions
};

struct TrainingResult {
  int64_t steps = 0;  // done, the diverged one not counted
  std::optional<int64_t> diverged_at, resumed_from;
  bool interrupted = false;
  double seconds = 0;
  double seconds_optimizer = 0;  // beyond the loss and its gradient
  int64_t words_sent = 0;
  std::vector<StepRecord> log;  // of this process's part of the run
};

/// Mean loss and accuracy (share of arg max = target; NaN for targets that are no classes) over a
/// split.
struct Evaluation {
  double loss = 0;
  double accuracy = 0;
};
Evaluation evaluate(const nn::Network& network, const nn::Loss& loss, const Split& split,
                    int64_t micro_batch = 1000);

/// The rows of step `step` (from 1) that rank `rank` of `world` takes in its micro-batch `micro`:
/// each epoch is one permutation of N; a step takes world * accumulate * batch rows of it in order,
/// rank by rank; rows that fill no whole step are left out of that epoch.
class BatchOrder {
 public:
  BatchOrder(int64_t samples, int64_t batch, int64_t accumulate, int rank, int world,
             uint64_t seed);
  Tensor rows(int64_t step, int64_t micro);
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  double epoch(int64_t step) const;

 private:
  int64_t samples_, batch_, accumulate_;
  int rank_, world_;
  uint64_t seed_;
  int64_t steps_per_epoch_;
  int64_t drawn_epoch_ = -1;
  Tensor permutation_;
};

/// Trains; writes OUT/model.safetensors, log.csv, optimizer.csv and checkpoint.safetensors on rank
/// 0. A non-finite loss ends the run with `diverged_at` set and all files written.
TrainingResult train(nn::Network& network, const nn::Loss& loss, const Split& data,
                     Optimizer& optimizer, const TrainerOptions& options, dist::ProcessGroup& group,
                     Controller* controller = nullptr,
                     const std::function<void(const StepRecord&)>& on_step = {});

}  // namespace ritz::optim
