#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/sequence_data_options.h"
#include "apps/ritz/commands/training_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct SequenceTrain {
  static constexpr std::string_view kName = "sequence train";
  static constexpr std::string_view kSummary = "train a state-space model of sequences";
  static constexpr std::string_view kDescription =
      "Reads sequences with labels (or targets), trains, and writes into --out what ritz train "
      "writes: "
      "model.safetensors, log.csv, optimizer.csv, summary.json and checkpoints, with --resume, "
      "data-parallel training and exit codes as there. The default optimiser is AdamW in groups: "
      "A, B "
      "and the steps learn at --ssm-lr without decay, the rest at --lr. ritz sequence predict uses "
      "the "
      "model.";
  static constexpr std::string_view kExample =
      "ritz sequence train --model s4-ptd:2x16x16 --data fashion-mnist --pool 4 --limit 2000 "
      "--epochs 1 --out pixels";

  SequenceDataOptions data;
  TrainingOptions training = adamw();
  std::string model, checkpoint, loss;
  bool bidirectional = false, prenorm = false, no_residual = false, steps_by_state = false,
       dt_global = false;
  std::string norm = "layer", activation = "glu", pooling = "mean";
  double dropout = 0, norm_momentum = 0.9, dt_min = 1e-3, dt_max = 0.1;
  int64_t blocks = 1, systems = 1;
  std::optional<std::string> discretisation, real_part, output_form, groups;
  std::string perturbation = "optimised";
  std::optional<double> rho, ssm_lr;
  std::vector<std::string> freeze;

  static constexpr double kRate = 4e-3, kSsmRate = 1e-3;

  static TrainingOptions adamw() {
    TrainingOptions training;
    training.optimizer = "adamw";
    training.batch = 64;
    return training;
  }
  void declare(Options& options) {
    options.option("--model", model, "MODEL",
                   "s4|s4d|s4d-lin|s4d-inv|s5|s4-ptd|s5-ptd|gru:LAYERSxWIDTHxSTATES [that of "
                   "--checkpoint]");
    options.option("--checkpoint", checkpoint, "FILE", "start from this model (.safetensors)");
    data.declare(options);
    options.option("--loss", loss, "LOSS", "what is minimised [cross-entropy; mse for --targets]")
        .one_of({"cross-entropy", "mse", "bernoulli"});
    options.flag("--bidirectional", bidirectional, "read each sequence in both directions");
    options.option("--activation", activation, "NAME", "after each layer: mixes the channels")
        .one_of({"glu", "full-glu", "half-glu1", "half-glu2", "gelu"});
    options.option("--norm", norm, "NORM", "of the channels, over all steps for batch")
        .one_of({"layer", "batch", "none"});
    options.flag("--prenorm", prenorm, "the norm before each layer instead of after");
    options.option("--norm-momentum", norm_momentum, "M", "batch norm: what is kept a step")
        .at_least(0)
        .below(1);
    options.flag("--no-residual", no_residual, "leave out the way around each layer");
    options.option("--dropout", dropout, "P", "share of the activations that are dropped")
        .at_least(0)
        .below(1);
    options.option("--pooling", pooling, "NAME", "of the steps: their mean, or the last")
        .one_of({"mean", "last"});
    options.option("--dt-min", dt_min, "D", "steps of time start log-uniform from here").above(0);
    options.option("--dt-max", dt_max, "D", "to here").above(0);
    options.flag("--steps-by-state", steps_by_state, "s4d*, s4-ptd: a step of time for each state");
    options.option("--blocks", blocks, "J", "s5*: A is J blocks that start alike").at_least(1);
    options
        .option("--systems", systems, "S", "s4*: pairs (A, B), shared by WIDTH / S channels each")
        .at_least(1);
    options.option("--discretisation", discretisation, "KIND", "[zoh; s4 has bilinear alone]")
        .one_of({"zoh", "bilinear", "dirac"});
    options
        .option("--real-part", real_part, "KIND",
                "of eigenvalues: -exp(p), or p cut at -1e-4 [clipped for s5*]")
        .one_of({"exponential", "clipped"});
    options
        .option("--output-form", output_form, "KIND",
                "C complex in the eigenvectors' coordinates, the same from LeCun's start, or real "
                "in HiPPO's [lecun for s5*, else diagonal]")
        .one_of({"diagonal", "lecun", "original"});
    options
        .option("--perturbation", perturbation, "METHOD",
                "*-ptd: optimised, ginibre, path, none or file:E.npy")
        .verify = [](const std::string& text) -> std::string {
      for (const char* name : {"optimised", "ginibre", "path", "none"}) {
        if (text == name) return {};
      }
      return text.starts_with("file:") ? "" : "optimised|ginibre|path|none|file:E.npy";
    };
    options.option("--rho", rho, "R", "*-ptd: its size, ||E|| / ||A||, in spectral norms").above(0);
    options.option("--freeze", freeze, "PART,...", "A, B, dt: not learned")
        .one_of({"A", "B", "dt"});
    options.option("--groups", groups, "RULE", "who decays and who is slow [standard]")
        .one_of({"standard", "BandCdecay", "BfastandCdecay", "noBCdecay"});
    options.option("--ssm-lr", ssm_lr, "A", "learning rate of A, B and steps [0.001]").above(0);
    options.flag("--dt-global", dt_global, "steps of time learn at --lr");
    training.declare(options);
  }
  bool grouped() const { return training.optimizer == "adamw"; }
  void check() const {
    data.check();
    training.check();
    if (model.empty() && checkpoint.empty()) {
      throw UsageError("--model", "it or --checkpoint to be given", "neither");
    }
    if (!grouped() && (groups || ssm_lr || dt_global)) {
      throw UsageError("--groups, --ssm-lr and --dt-global", "--optimizer adamw beside them",
                       training.optimizer);
    }
    if (dt_min > dt_max) throw UsageError("--dt-min", "at most --dt-max", number_text(dt_min));
    for (const auto& word : training.opt) {
      if (dropout > 0 && word == "products=difference") {
        throw UsageError("--dropout", "0: differences of gradients need the same loss twice",
                         number_text(dropout));
      }
    }
    const bool numbers = !data.train.targets.empty();
    if (numbers && loss == "cross-entropy") {
      throw UsageError("--loss", "mse or bernoulli for --targets", loss);
    }
  }
  std::string more_help() const { return training.more_help(); }
  void run(Run& run) const;
};

}  // namespace ritz::app
