#pragma once
// `ritz koopman train`, `encode`, `control`: learned Koopman models.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct KoopmanTrain {
  static constexpr std::string_view kName = "koopman train";
  static constexpr std::string_view kSummary = "learn latents in which the dynamics is linear";
  static constexpr std::string_view kDescription =
      "Encoder, matrix K and decoder, trained on windows of trajectories. info rewards what "
      "neighbouring latents tell about each other and the entropy of the latents, so that weak "
      "modes "
      "survive; autoencoder is the same without either. Writes into --out: model.safetensors (K is "
      "a "
      "tensor in it), log.csv and summary.json. Under torchrun, mpirun or Slurm it trains "
      "data-parallel: --batch is each process's.";
  static constexpr std::string_view kExample =
      "ritz data make two-oscillators --out w.npy && \\\n"
      "  ritz koopman train w.npy --latent 16 --network mlp:64 --steps 99 --out koopman";

  std::vector<std::string> files;
  std::string method = "info", network = "mlp:128-128", actions, relations, mask;
  std::optional<std::string> op;
  std::string estimator = "nce_paper", reduction = "mean", similarity = "cosine",
              scaling = "channel";
  std::optional<double> alpha, beta, gamma;
  double reconstruction = 1, prior = 1, variance = 0.005, tau = 0.1, ridge = 0.1, lr = 1e-3;
  double decay = 0.8, clip = 1, holdout = 0.25, dropout = 0.1, unitarity = 1, rank_timeout = 600;
  int64_t latent = 16, window = 16, batch = 16, k = 3, horizon = 1, epochs = 300, patience = 50,
          decay_every = 20, transient = 0, checkpoint_every = 0;
  std::optional<int64_t> steps;
  bool detach = false, normalise = false, global = false, resume = false;

  void declare(Options& options) {
    options
        .positional(
            "X", files,
            "one trajectory [T, d] (fields [T, C, H, W], objects [T, n, d]), several [N, T, "
            "...], or two files of pairs, X and Y [M, d]")
        .required();
    options
        .option("--method", method, "METHOD",
                "info, autoencoder (no information terms), vae (info with Gaussian latents), graph "
                "(info between objects), nonlinear-vae and pfnn (baselines)")
        .one_of({"info", "autoencoder", "vae", "graph", "nonlinear-vae", "pfnn"});
    options.option("--latent", latent, "D", "latent coordinates, of an object").at_least(1);
    options.option("--operator", op, "KIND",
                   "learned, ridge, stable (|lambda| <= 1), blockdiag or unitary [stable; graph: "
                   "learned]");
    options.option("--network", network, "NET",
                   "mlp[:W-W[:ACTIVATION]], conv[:W-W...] or attention[:W] for [C, H, W]");
    options
        .option("--alpha", alpha, "A",
                "reward of mutual information [0.1; --reduction sum: 2, vae 3]")
        .at_least(0);
    options
        .option("--beta", beta, "B",
                "weight of ||z' - K z||^2 (vae: of its divergence) [1; vae under sum: 2]")
        .at_least(0);
    options.option("--gamma", gamma, "G", "reward of entropy [0.1; vae under sum: 0.5]")
        .at_least(0);
    options
        .option("--reduction", reduction, "KIND",
                "errors as a mean over frames, or summed over a window (the published weights)")
        .one_of({"mean", "sum"});
    options.option("--estimator", estimator, "NAME", "of mutual information")
        .one_of({"nce_paper", "nce_ref", "gaussian"});
    options.option("--similarity", similarity, "KIND", "of the nce estimators")
        .one_of({"cosine", "inner"});
    options.option("--tau", tau, "T", "temperature of the nce estimators").above(0);
    options.option("--k", k, "K", "neighbours within K frames (gaussian: the lag)").at_least(1);
    options.flag("--normalise", normalise, "divide mutual information by its largest value");
    options.option("--window", window, "T", "steps of a window").at_least(1);
    options.option("--batch", batch, "B", "windows a step, on each process").at_least(1);
    options
        .option("--horizon", horizon, "H",
                "predict 1..H steps ahead in training; `nrmse` is at H steps")
        .at_least(1);
    options.option("--steps", steps, "S", "steps, instead of --epochs").at_least(1);
    options.option("--epochs", epochs, "E", "passes over the windows").at_least(1);
    options
        .option("--patience", patience, "E",
                "epochs without a better held-out loss before it stops; 0: never")
        .at_least(0);
    options.option("--lr", lr, "A", "Adam's learning rate").above(0);
    options.option("--decay", decay, "F", "the rate's factor every --decay-every epochs").above(0);
    options.option("--decay-every", decay_every, "E", "0: never").at_least(0);
    options.option("--clip", clip, "C", "the gradient's largest norm; 0: any").at_least(0);
    options.option("--reconstruction", reconstruction, "W", "weight of ||x - g(z)||^2").at_least(0);
    options.option("--prior", prior, "W", "vae: weight of the divergence from N(0, I)").at_least(0);
    options.option("--variance", variance, "V", "vae: of a standardised number about its mean")
        .above(0);
    options.option("--ridge", ridge, "R", "of --operator ridge").above(0);
    options.flag("--detach", detach, "ridge: no gradient through K (as published)");
    options.option("--dropout", dropout, "P", "conv: before the latent layer").at_least(0).below(1);
    options.option("--unitarity", unitarity, "W", "pfnn: weight of ||K^T K - I||^2 / d")
        .at_least(0);
    options.option("--transient", transient, "T", "pfnn: frames before the attractor").at_least(0);
    options.option("--actions", actions, "FILE",
                   "[T, m] or [N, T, m]: action n leads to frame n + 1");
    options.option("--relations", relations, "FILE", "graph: types of relations [n, n], integers");
    options.option("--mask", mask, "FILE", "frames to leave out (nonzero), [T] or [N, T]");
    options
        .option(
            "--holdout", holdout, "F",
            "share kept for validation: of several trajectories the last whole ones, of one its "
            "end")
        .at_least(0)
        .below(1);
    options
        .option("--scaling", scaling, "KIND",
                "standardise each channel; or each pixel's mean and one deviation; or nothing")
        .one_of({"channel", "pixel", "none"});
    options.flag("--global", global, "contrast with the latents of all processes");
    options
        .option("--checkpoint-every", checkpoint_every, "N",
                "steps between checkpoints; 0: only when stopped")
        .at_least(0);
    options.flag("--resume", resume, "go on from the last checkpoint in --out");
    options
        .option("--rank-timeout", rank_timeout, "SECONDS",
                "a process that does not answer for so long is lost")
        .above(0);
    options.output_folder("model, log and summary").required();
  }
  void check() const {
    if (files.size() > 2) {
      throw UsageError("X", "one file, or two of pairs", std::to_string(files.size()) + " files");
    }
    if (files.size() == 2 && window != 1) {
      throw UsageError("--window", "1 for pairs", std::to_string(window));
    }
    if ((method == "graph") != !relations.empty()) {
      throw UsageError("--relations", "it with --method graph, and only there",
                       relations.empty() ? "none" : "--method " + method);
    }
    if (op && *op != "learned" && *op != "ridge" && *op != "stable" && *op != "blockdiag" &&
        *op != "unitary") {
      throw UsageError("--operator", "learned, ridge, stable, blockdiag or unitary", *op);
    }
    if (method == "graph" && op && *op != "learned" && *op != "ridge") {
      throw UsageError("--operator", "learned or ridge with --method graph", *op);
    }
    if ((method == "autoencoder" || method == "nonlinear-vae" || method == "pfnn") &&
        (alpha.value_or(0) > 0 || gamma.value_or(0) > 0)) {
      throw UsageError(alpha.value_or(0) > 0 ? "--alpha" : "--gamma", "0 with --method " + method,
                       "more than 0");
    }
    if (horizon > window) {
      throw UsageError("--horizon", "at most --window, " + std::to_string(window),
                       std::to_string(horizon));
    }
    const bool contrast = estimator != "gaussian" && informed() && alpha.value_or(1) > 0;
    if (contrast && 2 * k > window) {
      throw UsageError("--k", "at most half of --window, " + std::to_string(window / 2),
                       std::to_string(k));
    }
  }
  void run(Run& run) const;

 private:
  bool informed() const { return method == "info" || method == "vae" || method == "graph"; }
};

