#pragma once
// `ritz data make` for streams of rows.
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct MakeHeavyRows {
  static constexpr std::string_view kName = "data make heavy-rows";
  static constexpr std::string_view kSummary =
      "shuffled rows with a first direction, a few of them large (top-vector)";
  static constexpr std::string_view kDescription =
      "[N + H, D]: N light rows of noise plus a planted direction of half the strength R, and H "
      "rows of squared norm S that carry the other half, in random order. The truth beside it "
      "holds the exact first direction.";
  static constexpr std::string_view kExample =
      "ritz data make heavy-rows --cols 300 --rows 12000 --heavy 24 --out heavy.npy";

  int64_t cols = 300, rows = 12000, heavy = 24;
  double gap = 20, strength = 2;

  void declare(Options& options) {
    options.option("--cols", cols, "D", "columns, more than --heavy").at_least(1);
    options.option("--rows", rows, "N", "light rows").at_least(1);
    options.option("--heavy", heavy, "H", "heavy rows").at_least(0);
    options.option("--gap", gap, "R", "s_1^2 / s_2^2, about").above(0);
    options.option("--strength", strength, "S", "squared norm of a heavy row, >= R / (2 H)")
        .above(0);
    options.output_file("the rows").required();
  }
  void run(Run& run) const;
};

struct MakeSpikeStream {
  static constexpr std::string_view kName = "data make spike-stream";
  static constexpr std::string_view kSummary =
      "rows along one direction and rows of noise, in a chosen order (top-vector)";
  static constexpr std::string_view kExample =
      "ritz data make spike-stream --order spikes-first --out spikes.npy";

  int64_t cols = 300, spikes = 1200, noise = 6000;
  double strength = 36;
  std::string order = "random";

  void declare(Options& options) {
    options.option("--cols", cols, "D", "columns").at_least(1);
    options.option("--spikes", spikes, "N", "rows along the direction").at_least(1);
    options.option("--noise", noise, "N", "rows of noise").at_least(1);
    options.option("--strength", strength, "S", "sum of the spikes' squared norms").above(0);
    options.option("--order", order, "ORDER", "which come first")
        .one_of({"random", "spikes-first", "spikes-last"});
    options.output_file("the rows").required();
  }
  void run(Run& run) const;
};

struct MakeOjaHard {
  static constexpr std::string_view kName = "data make oja-hard";
  static constexpr std::string_view kSummary =
      "rows on which Oja's rule fails at every fixed rate (top-vector)";
  static constexpr std::string_view kExample = "ritz data make oja-hard --cols 1024 --out hard.npy";

  int64_t cols = 1024;
  double gap = 4;

  void declare(Options& options) {
    options.option("--cols", cols, "D", "columns; there are D - 1 rows").at_least(2);
    options.option("--gap", gap, "R", "s_1^2 / s_2^2 - 1").above(0);
    options.output_file("the rows").required();
  }
  void run(Run& run) const;
};

struct MakeHiddenRow {
  static constexpr std::string_view kName = "data make hidden-row";
  static constexpr std::string_view kSummary =
      "heavy sign rows, and copies of the half of one: the lower bound's rows (top-vector)";
  static constexpr std::string_view kExample =
      "ritz data make hidden-row --cols 256 --out hidden.npy";

  int64_t cols = 256, heavy = 16, copies = 4096;
  double gap = 20, strength = 1;

  void declare(Options& options) {
    options.option("--cols", cols, "D", "columns").at_least(2);
    options.option("--heavy", heavy, "H", "heavy rows").at_least(1);
    options.option("--copies", copies, "N", "copies of the half row").at_least(1);
    options.option("--gap", gap, "R", "energy of the copies over a heavy row's").above(0);
    options.option("--strength", strength, "S", "norm of a heavy row").above(0);
    options.output_file("the rows").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
