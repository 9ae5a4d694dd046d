#pragma once
// How something is trained, on the command line: optimiser, rates, batches, length, checkpoints.
// training_run.h does it.
#include <optional>
#include <string>
#include <vector>

#include "apps/ritz/frame/options.h"
#include "ritz/base/check.h"
#include "ritz/optim/catalogue.h"

namespace ritz::app {

struct TrainingOptions {
  std::string optimizer = "sgd";
  std::vector<std::string> opt;
  std::optional<double> lr;
  int64_t batch = 128, accumulate = 1, checkpoint_every = 0;
  std::optional<int64_t> epochs, steps, memory_limit;
  std::string schedule = "constant";
  bool resume = false;
  double rank_timeout = 600;

  static constexpr int64_t kDefaultEpochs = 10;

  void declare(Options& options) {
    std::vector<std::string> names;
    for (const auto& entry : optim::kOptimizers) names.emplace_back(entry.name);
    options.option("--optimizer", optimizer, "NAME", "the optimiser").one_of(names);
    options.repeated("--opt", opt, "KEY=VALUE",
                     "an option of the optimiser; its --help lists them");
    options.option("--lr", lr, "A", "learning rate [the optimiser's own]").at_least(0);
    options.option("--batch", batch, "B", "samples a step, or a micro-batch, on each process")
        .at_least(1);
    options.option("--accumulate", accumulate, "K", "micro-batches a step").at_least(1);
    options.option("--epochs", epochs, "E", "passes over the data [10]").at_least(1);
    options.option("--steps", steps, "S", "steps, instead of --epochs").at_least(1);
    options.option("--schedule", schedule, "SCHEDULE",
                   "constant, step:FACTOR@STEP,..., cosine[:WARMUP] or knee[:FACTOR]");
    options
        .option("--checkpoint-every", checkpoint_every, "N",
                "steps between checkpoints; 0: only when stopped")
        .at_least(0);
    options.flag("--resume", resume, "go on from the last checkpoint in --out");
    options
        .option(
            "--memory-limit", memory_limit, "BYTES",
            "the most that a step may take beyond data and parameters, and what an optimiser may "
            "keep [80 % of what is free]")
        .at_least(1);
    options
        .option("--rank-timeout", rank_timeout, "SECONDS",
                "a process that does not answer for so long is lost")
        .above(0);
    options.output_folder("model, logs and summary").required();
  }
  void check() const {
    [[maybe_unused]] const optim::Settings readable(optim::find_optimizer(optimizer), opt);
    if (epochs && steps) throw UsageError("--epochs", "it or --steps", "both");
    if (optimizer == "spectral" && schedule != "constant") {
      throw UsageError("--schedule", "constant: spectral sets its own learning rate", schedule);
    }
  }
  /// The optimiser's own options.
  std::string more_help() const {
    const auto& entry = optim::find_optimizer(optimizer);
    std::string text = "Options of --optimizer " + optimizer + " (" + std::string(entry.summary) +
                       "; --lr " + number_text(entry.lr) + "):\n";
    for (const auto& key : entry.keys) {
      std::string term = "  --opt " + std::string(key.key) + "=" + std::string(key.preset);
      term.resize(std::max<size_t>(term.size() + 2, 28), ' ');
      text += term + std::string(key.help) + "; " + std::string(key.form) + "\n";
    }
    return text;
  }
};

}  // namespace ritz::app