struct KoopmanEncode {
  static constexpr std::string_view kName = "koopman encode";
  static constexpr std::string_view kSummary = "the latents of a learned Koopman model";
  static constexpr std::string_view kExample =
      "ritz koopman encode w.npy --checkpoint koopman/model.safetensors --out z.npy";

  std::string x, checkpoint;

  void declare(Options& options) {
    options.positional("X", x, "frames as in training: one trajectory or several").required();
    options.option("--checkpoint", checkpoint, "FILE", "model.safetensors").required();
    options.output_file("latents [T, d] or [N, T, d]").required();
  }
  void run(Run& run) const;
};

struct KoopmanControl {
  static constexpr std::string_view kName = "koopman control";
  static constexpr std::string_view kSummary =
      "actions that steer a learned Koopman model to a goal (LQR)";
  static constexpr std::string_view kDescription =
      "The linear-quadratic regulator of the model's K and B, by doubling. From the last frame of "
      "X "
      "it acts by a = -F (z - z_goal), clipped, and predicts where that leads. --out gets actions "
      "[H, m], states [H, ...], distances [H], gain F [m, d] and cost P [d, d].";
  static constexpr std::string_view kExample =
      "ritz data make gaussian-rows --rows 99 --dim 2 --out x.npy && \\\n"
      "  ritz koopman train x.npy --actions x.npy \\\n"
      "    --latent 4 --network mlp:8 --steps 50 --out acts && echo 0,0 > goal.csv && \\\n"
      "  ritz koopman control x.npy --checkpoint acts/model.safetensors --goal goal.csv --out "
      "plan.npz";

  std::string x, checkpoint, goal;
  int64_t horizon = 50;
  double state_cost = 1, action_cost = 1;
  std::optional<double> limit;

  void declare(Options& options) {
    options.positional("X", x, "frames; the last one is where it starts").required();
    options.option("--checkpoint", checkpoint, "FILE", "model.safetensors, trained with --actions")
        .required();
    options.option("--goal", goal, "FILE", "the frame to reach [d] (or [1, d])").required();
    options.option("--horizon", horizon, "H", "actions").at_least(1);
    options.option("--state-cost", state_cost, "Q", "of |z - z_goal|^2").above(0);
    options.option("--action-cost", action_cost, "R", "of |a|^2").above(0);
    options.option("--limit", limit, "L", "the largest |action| [none]").above(0);
    options.output_file("actions, states, distances, gain, cost (.npz)").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
