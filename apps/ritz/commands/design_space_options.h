#pragma once
// The space of `ritz design` on the command line: functions by name, or a matrix of candidates.
// design_space.h makes what they name.
#include <cstdint>
#include <string>
#include <vector>

#include "apps/ritz/frame/options.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct DesignSpaceOptions {
  std::string space, index = "total", indices, candidates, measure;
  int64_t dim = 1, degree = 5;
  std::vector<double> anisotropy;
  bool orthonormalise = false;

  void declare(Options& options) {
    options.option("--space", space, "SPACE",
                   "legendre, hermite, trigonometric, jacobi:a,b or laguerre[:a]; or a list, one "
                   "for each coordinate");
    options.option("--dim", dim, "D", "variables").at_least(1).at_most(1000);
    options
        .option("--degree", degree, "P",
                "trigonometric: frequencies up to P, 2 P + 1 functions of one variable")
        .at_least(0);
    options.option("--index", index, "SET", "which products: max, sum or prod (k_j + 1) limited")
        .one_of({"tensor", "total", "hyperbolic"});
    options
        .option("--anisotropy", anisotropy, "A,A,...",
                "a factor on each coordinate's degree (an exponent for hyperbolic)")
        .above(0);
    options.option("--indices", indices, "FILE", "the functions themselves: integers [m, D]");
    options.option("--candidates", candidates, "FILE",
                   "instead of a space: functions at N candidate points, [N, m]");
    options.option("--measure", measure, "FILE", "the candidates' probabilities [N] [uniform]");
    options.flag("--orthonormalise", orthonormalise,
                 "make the candidates' columns orthonormal under the measure");
  }
  void check() const {
    if (!space.empty() && !candidates.empty())
      throw UsageError("--space", "it or --candidates", "both");
    if (candidates.empty() && (!measure.empty() || orthonormalise)) {
      throw UsageError(measure.empty() ? "--orthonormalise" : "--measure", "--candidates beside it",
                       "none");
    }
  }
  void require() const {
    if (space.empty() && candidates.empty())
      throw UsageError("--space", "it or --candidates to be given", "neither");
  }
};

}  // namespace ritz::app
