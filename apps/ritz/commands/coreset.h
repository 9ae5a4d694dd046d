#pragma once
// `ritz coreset` and `ritz coreset merge`.
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

/// How rows are sampled: what both commands have in common.
struct CoresetSampling {
  std::optional<int64_t> rows;
  std::optional<double> eps;
  std::optional<std::string> scores;
  std::string sampler = "bernoulli";
  bool recursive = false;
  double delta = 0.1, log_factor = 0;

  void declare(Options& options) {
    options.option("--rows", rows, "M", "how many rows to keep (on average, for bernoulli)")
        .at_least(1);
    options.option("--eps", eps, "E", "or the distortion aimed at: as many rows as theory asks for")
        .above(0)
        .below(1);
    options
        .option("--scores", scores, "SCORES",
                "what rows are sampled by [root-leverage for p <= 2, sensitivity above]")
        .one_of({"root-leverage", "sensitivity", "lewis", "leverage", "augmented",
                 "leverage-sensitivity", "row-norm", "uniform"});
    options.option("--sampler", sampler, "SAMPLER", "how they are drawn")
        .one_of({"bernoulli", "multinomial", "systematic"});
    options.flag("--recursive", recursive,
                 "sample the sample again until it stops shrinking (root-leverage and "
                 "leverage-sensitivity need it for their bounds)");
    options.option("--delta", delta, "D", "with --eps: probability of failure").above(0).below(1);
    options
        .option("--log-factor", log_factor, "C",
                "with --eps: the theory's logarithmic factor; 0: ln d + ln 1/D")
        .at_least(0);
  }
  void check() const {
    if (rows && eps) throw UsageError("--rows, --eps", "one of them", "both");
  }
};

struct Coreset {
  static constexpr std::string_view kName = "coreset";
  static constexpr std::string_view kSummary = "few weighted rows that keep every l_p norm";
  static constexpr std::string_view kDescription =
      "Keeps a few rows of a tall matrix A and gives them weights, so that sum w_i |<a_i, x>|^p "
      "stays close to ||A x||_p^p for every x at once: robust (p = 1) and other l_p regression, "
      "near-minimax fits and logistic losses can then be done on the sample. --out gets the rows' "
      "indices and weights, and the rows themselves where the format holds several arrays.";
  static constexpr std::string_view kExample =
      "ritz data make pareto-rows --out tall.npy && ritz coreset tall.npy --rows 500 --out "
      "kept.npz";

  std::string matrix;
  double p = 1;
  CoresetSampling sampling;
  bool exact = false, approximate = false, verify = false, no_totals = false;
  std::string regress, scores_out;
  int64_t sample_rows = 0;

  void declare(Options& options) {
    options.positional("A", matrix, "a matrix: any array file, or SciPy's sparse CSR .npz")
        .required();
    options.option("--p", p, "P", "the exponent of the norm").at_least(1);
    sampling.declare(options);
    options.flag("--exact", exact, "each sensitivity over all rows [up to 5000 rows]");
    options.flag("--approx", approximate, "each over a Lewis sample of the rows [above]");
    options
        .option("--sample-rows", sample_rows, "M",
                "rows of that sample; 0: 20 d max(1, d^(p/2-1)) ln d, at least 1000")
        .at_least(0);
    options.flag("--verify", verify,
                 "search for the direction with the largest error; its error is certain");
    options.option(
        "--regress", regress, "FILE",
        "b: also sample [A b], minimise ||A x - b||_p on the sample, and report x and its "
        "objective over all rows");
    options.option("--scores-out", scores_out, "FILE", "one score a row of A");
    options.flag("--no-totals", no_totals,
                 "do not estimate total and maximum sensitivity where the scores do not need them");
    options.output_file("indices and weights (.npz, .csv, ...)");
  }
  void check() const {
    sampling.check();
    if (!std::isfinite(p)) throw UsageError("--p", "a finite number", "inf");
    if (exact && approximate) throw UsageError("--exact, --approx", "one of them", "both");
    if (!sampling.rows && !sampling.eps && scores_out.empty())
      throw UsageError("--rows or --eps", "one of them", "neither");
  }
  void run(Run& run) const;
};

struct CoresetMerge {
  static constexpr std::string_view kName = "coreset merge";
  static constexpr std::string_view kSummary = "join coresets of parts and sample again";
  static constexpr std::string_view kDescription =
      "The union of coresets of parts is a coreset of the whole. Takes files that `ritz coreset` "
      "wrote (.npz, .h5, .mat, .safetensors: they hold the rows), joins them in the order given "
      "and "
      "samples again; indices count rows through all parts' inputs, one after the other.";
  static constexpr std::string_view kExample =
      "ritz coreset merge kept.npz kept.npz --rows 500 --out joined.npz";

  std::vector<std::string> parts;
  CoresetSampling sampling;

  void declare(Options& options) {
    options.positional("PART", parts, "coresets to join").required();
    sampling.declare(options);
    options.output_file("indices, weights and rows (.npz, .h5, ...)").required();
  }
  void check() const {
    sampling.check();
    if (!sampling.rows && !sampling.eps)
      throw UsageError("--rows or --eps", "one of them", "neither");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
