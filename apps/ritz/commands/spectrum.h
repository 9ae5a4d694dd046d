#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/commands/learning_task_options.h"
#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct Spectrum {
  static constexpr std::string_view kName = "spectrum";
  static constexpr std::string_view kSummary = "the spectrum of a matrix or of a loss's curvature";
  static constexpr std::string_view kDescription =
      "Stochastic Lanczos quadrature: the extreme eigenvalues, trace, Frobenius norm, "
      "log-determinant and density of a symmetric matrix, out of products with it alone.";
  static constexpr std::string_view kExample =
      "ritz spectrum --model mlp:196-32-10 --data fashion-mnist --pool 2 --limit 2000 --plot s.svg";

  std::string matrix;
  LearningTaskOptions task;
  std::string kind = "hessian";
  int64_t batch = 0, micro_batch = 0;
  int64_t steps = 100, probes = 1, block = 0;
  std::string start = "gaussian", store = "full";
  std::string density, plot, vectors;
  double kappa = 0, tolerance = 0;
  int64_t points = 1024, top = 0;
  bool log_scale = false;
  bool diagonal = false, exact = false;
  int64_t samples = 64;
  double trace_tolerance = 0;

  void declare(Options& options) {
    options.option("--matrix", matrix, "FILE",
                   "a symmetric matrix: any array file, or SciPy's sparse CSR .npz");
    task.declare(options);
    options.option("--operator", kind, "KIND", "which curvature of the loss")
        .one_of({"hessian", "ggn", "fisher", "gradient-covariance", "noise"});
    options
        .option("--batch", batch, "B",
                "over B random samples; 0: all. noise: Hessian over B less that over all")
        .at_least(0);
    options.option("--micro-batch", micro_batch, "B", "samples a pass; 0: what memory allows")
        .at_least(0);
    options.option("--steps", steps, "M", "Lanczos steps from each probe").at_least(1);
    options.option("--probes", probes, "V", "random start vectors").at_least(1);
    options
        .option("--block", block, "V",
                "probes that advance together; memory: V (M + 1) vectors; 0: all")
        .at_least(0);
    options
        .option("--start", start, "KIND",
                "the probes' distribution; rademacher has less variance in traces")
        .one_of({"gaussian", "rademacher"});
    options
        .option("--store", store, "KIND",
                "how Lanczos vectors are kept; none: three vectors only, fit for densities alone")
        .one_of({"full", "bfloat16", "float16", "none"});
    options.option("--density", density, "FILE", "write the smoothed density: columns t,density");
    options.option("--points", points, "N", "grid points of the density").at_least(2);
    options
        .option("--kappa", kappa, "K",
                "smoothness of the density, > 1; smaller is smoother [3; log scale 1.04]")
        .at_least(0);
    options.flag("--log-scale", log_scale, "density of log(|eigenvalue| + 1e-5)");
    options.option("--top", top, "K", "the K algebraically largest eigenvalues, to --tolerance")
        .at_least(0);
    options
        .option("--tolerance", tolerance, "TOL",
                "residual / |eigenvalue| for --top [1.5e-8 in float64, 3.5e-4 in float32]")
        .at_least(0);
    options.option("--vectors", vectors, "FILE", "write the eigenvectors of --top, [K, P]");
    options.flag("--diagonal", diagonal,
                 "estimate the diagonal too, with trace and Frobenius norm from the same probes; "
                 "--out gets diagonal and diagonal_se");
    options.option("--samples", samples, "S", "probes of --diagonal, at most").at_least(1);
    options
        .option("--trace-tolerance", trace_tolerance, "TOL",
                "stop --diagonal once the trace's standard error is TOL of it; 0: take all")
        .at_least(0);
    options.flag("--exact", exact,
                 "--diagonal by a product with every unit vector (order <= 4096)");
    options.option("--plot", plot, "FILE", "draw the density and the nodes (.svg, .png)");
    options.output_file(
        "nodes and weights as the Deep Curvature Suite's .npz (eigvals, gammas); --diagonal's "
        "arrays");
  }
  void check() const {
    if (matrix.empty() && task.data.empty()) {
      throw UsageError("--matrix", "it, or --model and --data, to be given", "neither");
    }
    if (!matrix.empty() && !(task.data.empty() && task.model.empty() && task.checkpoint.empty())) {
      throw UsageError("--matrix", "it or a model with data", "both");
    }
    if (matrix.empty()) task.check();
    if (matrix.empty() && kind == "noise" && batch == 0) {
      throw UsageError("--operator noise", "--batch B beside it", "none");
    }
    if (!vectors.empty() && top == 0) throw UsageError("--vectors", "--top K beside it", "none");
    if (exact && !diagonal) throw UsageError("--exact", "--diagonal beside it", "none");
    if (kappa != 0 && kappa <= 1) throw UsageError("--kappa", "a number > 1", "at most 1");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
