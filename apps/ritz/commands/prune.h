#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/block_option.h"
#include "apps/ritz/commands/learning_task_options.h"
#include "apps/ritz/frame/command.h"
#include "ritz/base/check.h"

namespace ritz::app {

struct Prune {
  static constexpr std::string_view kName = "prune";
  static constexpr std::string_view kSummary =
      "drop weights of a trained network, fine-tuning or not";
  static constexpr std::string_view kDescription =
      "Drops entries of weight matrices and kernels (biases and norms stay) and, with mfac and "
      "woodfisher, moves the others to make up for it. Writes into --out: model.safetensors, dense "
      "with exact zeros; masks.safetensors, one uint8 array a weight; summary.json; and "
      "checkpoint.safetensors, from which the same line with --resume goes on to the bits of an "
      "uninterrupted run. Weights that are exactly 0 already count as dropped.";
  static constexpr std::string_view kExample =
      "ritz prune run/model.safetensors --data fashion-mnist --limit 5000 --sparsity 0.8,0.9 --out "
      "pruned";

  std::string model;
  LearningTaskOptions task;
  std::string method = "mfac";
  std::vector<double> sparsity;
  std::string of = "prunable", schedule = "targets";
  int64_t prunings = 8;
  int64_t gradients = 64, gradient_batch = 32;
  bool allow_fewer = false;
  std::string block = "128", block_scope = "flat", update = "independent", storage = "full";
  int64_t recomputations = 16;
  double damping = 1e-5;
  int64_t fine_tune_epochs = 0, fine_tune_batch = 128;
  std::vector<double> fine_tune_lr = {5e-3, 5e-4};
  double fine_tune_momentum = 0.9;
  int64_t checkpoint_every = 0, memory_limit = 0;
  bool resume = false;

  void declare(Options& options) {
    options.positional("MODEL", model, "a model.safetensors of 'ritz train', or a TorchScript file")
        .required();
    options.option("--checkpoint", task.checkpoint, "FILE",
                   "weights for a TorchScript file [its own]");
    task.declare_data(options);
    options.option("--method", method, "NAME", "how weights are chosen")
        .one_of({"mfac", "woodfisher", "obd", "magnitude"});
    options
        .option("--sparsity", sparsity, "S,S,...",
                "shares of the prunable weights to drop, one target after another")
        .above(0)
        .below(1)
        .required();
    options.option("--of", of, "WHAT", "--sparsity's whole: all parameters counts biases too")
        .one_of({"prunable", "all"});
    options
        .option("--schedule", schedule, "KIND",
                "targets as given; or cubic growth up to the one given (Zhu and Gupta)")
        .one_of({"targets", "zhu-gupta"});
    options.option("--prunings", prunings, "N", "targets of zhu-gupta").at_least(1);
    options.option("--gradients", gradients, "M", "gradients, fresh in each sub-step").at_least(1);
    options
        .option("--gradient-batch", gradient_batch, "B",
                "samples in each; the more, the smaller is the noise in F beside lambda")
        .at_least(1);
    options.flag("--allow-fewer", allow_fewer,
                 "where the data have fewer than M batches, take those");
    declare_block(options, block, "blocks of the inverse, in surviving weights");
    options.option("--block-scope", block_scope, "KIND", "may a block cross tensors?")
        .one_of({"flat", "per-tensor"});
    options
        .option("--recomputations", recomputations, "R",
                "sub-steps of a target; few are the commonest cause of bad results")
        .at_least(1);
    options.option("--damping", damping, "L", "lambda in F = lambda I + G^T G / m").above(0);
    options
        .option("--update", update, "KIND",
                "the weights that stay: sum of single updates, or the exact minimum of the model")
        .one_of({"independent", "joint"});
    options.option("--storage", storage, "KIND", "what gradients are kept in")
        .one_of({"full", "bfloat16", "float16"});
    options.option("--fine-tune-epochs", fine_tune_epochs, "E", "epochs of SGD after each target")
        .at_least(0);
    options
        .option(
            "--fine-tune-lr", fine_tune_lr, "A,B",
            "learning rate of all epochs but the last, and of the last (halves of a single one)")
        .above(0);
    options.option("--fine-tune-momentum", fine_tune_momentum, "MU", "SGD's").at_least(0).below(1);
    options.option("--fine-tune-batch", fine_tune_batch, "B", "samples a step").at_least(1);
    options
        .option("--checkpoint-every", checkpoint_every, "N",
                "steps of fine-tuning between checkpoints; sub-steps of pruning always write one")
        .at_least(0);
    options.flag("--resume", resume, "go on from the last checkpoint in --out");
    options
        .option("--memory-limit", memory_limit, "BYTES",
                "for the gradients; 0: 80 % of what is free")
        .at_least(0);
    options.output_folder("pruned model, masks and summary").required();
  }
  void check() const {
    if (task.data.empty()) throw UsageError("--data", "it to be given", "nothing");
    if (task.test_data.empty() != task.test_labels.empty()) {
      throw UsageError("--test-data", "--test-labels beside it", "one without the other");
    }
    if (fine_tune_lr.size() > 2) {
      throw UsageError("--fine-tune-lr", "A or A,B",
                       std::to_string(fine_tune_lr.size()) + " rates");
    }
    for (size_t k = 1; k < sparsity.size(); ++k) {
      if (sparsity[k] <= sparsity[k - 1]) {
        throw UsageError("--sparsity", "ascending targets",
                         number_text(sparsity[k]) + " after " + number_text(sparsity[k - 1]));
      }
    }
    if (schedule == "zhu-gupta" && sparsity.size() != 1) {
      throw UsageError("--sparsity", "one target beside --schedule zhu-gupta",
                       std::to_string(sparsity.size()));
    }
    if (method == "woodfisher" && block == "none") {
      throw UsageError("--block", "a width: WoodFisher's blocks are dense", block);
    }
    if (model.ends_with(".safetensors") && !task.checkpoint.empty()) {
      throw UsageError("--checkpoint", "it beside a TorchScript file alone", model);
    }
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
