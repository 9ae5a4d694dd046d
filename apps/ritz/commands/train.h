#pragma once
#include <string_view>

#include "apps/ritz/commands/learning_task_options.h"
#include "apps/ritz/commands/training_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct Train {
  static constexpr std::string_view kName = "train";
  static constexpr std::string_view kSummary = "train a network, on one machine or many";
  static constexpr std::string_view kDescription =
      "Writes into --out: model.safetensors (all that later commands need), log.csv, "
      "optimizer.csv, "
      "summary.json and, where asked for or stopped, checkpoint.safetensors, from which the same "
      "line "
      "with --resume goes on to the bits of an uninterrupted run. Under torchrun, mpirun or Slurm "
      "it "
      "trains data-parallel: --batch is each process's.";
  static constexpr std::string_view kExample =
      "ritz train --model mlp:784-128-64-10 --data fashion-mnist --optimizer adam --epochs 1 --out "
      "run";

  LearningTaskOptions task;
  TrainingOptions training;

  void declare(Options& options) {
    task.declare(options);
    training.declare(options);
  }
  void check() const {
    task.check();
    training.check();
  }
  std::string more_help() const { return training.more_help(); }
  void run(Run& run) const;
};

}  // namespace ritz::app
