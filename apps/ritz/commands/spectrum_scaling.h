#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/learning_task_options.h"
#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct SpectrumScaling {
  static constexpr std::string_view kName = "spectrum scaling";
  static constexpr std::string_view kSummary = "the learning rate to take for each batch size";
  static constexpr std::string_view kDescription =
      "Measures the extreme curvature of the full data and of random batches, fits the one "
      "constant "
      "by which random-matrix theory predicts it for every batch size, and derives learning rates "
      "and damping. Under torchrun, mpirun or Slurm the work is shared out.";
  static constexpr std::string_view kExample =
      "ritz spectrum scaling --checkpoint run/model.safetensors --data fashion-mnist --limit 4000";

  LearningTaskOptions task;
  std::vector<int64_t> batch_sizes, fit_at;
  std::optional<double> learning_rate;
  std::optional<int64_t> at_batch;
  std::optional<std::string> theory;
  std::string noise = "fit", kind = "hessian", plot;
  int64_t batches = 0, steps = 15, max_steps = 100, noise_samples = 1024, micro_batch = 0;
  double momentum = 0, tolerance = 1e-3;
  bool replacement = false;

  void declare(Options& options) {
    task.declare(options);
    options
        .option("--batch-sizes", batch_sizes, "B,B,...",
                "batch sizes to measure and advise on [1, 2, 4, ... up to 1024 or a quarter of N]")
        .at_least(1);
    options.option("--learning-rate", learning_rate, "A", "a rate found good at --at-batch")
        .above(0);
    options.option("--at-batch", at_batch, "B", "the batch size of --learning-rate").at_least(1);
    options.option("--momentum", momentum, "RHO", "heavy ball: the bound grows by 1 + RHO")
        .at_least(0)
        .below(1);
    options.option("--operator", kind, "KIND", "which curvature")
        .one_of({"hessian", "ggn", "fisher"});
    options
        .option("--theory", theory, "THEORY",
                "noise of the batch: wigner for hessian, wishart for ggn and fisher")
        .one_of({"wigner", "wishart"});
    options
        .option("--noise", noise, "ESTIMATOR",
                "fit: measured at --fit-at; directional: per-sample noise along the top "
                "eigenvector; frobenius: over all directions, for matrices of like entries only")
        .one_of({"fit", "directional", "frobenius"});
    options.option("--fit-at", fit_at, "B,B", "batch sizes of the fit [32,64]").at_least(1);
    options
        .option("--batches", batches, "R",
                "random batches of each size; 0: 64 up to B = 128, then 8192 / B, at least 4")
        .at_least(0);
    options.option("--steps", steps, "M", "Lanczos steps on each batch").at_least(1);
    options.option("--max-steps", max_steps, "M", "Lanczos steps on the full data, at most")
        .at_least(1);
    options
        .option("--tolerance", tolerance, "TOL",
                "residual / |eigenvalue| at which the full data stop")
        .above(0);
    options
        .option("--noise-samples", noise_samples, "M",
                "samples for the gradient noise scale and the per-sample estimators")
        .at_least(2);
    options.flag("--replacement", replacement, "batches are drawn with replacement");
    options.option("--micro-batch", micro_batch, "B", "samples a pass; 0: as many as memory allows")
        .at_least(0);
    options.option("--plot", plot, "FILE", "draw the extremes over the batch size (.svg, .png)");
    options.output_file("the table: one array or column a quantity (.npz, .csv, ...)");
  }
  void check() const {
    task.check();
    if (learning_rate.has_value() != at_batch.has_value()) {
      throw UsageError("--learning-rate", "--at-batch beside it", "one without the other");
    }
    if (noise != "fit" && !fit_at.empty()) {
      throw UsageError("--fit-at", "--noise fit beside it", noise);
    }
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
