#pragma once
// A progress bar for programs: one line of a terminal, redrawn at most ten times a second, with
// rate and time left. Where standard error is no terminal nothing is ever written.
//
//     #include "ritz/base/progress.h"
//     int main() {
//       ritz::Progress progress(/*enabled=*/true);
//       for (int step = 0; step < 1000; ++step) progress.update("training", step, 1000);
//     }
#include <cstdint>
#include <string>

#include "ritz/base/timer.h"

namespace ritz {

class Progress {
 public:
  /// Draws on standard error where `enabled` and it is a terminal.
  explicit Progress(bool enabled);
  /// Takes the bar away: what was drawn leaves no trace.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` steps of `what` are behind us. A new `what` starts a new clock. total <= 0:
  /// unknown.
  void update(const std::string& what, int64_t done, int64_t total);
  /// Takes the bar away until the next update, so that a line can be printed.
  void clear();

 private:
  bool enabled_;
  bool drawn_ = false;
  std::string what_;
  int64_t first_ = 0;  // `done` when this `what` began: the rate counts from there
  Timer since_start_, since_drawn_;
};

/// The bar's line: `training  [#####     ]  50 %  12.3/s  4.1 s left`. `done` of `total` after
/// `seconds`, in which `advanced` steps were made; at most `columns` wide.
std::string progress_line(const std::string& what, int64_t done, int64_t total, int64_t advanced,
                          double seconds, int columns);

}  // namespace ritz
