#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct DataInfo {
  static constexpr std::string_view kName = "data info";
  static constexpr std::string_view kSummary =
      "shapes, dtypes, ranges and NaN counts of every array in files";
  static constexpr std::string_view kExample =
      "ritz data info /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz";
  static constexpr bool kWithoutTorch = true;

  std::vector<std::string> files;

  void declare(Options& options) {
    options.positional("FILE", files, "array files; FILE:NAME is one array of a container")
        .required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
