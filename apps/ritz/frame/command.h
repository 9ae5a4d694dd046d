#pragma once
// What a command is to the frame. A command is one plain struct in apps/ritz/commands/NAME.h:
//
//     struct Spectrum {
//       static constexpr std::string_view kName = "spectrum";             // "data info" for a
//       nested one static constexpr std::string_view kSummary = "the spectrum of a matrix or of a
//       loss's curvature"; static constexpr std::string_view kExample = "ritz spectrum --matrix
//       A.npy --steps 50"; int64_t steps = 100;                                               //
//       its options, with defaults void declare(Options& options); // inline: binds them void
//       run(Run& run) const;                                          // in NAME.cpp
//     };
//
// and one word in the table of apps/ritz/commands.h. `declare` is compiled into the executable,
// which does not link libtorch; `run` into libritz_commands.so, which is loaded when a command is
// run. A command that needs no tensors says `static constexpr bool kWithoutTorch = true`, and its
// .cpp begins with the line `// without libtorch`: then it is part of the executable.
//
// Optional members: `void check() const` (what the command line alone shows to be wrong and no
// single option does: throw UsageError), `std::string more_help() const` (text after the options,
// from the values given so far), and `static constexpr std::string_view kDescription` (a paragraph
// of help).
#include <string>
#include <string_view>

#include "apps/ritz/frame/options.h"

namespace ritz::app {

class Run;

/// What every command takes.
struct CommonOptions {
  std::string out;   // empty: not given
  std::string json;  // empty: none; "-": standard output
  uint64_t seed = 0;
  int64_t threads = 0;         // 0: all cores
  std::string device = "cpu";  // cpu, cuda or cuda:K
  std::string dtype;           // empty: that of the input
  std::string config;
  bool force = false;
  bool quiet = false;
};

}  // namespace ritz::app
