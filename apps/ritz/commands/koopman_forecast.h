#pragma once
// `ritz koopman forecast`: series continued by modes, and by what modes have to beat.
#include <string>
#include <string_view>

#include "apps/ritz/commands/koopman_data_options.h"
#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct KoopmanForecast {
  static constexpr std::string_view kName = "koopman forecast";
  static constexpr std::string_view kSummary =
      "the states that follow: by verified modes, DMD, EDMD, and plain baselines";
  static constexpr std::string_view kDescription =
      "The next H states of every trajectory, [H, d] or [N, H, d]. verified is kernel EDMD on "
      "windows of --delays states with those modes alone whose residual lies before the knee; "
      "kernel "
      "keeps all of them. A residual vouches for a mode, not for the forecast.";
  static constexpr std::string_view kExample =
      "ritz data make seasonal-field --pixels 99 --out f.npy && \\\n"
      "  ritz koopman forecast f.npy --season 12 --horizon 12 --out next.npy";

  KoopmanDataOptions data;
  std::string method = "verified", plot, checkpoint, actions;
  int64_t horizon = 1, season = 0, delays = 6, order = 0;

  void declare(Options& options) {
    data.declare_snapshots(options);
    options.option("--method", method, "METHOD", "how")
        .one_of({"persistence", "climatology", "ar", "dmd", "edmd", "kernel", "verified"});
    options.option("--checkpoint", checkpoint, "FILE",
                   "by a model of `ritz koopman train` instead of a method");
    options.option("--actions", actions, "FILE",
                   "with --checkpoint: those of the steps to come, [H, m] or [N, H, m]");
    options.option("--horizon", horizon, "H", "states to come").at_least(1);
    options
        .option("--season", season, "P",
                "states a season: climatology's period; its mean is taken away for the others but "
                "persistence; 0: none (climatology: the mean state)")
        .at_least(0);
    options.option("--delays", delays, "Q", "states a window (dmd, edmd, kernel, verified)")
        .at_least(1);
    options.option("--order", order, "P", "lags of ar; 0: by AIC").at_least(0);
    data.declare_dictionary(options);
    options.option("--plot", plot, "FILE", "draw the first column (.svg, .png)");
    options.output_file("the states to come").required();
  }
  /// edmd: linear; kernel and verified: kernel:lorentzian, where nothing was named.
  KoopmanDataOptions completed() const {
    KoopmanDataOptions out = data;
    if (out.dictionary.empty())
      out.dictionary = method == "kernel" || method == "verified" ? "kernel:lorentzian" : "linear";
    return out;
  }
  void check() const {
    if (!checkpoint.empty()) {
      if (data.files.size() != 1) {
        throw UsageError("X", "one file with --checkpoint",
                         std::to_string(data.files.size()) + " files");
      }
      return;
    }
    if (!actions.empty()) throw UsageError("--actions", "--checkpoint beside it", "none");
    const auto full = completed();
    full.check();
    const bool kernel = method == "kernel" || method == "verified";
    if (kernel && !full.dictionary.starts_with("kernel:"))
      throw UsageError("--dictionary", "kernel:KIND with --method " + method, full.dictionary);
    if (!full.weights.empty())
      throw UsageError("--weights", "none: states of a series count alike here", full.weights);
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
