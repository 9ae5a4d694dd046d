#pragma once
// A training run from its command line to summary.json, whatever is trained: ranks, the optimiser
// by name, files, resumption, Ctrl-C, divergence, the evaluation at the end.
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "apps/ritz/commands/training_options.h"
#include "apps/ritz/frame/run.h"
#include "ritz/dist/process_group.h"
#include "ritz/nn/network_file.h"
#include "ritz/optim/make_optimizer.h"
#include "ritz/optim/trainer.h"

namespace ritz::app {

/// What is trained on what.
struct TrainedTask {
  nn::Network network;
  nn::Loss loss;
  optim::Split data;
  optim::Split test = {};                            // undefined where there is none
  nn::Metadata metadata = {};                        // of model.safetensors
  std::map<std::string, std::string> identity = {};  // what a resumed run must share
  /// Makes the optimiser in place of optim::make_optimizer, where it gives one.
  std::function<std::unique_ptr<optim::Optimizer>(const optim::OptimizerTask&,
                                                  const optim::Settings&)>
      make_optimizer = {};
  int64_t evaluation_batch = 1000;
};

class TrainingRun {
 public:
  /// Finds out which of how many processes this is, silences all but the first and shares the
  /// cores.
  TrainingRun(const TrainingOptions& options, Run& run);
  /// Trains and evaluates, writes the files of `ritz train`, and its keys into the run's JSON.
  void train(const TrainedTask& task);

  const dist::Ranks ranks;

 private:
  const TrainingOptions& options_;
  Run& run_;
};

}  // namespace ritz::app
