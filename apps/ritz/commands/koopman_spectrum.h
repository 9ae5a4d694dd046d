#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/koopman_data_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct KoopmanSpectrum {
  static constexpr std::string_view kName = "koopman spectrum";
  static constexpr std::string_view kSummary =
      "eigenvalues of a dynamical system, each with an error bar";
  static constexpr std::string_view kDescription =
      "Eigenvalues of the Koopman operator out of snapshots, each with its residual on the data, "
      "on "
      "held-out data, and a 95 % upper value of that: verified are those whose upper value is at "
      "most --tolerance. --out adds the pseudospectrum on a grid, --measure-preserving the "
      "spectrum "
      "with one bound for all of its error. Under torchrun, mpirun or Slurm the work is shared "
      "out.";
  static constexpr std::string_view kExample =
      "ritz data make duffing --out d1.npy && \\\n"
      "  ritz koopman spectrum d1.npy --dictionary rbf --size 50 --measure-preserving";

  KoopmanDataOptions data;
  std::string method = "resdmd", modes, plot, checkpoint;
  bool measure_preserving = false, normal_equations = false;
  std::vector<double> region;
  double spacing = 0, tolerance = 0.05, rank_tolerance = 0;
  int64_t replicas = 1000;

  void declare(Options& options) {
    data.declare(options);
    options.find("X")->is_required = false;  // a checkpoint has eigenvalues without data
    options.option("--checkpoint", checkpoint, "FILE",
                   "eigenvalues of a model of `ritz koopman train`, judged on X where it is given");
    options
        .option("--method", method, "METHOD",
                "dmd: exact DMD through POD modes; edmd; resdmd: edmd sorted by residual; mpedmd: "
                "eigenvalues on the unit circle; kernel: kernel EDMD with the adjoint's residual")
        .one_of({"dmd", "edmd", "resdmd", "mpedmd", "kernel"});
    options.flag("--measure-preserving", measure_preserving,
                 "the map preserves the measure the data are drawn from (tested): add the spectrum "
                 "with its certificate");
    options.option("--tolerance", tolerance, "TOL", "verified: residual_upper is at most this")
        .above(0);
    options.option("--region", region, "x0,x1,y0,y1",
                   "of the grid [1.2 times the largest modulus each way, at least 1.2]");
    options.option("--spacing", spacing, "H", "of the grid; 0: a 48th of its width").at_least(0);
    options.option("--replicas", replicas, "R", "of the bootstrap").at_least(1);
    options
        .option("--rank-tolerance", rank_tolerance, "TOL",
                "functions are dropped where less of them is new; 0: 1e-10, with "
                "--normal-equations 1e-7")
        .at_least(0)
        .below(1);
    options.flag("--normal-equations", normal_equations,
                 "from Gram matrices: faster, but residuals below 1e-8 are rounding");
    options.option("--modes", modes, "FILE",
                   "write eigenvalues, modes [k, d] and coefficients [N, k] (.npz, .h5, ...)");
    options.option("--plot", plot, "FILE", "draw the eigenvalues (.svg, .png)");
    options.output_file("the grid: re, im, tau and, where the measure is preserved, distance");
  }
  void check() const {
    if (!checkpoint.empty()) {
      if (data.files.size() > 1) {
        throw UsageError("X", "one file at most with --checkpoint",
                         std::to_string(data.files.size()) + " files");
      }
      return;
    }
    if (data.files.empty()) throw UsageError("X", "snapshots, or --checkpoint", "neither");
    data.check();
    if (!region.empty() && region.size() != 4) {
      throw UsageError("--region", "four numbers x0,x1,y0,y1", std::to_string(region.size()));
    }
    if (!region.empty() && !(region[0] <= region[1] && region[2] <= region[3])) {
      throw UsageError("--region", "x0 <= x1 and y0 <= y1", "the other way round");
    }
    const bool kernel = data.dictionary.starts_with("kernel:");
    if (method == "kernel" && !data.dictionary.empty() && !kernel) {
      throw UsageError("--dictionary", "kernel:KIND with --method kernel", data.dictionary);
    }
    if (method == "kernel" && measure_preserving) {
      throw UsageError("--measure-preserving", "a method other than kernel",
                       "kernel, whose residual is the adjoint's");
    }
    if (method == "dmd" && !data.dictionary.empty() && data.dictionary != "linear" &&
        data.dictionary != "pod" && data.dictionary != "delay") {
      throw UsageError("--dictionary", "linear, pod or delay with --method dmd", data.dictionary);
    }
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
