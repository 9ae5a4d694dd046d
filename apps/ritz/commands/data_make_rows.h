#pragma once
// `ritz data make`: tall matrices for lp-sensitivity.
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct MakeBlockLeverage {
  static constexpr std::string_view kName = "data make block-leverage";
  static constexpr std::string_view kSummary =
      "rows of two sizes in hidden blocks (lp-sensitivity, L1)";
  static constexpr std::string_view kDescription =
      "[dim (heavy + light), dim]: each coordinate's l_1 mass lies half in few large "
      "rows, half in many small ones, which leverage sampling misses; a random "
      "transform hides the blocks. The truth has every sensitivity.";
  static constexpr std::string_view kExample = "ritz data make block-leverage --out blocks.npy";

  int64_t dim = 10, heavy = 50, light = 5000;

  void declare(Options& options) {
    options.option("--dim", dim, "D", "coordinates: columns").at_least(1);
    options.option("--heavy", heavy, "K", "rows of size 1/K for each coordinate").at_least(1);
    options.option("--light", light, "K", "rows of size 1/K for each coordinate").at_least(1);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeMomentBlocks {
  static constexpr std::string_view kName = "data make moment-blocks";
  static constexpr std::string_view kSummary =
      "coordinates of equal l_p mass in few or many rows (lp-sensitivity, L2)";
  static constexpr std::string_view kDescription =
      "Every coordinate has unit l_p mass in k equal rows: sensitivity, Lewis weight "
      "and leverage of its rows are 1/k.";
  static constexpr std::string_view kExample =
      "ritz data make moment-blocks --coordinates 20 --out moments.npy";

  int64_t coordinates = 640, few = 20, many = 180;
  double p = 6;

  void declare(Options& options) {
    options.option("--coordinates", coordinates, "D", "columns").at_least(1);
    options.option("--few", few, "K", "rows of each coordinate of the first half").at_least(1);
    options.option("--many", many, "K", "rows of each of the second half").at_least(1);
    options.option("--p", p, "P", "the exponent").at_least(1);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeParetoRows {
  static constexpr std::string_view kName = "data make pareto-rows";
  static constexpr std::string_view kSummary =
      "Gaussian rows of Pareto-distributed lengths (lp-sensitivity, L3)";
  static constexpr std::string_view kDescription =
      "[rows, dim]: standard normal rows times u^(-1/tail) - 1.";
  static constexpr std::string_view kExample = "ritz data make pareto-rows --out pareto.npy";

  int64_t rows = 60000, dim = 8;
  double tail = 1.5;

  void declare(Options& options) {
    options.option("--rows", rows, "N", "rows").at_least(1);
    options.option("--dim", dim, "D", "columns").at_least(1);
    options.option("--tail", tail, "A", "index of the lengths' law").above(0);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeGaussianRows {
  static constexpr std::string_view kName = "data make gaussian-rows";
  static constexpr std::string_view kSummary = "a tall Gaussian matrix (lp-sensitivity, L4)";
  static constexpr std::string_view kDescription =
      "[rows, dim] independent standard normal entries; the truth has the closed form "
      "of the total sensitivity for a tall matrix.";
  static constexpr std::string_view kExample =
      "ritz data make gaussian-rows --rows 5000 --dim 5 --p 4 --out gaussian.npy";

  int64_t rows = 20000, dim = 10;
  double p = 1;

  void declare(Options& options) {
    options.option("--rows", rows, "N", "rows").at_least(1);
    options.option("--dim", dim, "D", "columns").at_least(1);
    options.option("--p", p, "P", "the exponent of the truth").at_least(1);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeLegendreRows {
  static constexpr std::string_view kName = "data make legendre-rows";
  static constexpr std::string_view kSummary =
      "Legendre polynomials on a uniform grid (lp-sensitivity, L5)";
  static constexpr std::string_view kDescription =
      "[rows, dim]: a structured matrix, whose total l_p sensitivity is near dim for p "
      "> 2.";
  static constexpr std::string_view kExample = "ritz data make legendre-rows --out legendre.npy";

  int64_t rows = 2000, dim = 12;

  void declare(Options& options) {
    options.option("--rows", rows, "N", "grid points of [-1, 1]").at_least(2);
    options.option("--dim", dim, "D", "degrees 0 ... D - 1").at_least(1);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeRobustRegression {
  static constexpr std::string_view kName = "data make robust-regression";
  static constexpr std::string_view kSummary =
      "a regression with outlying rows and heavy-tailed noise (lp-sensitivity, L6)";
  static constexpr std::string_view kDescription =
      "A [rows, dim]: Gaussian rows times Pareto lengths plus a Gaussian background; b "
      "= A x + Student's t noise. The truth has x.";
  static constexpr std::string_view kExample =
      "ritz data make robust-regression --rows 20000 --out robust.npz";

  int64_t rows = 200000, dim = 20;
  double tail = 2, freedom = 1.5;

  void declare(Options& options) {
    options.option("--rows", rows, "N", "rows").at_least(1);
    options.option("--dim", dim, "D", "columns").at_least(1);
    options.option("--tail", tail, "A", "index of the lengths' law").above(0);
    options.option("--freedom", freedom, "NU", "degrees of freedom of the noise").above(0);
    options.output_file("A and b (.npz, .h5, ...)").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
