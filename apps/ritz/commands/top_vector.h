#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

/// --mode in its parts: "oja:0.5/sqrt" is Oja's rule with c = 0.5 and c / sqrt(t).
struct TopVectorMode {
  std::string name;   // heavy, oja-grid, oja, adaoja, block-power, history, frequent-directions,
                      // reservoir
  std::string decay;  // of oja: "", "t" or "sqrt"
  std::optional<double> rate;  // of oja, where the mode holds a number instead of the letter c
};

inline std::optional<TopVectorMode> parse_top_vector_mode(const std::string& text) {
  for (const char* name : {"heavy", "oja-grid", "adaoja", "block-power", "history",
                           "frequent-directions", "reservoir"})
    if (text == name) return TopVectorMode{text, "", {}};
  if (!text.starts_with("oja:")) return std::nullopt;
  TopVectorMode mode{"oja", "", {}};
  std::string c = text.substr(4);
  if (const auto slash = c.find('/'); slash != std::string::npos) {
    mode.decay = c.substr(slash + 1);
    c.resize(slash);
    if (mode.decay != "t" && mode.decay != "sqrt") return std::nullopt;
  }
  if (c == "c") return mode;
  double rate = 0;
  const auto end = c.data() + c.size();
  const auto [at, error] = std::from_chars(c.data(), end, rate);
  if (at != end || error != std::errc() || !(rate > 0) || !std::isfinite(rate)) return std::nullopt;
  mode.rate = rate;
  return mode;
}

struct TopVector {
  static constexpr std::string_view kName = "top-vector";
  static constexpr std::string_view kSummary =
      "the first direction of a stream of rows, in one pass";
  static constexpr std::string_view kDescription =
      "The first right singular vector of the rows (the first principal component with --centre) "
      "and its singular value, reading every row once. --mode heavy is for rows in random order, a "
      "few of which may be much larger than the rest; --mode oja-grid takes any order where the "
      "direction is strong; the others are there to compare with. Under torchrun, mpirun or Slurm "
      "the ranks share the rows (heavy, block-power) or the columns (oja-grid) of a file.";
  static constexpr std::string_view kExample =
      "ritz data make heavy-rows --out stream.npy && ritz top-vector stream.npy --out v.npy";

  std::string path;
  std::string mode = "heavy", schedule = "geometric", merge = "all";
  int64_t heavy = 64, batch = 64, sketch_rows = 64, columns = 0, pieces = 0, rows = 0;
  std::optional<int64_t> block_width;
  double subsample = 0, rate = 1;
  bool theta = false, centre = false, skip_bad = false;
  std::string raw;

  void declare(Options& options) {
    options
        .positional("ROWS", path,
                    "a matrix file larger than memory or not: .npy (mapped), SciPy's CSR .npz, "
                    ".csv, any other array file; -: .csv or --raw on standard input")
        .required();
    options.option("--mode", mode, "MODE",
                   "heavy, oja-grid, oja:c/t, oja:c/sqrt, oja:c (c a number, or the letter: "
                   "--rate), adaoja, block-power, history, frequent-directions, reservoir");
    options.option("--heavy", heavy, "H", "rows of largest norm that are kept").at_least(0);
    options.option("--block-width", block_width, "K", "vectors iterated together [4]").at_least(1);
    options.option("--schedule", schedule, "SCHEDULE", "lengths of the pieces")
        .one_of({"geometric", "equal"});
    options
        .option("--pieces", pieces, "P",
                "pieces of --schedule equal and block-power; 0: by columns")
        .at_least(0);
    options
        .option("--rows", rows, "N",
                "how many rows will come, where pieces are equal and the input "
                "does not tell (.csv, standard input)")
        .at_least(1);
    options
        .option("--merge", merge, "WHAT", "which light directions join the heavy rows at the end")
        .one_of({"all", "rank1"});
    options.flag("--theta", theta,
                 "keep a row only if its squared norm is above the mean's D L-th part");
    options
        .option("--subsample", subsample, "C",
                "use light rows with probability C D ln(D) ||a||^2 / F2; 0: all")
        .at_least(0);
    options.flag("--centre", centre, "subtract the mean row: the first principal component");
    options.flag("--skip-bad", skip_bad, "pass over rows with NaN or Inf and count them");
    options.option("--rate", rate, "C", "Oja's c, one over squared units of the rows").above(0);
    options.option("--batch", batch, "B", "rows a step of adaoja and history").at_least(1);
    options.option("--sketch-rows", sketch_rows, "L", "rows of frequent-directions and reservoir")
        .at_least(1);
    options.option("--columns", columns, "D", "columns of raw rows").at_least(1);
    options.option("--raw", raw, "TYPE", "the input is numbers of this type and nothing else")
        .one_of({"float32", "float64"});
    options.output_file("the unit vector");
  }
  bool equal_pieces() const {
    return mode == "block-power" || (mode == "heavy" && schedule == "equal");
  }
  void check() const {
    if (!parse_top_vector_mode(mode))
      throw UsageError("--mode",
                       "heavy, oja-grid, oja:c/t, oja:c/sqrt, oja:c, adaoja, block-power, history, "
                       "frequent-directions or reservoir",
                       mode);
    if (raw.empty() != (columns == 0))
      throw UsageError(raw.empty() ? "--columns" : "--raw",
                       raw.empty() ? "--raw beside it" : "--columns beside it",
                       "one without the other");
    const bool untold = path == "-" || (raw.empty() && path.ends_with(".csv"));
    if (equal_pieces() && untold && rows == 0)
      throw UsageError("--rows", "how many rows will come, for pieces of equal length", "nothing");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
