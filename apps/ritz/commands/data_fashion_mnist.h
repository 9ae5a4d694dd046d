#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct DataFashionMnist {
  static constexpr std::string_view kName = "data fashion-mnist";
  static constexpr std::string_view kSummary =
      "write Fashion-MNIST's images and labels out of Debian's package";
  static constexpr std::string_view kDescription =
      "70 000 grey images [28, 28] of ten kinds of clothes (Zalando, MIT licence), 60 000 for "
      "training. Writes the "
      "four uncompressed IDX files; the folder is what --data FOLDER takes. Needs the package "
      "dataset-fashion-mnist ('./dev deps' installs it).";
  static constexpr std::string_view kExample = "ritz data fashion-mnist --out fashion";
  static constexpr bool kWithoutTorch = true;

  std::string from = "/usr/share/datasets/fashion-mnist";

  void declare(Options& options) {
    options.option("--from", from, "FOLDER", "where the package's files are").folder();
    options.output_folder("the four files").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
