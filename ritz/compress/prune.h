#pragma once
// Pruning from beginning to end: targets one after another, each in sub-steps, fine-tuning after
// each, losses and accuracies beside the prediction, and a run that goes on where it was killed.
//
//     const auto result = ritz::compress::prune(
//         {network, {}, {x, y}, {x_test, y_test}},
//         {.pruner = {.gradients = 64}, .targets = {0.5, 0.9}, .recomputations = 16});
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ritz/compress/pruner.h"

namespace ritz::compress {

struct PruneTask {
  nn::Network network;  // changed in place
  nn::Loss loss;
  optim::Split train;
  optim::Split test = {};  // for accuracies; undefined: the training set
};

struct PruneOptions {
  PrunerOptions pruner = {};
  std::vector<double> targets = {};  // sparsities of the prunable weights, ascending, in (0, 1)
  int64_t recomputations = 16;       // sub-steps of a target, each with fresh gradients; magnitude
                                     // needs one alone
  // Fine-tuning after each target: SGD with momentum, masks applied after every step.
  int64_t fine_tune_epochs = 0;
  double fine_tune_lr = 5e-3;       // of all epochs but the last (of one epoch: its first half)
  double fine_tune_last_lr = 5e-4;  // of the last epoch (of one epoch: its second half)
  double fine_tune_momentum = 0.9;
  int64_t fine_tune_batch = 128;
  std::string out = {};          // folder for checkpoint and logs; empty: none
  int64_t checkpoint_every = 0;  // steps of fine-tuning between its checkpoints
  bool resume = false;
  std::map<std::string, std::string> identity = {};  // must agree on resuming
  std::function<bool()> stop = {};
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress = {};
};

/// What one target gave.
struct PruneStep {
  double target = 0, sparsity = 0;
  std::optional<double> accuracy = {};             // right after pruning
  std::optional<double> predicted_loss = {};       // sum of saliencies over all sub-steps
  double measured_loss = 0;                        // rise of the mean training loss by pruning
  std::optional<double> accuracy_fine_tuned = {};  // where there was fine-tuning
};

struct PruneResult {
  std::vector<PruneStep> steps;
  std::optional<double> accuracy_before, accuracy_after;
  double loss_before = 0, loss_after = 0;              // mean over the training set
  std::vector<std::pair<std::string, double>> layers;  // name, sparsity
  std::vector<nn::NamedTensor> masks;
  bool interrupted = false, diverged = false, resumed = false;
  int64_t gradients = 0;  // in the last sub-step: fewer than asked for where that was allowed
};

/// Prunes. Into `out` go checkpoint.safetensors after each sub-step and each fine-tuning, and
/// fine-tune-K/ with the logs of the fine-tuning after target K. A resumed run ends in the bits of
/// an uninterrupted one. Throws InvalidArgument where a target does not exceed the sparsity there
/// is.
PruneResult prune(const PruneTask& task, const PruneOptions& options);

}  // namespace ritz::compress
