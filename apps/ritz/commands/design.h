#pragma once
// `ritz design`: how many points (plan), which (points), and the fit to the values found there
// (fit).
#include <optional>
#include <string>
#include <string_view>

#include "apps/ritz/commands/design_space_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct DesignPlan {
  static constexpr std::string_view kName = "design plan";
  static constexpr std::string_view kSummary = "how many evaluations a stable fit needs";
  static constexpr std::string_view kDescription =
      "The number of points that theory asks of independent sampling, and the least multiple of m "
      "at "
      "which "
      "trial designs of --method are stable with probability 1 - eta. Nothing is evaluated.";
  static constexpr std::string_view kExample =
      "ritz design plan --space legendre --dim 2 --degree 5";

  DesignSpaceOptions space;
  std::string event = "two-sided", method = "repeated-dpp";
  double delta = 0.9, eta = 0.1;
  int64_t draws = 200;

  void declare(Options& options) {
    space.declare(options);
    options.option("--event", event, "EVENT", "||G - I|| <= delta, or lambda_min(G) >= 1 - delta")
        .one_of({"two-sided", "one-sided"});
    options.option("--delta", delta, "D", "how far G may be from I").above(0).below(1);
    options.option("--eta", eta, "E", "probability left to miss the event").above(0).below(1);
    options.option("--method", method, "METHOD", "the method that is tried")
        .one_of({"repeated-dpp", "volume", "iid", "monte-carlo", "sobol", "latin-hypercube"});
    options.option("--draws", draws, "K", "trial designs for each n").at_least(1);
  }
  void check() const {
    space.check();
    space.require();
  }
  void run(Run& run) const;
};

struct DesignPoints {
  static constexpr std::string_view kName = "design points";
  static constexpr std::string_view kSummary =
      "the points at which to evaluate an expensive function";
  static constexpr std::string_view kDescription =
      "Writes points and least-squares weights. Evaluate your function there, put the values into "
      "a "
      "column `value` (or a file of one column, in the same order) and run `ritz design fit`.";
  static constexpr std::string_view kExample =
      "ritz design points --space legendre --dim 2 --degree 5 --points 63 --out design.csv";

  DesignSpaceOptions space;
  std::string method = "repeated-dpp", weights = "optimal", event = "none", plot;
  std::optional<int64_t> points, boost, keep;
  int64_t max_redraws = 1000, draws = 1;
  double delta = 0.9;
  bool greedy = false;

  void declare(Options& options) {
    space.declare(options);
    options.option("--method", method, "METHOD", "how points are chosen")
        .one_of({"iid", "dpp", "volume", "repeated-dpp", "boosted", "monte-carlo", "sobol",
                 "latin-hypercube", "gauss", "chebyshev", "magic", "maxvol"});
    options.option("--points", points, "N", "how many, at least m [2 m; dpp, magic, maxvol: m]")
        .at_least(0);
    options.option("--weights", weights, "KIND",
                   "optimal; linf or rkhs:gaussian|laplacian|brownian|polynomial:P put half of the "
                   "points where that norm asks for them");
    options
        .option("--event", event, "EVENT",
                "draw again until ||G - I|| <= delta (two-sided), or lambda_min >= 1 - delta "
                "(one-sided)")
        .one_of({"none", "two-sided", "one-sided"});
    options.option("--delta", delta, "D", "how far G may be from I").above(0).below(1);
    options.option("--max-redraws", max_redraws, "N", "give up after so many").at_least(0);
    options.option("--boost", boost, "M", "keep the best of M draws [1; boosted: 100]").at_least(0);
    options.flag("--greedy", greedy, "then remove points while the event holds");
    options.option("--keep", keep, "N", "greedy: stop at N points [m + 1]").at_least(1);
    options.option("--draws", draws, "K", "a pilot of K independent designs and its quantiles")
        .at_least(1);
    options.option("--plot", plot, "FILE", "draw the points (.svg, .png)");
    options.output_file(
        "points [n, D] and weights [n] (candidates: indices); with --draws [K, n, D] and [K, n]");
  }
  void check() const {
    space.check();
    space.require();
    if (keep && !greedy) throw UsageError("--keep", "--greedy beside it", "none");
    if (weights != "optimal" && weights != "linf" && !weights.starts_with("rkhs:"))
      throw UsageError("--weights", "optimal, linf or rkhs:KERNEL", weights);
  }
  void run(Run& run) const;
};

struct DesignFit {
  static constexpr std::string_view kName = "design fit";
  static constexpr std::string_view kSummary =
      "weighted least squares from a design and its values";
  static constexpr std::string_view kDescription =
      "Coefficients of the best fit in the design's space, with a leave-one-out estimate of its "
      "error. "
      "VALUES is one column in the design's order, or the points file with a column `value` added.";
  static constexpr std::string_view kExample = "ritz design fit at.csv y.csv --out fit.npz";

  std::string design, values, at, predictions;
  DesignSpaceOptions space;

  void declare(Options& options) {
    options.positional("DESIGN", design, "what `ritz design points` wrote").required();
    options.positional("VALUES", values, "the function at its points").required();
    space.declare(options);
    options.option("--at", at, "FILE", "evaluate the fit at these points [N, D] (candidates: [N])");
    options.option("--predictions", predictions, "FILE", "and write its values there");
    options.output_file("coefficients [m] and index [m, D]");
  }
  void check() const {
    space.check();
    if (at.empty() != predictions.empty())
      throw UsageError("--at", "--predictions beside it", "one without the other");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
