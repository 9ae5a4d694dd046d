#pragma once
// `ritz koopman mixing`: how much of an observable is made of eigenfunctions.
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/commands/koopman_data_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct KoopmanMixing {
  static constexpr std::string_view kName = "koopman mixing";
  static constexpr std::string_view kSummary =
      "point or continuous spectrum: RAGE averages of an observable";
  static constexpr std::string_view kDescription =
      "The mean over lags 0..L of how much of K^l g, divided by ||g||^2, lies in the first n "
      "functions of the dictionary. For a measure-preserving system it tends to the share of g "
      "that is made of eigenfunctions: 1 for periodic and quasi-periodic, 0 for mixing. First let "
      "L "
      "grow until the average stands still, then n: the other way round it says nothing. Values "
      "near the noise floor n (1 - R) / M are zero for all the data tell.";
  static constexpr std::string_view kExample =
      "ritz data make lorenz --out l.npy && \\\n"
      "  ritz koopman mixing l.npy --remove-mean --dictionary delay --lags 2000 --dimensions 1,5";

  KoopmanDataOptions data;
  std::string observable = "0", plot;
  int64_t lags = 100;
  std::vector<int64_t> dimensions;
  bool remove_mean = false;

  void declare(Options& options) {
    data.declare_snapshots(options);
    options.option("--observable", observable, "G",
                   "a column of X (from 0), or a file with a number a state");
    options.flag("--remove-mean", remove_mean, "subtract the observable's mean first");
    options.option("--lags", lags, "L", "the last lag").at_least(1);
    options.option("--dimensions", dimensions, "n,n,...", "functions of the dictionary [all]")
        .at_least(1);
    data.declare_dictionary(options);
    options.option("--plot", plot, "FILE", "draw the running averages (.svg, .png)");
    options.output_file("lag and the running average of each n");
  }
  void check() const { data.check(); }
  void run(Run& run) const;
};

}  // namespace ritz::app
