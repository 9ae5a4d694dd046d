#include "ritz/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace ritz {
namespace {

constexpr double kRedraw = 0.1;  // seconds
constexpr int kBar = 24;         // columns

int terminal_columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string progress_line(const std::string& what, int64_t done, int64_t total, int64_t advanced,
                          double seconds, int columns) {
  std::string line = what;
  const double rate = seconds > 0 ? static_cast<double>(advanced) / seconds : 0;
  char text[64];
  if (total > 0) {
    const double part =
        std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
    const auto full = static_cast<size_t>(part * kBar);
    line += "  [" + std::string(full, '#') + std::string(kBar - full, ' ') + "]";
    std::snprintf(text, sizeof text, "  %3.0f %%", 100 * part);
    line += text;
  } else {
    line += "  " + std::to_string(done);
  }
  if (rate > 0) {
    std::snprintf(text, sizeof text, rate < 100 ? "  %.3g/s" : "  %.0f/s", rate);
    line += text;
    if (total > done)
      line += "  " + duration_text(static_cast<double>(total - done) / rate) + " left";
  }
  return line.substr(0, std::max(columns - 1, 0));
}

Progress::Progress(bool enabled) : enabled_(enabled && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  clear();
}

void Progress::update(const std::string& what, int64_t done, int64_t total) {
  if (!enabled_) return;
  if (what != what_ || done < first_) {
    what_ = what;
    first_ = done;
    since_start_.restart();
  } else if (drawn_ && since_drawn_.seconds() < kRedraw && done != total) {
    return;
  }
  const std::string line =
      progress_line(what, done, total, done - first_, since_start_.seconds(), terminal_columns());
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  since_drawn_.restart();
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  std::fprintf(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace ritz
