#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct MakeGradientRows {
  static constexpr std::string_view kName = "data make gradient-rows";
  static constexpr std::string_view kSummary =
      "gradients whose empirical Fisher matrix has a known spectrum (mfac)";
  static constexpr std::string_view kDescription =
      "[m, d]: rows G such that G^T G / m has the eigenvalues largest / k^decay, k = 1, ..., m, in "
      "random directions, and d - m zeros. The truth beside it lists them.";
  static constexpr std::string_view kExample =
      "ritz data make gradient-rows --rows 16 --columns 2000 --out G.npy";

  int64_t rows = 64, columns = 10000;
  double largest = 1, decay = 1;

  void declare(Options& options) {
    options.option("--rows", rows, "M", "gradients").at_least(1);
    options.option("--columns", columns, "D", "parameters, at least M").at_least(1);
    options.option("--largest", largest, "L", "the largest eigenvalue").above(0);
    options.option("--decay", decay, "A", "eigenvalue k is the largest over k^A").at_least(0);
    options.output_file("the rows").required();
  }
  void check() const {
    if (columns < rows) {
      throw UsageError("--columns", "at least --rows", std::to_string(columns));
    }
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
