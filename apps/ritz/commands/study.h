#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct Study {
  static constexpr std::string_view kName = "study";
  static constexpr std::string_view kSummary = "re-measure what a method's paper claims";
  static constexpr std::string_view kDescription =
      "Prints a table of claims, baselines, what was measured and whether it holds. Writes into "
      "--out: "
      "results.json, the raw series as CSV, the pictures as SVG and report.html, one page that "
      "needs nothing else.";
  static constexpr std::string_view kExample = "ritz study list";

  std::string slug;
  std::string scale = "quick";
  std::string data;

  void declare(Options& options) {
    options.positional("SLUG", slug, "a study's name, 'all' of them, or 'list' to see them")
        .required();
    options
        .option("--scale", scale, "SCALE", "quick (10 s), desk (2 min) or full (the paper's own)")
        .one_of({"quick", "desk", "full"});
    options.option("--data", data, "FOLDER", "your data, where the full scale asks for it")
        .folder();
    options.output_folder("everything, a folder a study [study-SLUG]");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
