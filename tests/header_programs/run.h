#pragma once
// Runs the programs of a room's headers, in an empty folder that goes with them.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "tests/io/temporary_folder.h"

namespace ritz::test {

struct HeaderProgram {
  const char* header;
  int (*main)();
};

/// The number of programs that failed.
inline int run_programs(const std::vector<HeaderProgram>& programs) {
  const TemporaryFolder folder;
  std::filesystem::current_path(folder / "");
  int failed = 0;
  for (const auto& [header, main] : programs) {
    int code = 1;
    try {
      code = main();
    } catch (const std::exception& error) {
      std::printf("%s: %s\n", header, error.what());
    }
    std::printf("%s %s\n", code == 0 ? "ok    " : "FAILED", header);
    failed += code == 0 ? 0 : 1;
  }
  std::filesystem::current_path("/");
  return failed;
}

}  // namespace ritz::test
