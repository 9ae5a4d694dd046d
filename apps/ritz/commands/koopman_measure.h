#pragma once
// `ritz koopman measure`: the spectral measure of an observable as a density on the circle.
#include <string>
#include <string_view>

#include "apps/ritz/commands/koopman_data_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct KoopmanMeasure {
  static constexpr std::string_view kName = "koopman measure";
  static constexpr std::string_view kSummary =
      "the spectral measure of an observable: which frequencies it is made of";
  static constexpr std::string_view kDescription =
      "A density on the circle with int e^{i n theta} density = <K^n g, g>, for data of a "
      "measure-preserving system. mpedmd and isometry smooth it by a rational kernel of order M "
      "and "
      "width --epsilon, with an error O(epsilon^M log(1/epsilon)) where the measure is smooth; "
      "moments filters the autocorrelation and needs no dictionary.";
  static constexpr std::string_view kExample =
      "ritz data make cat-map --observable --out c.npz && \\\n"
      "  ritz koopman measure c.npz:X --observable c.npz:g --method moments --out m.csv";

  KoopmanDataOptions data;
  std::string observable = "0", method = "mpedmd", filter = "bump", poles = "equispaced", plot;
  int64_t kernel_order = 4, moments = 100, points = 1000, atoms = 10;
  double epsilon = 0.1;
  bool remove_mean = false;

  void declare(Options& options) {
    data.declare_snapshots(options);
    options.option("--observable", observable, "G",
                   "a column of X (from 0), or a file with a number a state");
    options.flag("--remove-mean", remove_mean, "subtract the observable's mean first");
    options.option("--method", method, "METHOD", "how").one_of({"mpedmd", "isometry", "moments"});
    data.declare_dictionary(options);
    options.option("--kernel-order", kernel_order, "M", "order of the rational kernel, 1 to 10")
        .at_least(1)
        .at_most(10);
    options.option("--epsilon", epsilon, "E", "its width; well above the eigenvalues' gaps")
        .above(0);
    options.option("--poles", poles, "WHERE", "its poles")
        .one_of({"equispaced", "chebyshev", "roots", "extrapolation"});
    options.option("--moments", moments, "N", "moments <K^n g, g>, n up to N").at_least(1);
    options.option("--filter", filter, "NAME", "of the moments")
        .one_of({"fejer", "cosine", "fourth", "sharpened", "bump"});
    options.option("--points", points, "K", "angles, equally spaced from -pi").at_least(2);
    options.option("--atoms", atoms, "K", "list so many of the largest point masses").at_least(0);
    options.option("--plot", plot, "FILE", "draw the density (.svg, .png)");
    options.output_file("theta and density");
  }
  void check() const { data.check(); }
  void run(Run& run) const;
};

}  // namespace ritz::app
