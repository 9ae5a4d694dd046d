#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct DataConvert {
  static constexpr std::string_view kName = "data convert";
  static constexpr std::string_view kSummary =
      "write arrays in another format, with their dtypes and names";
  static constexpr std::string_view kDescription =
      "The formats are those of the extensions: .npy .npz .safetensors .csv .h5 .mat .png, IDX "
      "(.idx or *-ubyte, "
      "with or without .gz). An array without a name becomes 'data' where the format has names.";
  static constexpr std::string_view kExample =
      "ritz data convert /usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz labels.npy";
  static constexpr bool kWithoutTorch = true;

  std::string in, to;
  bool compress = false;

  void declare(Options& options) {
    options
        .positional(
            "IN", in,
            "an array file; FILE:NAME is one array of a container, '-' CSV from standard input")
        .required();
    options.positional("OUT", to, "the file to write; '-' is CSV on standard output").required();
    options.flag("--compress", compress, "deflate the data (.npz, .h5, .mat)");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
