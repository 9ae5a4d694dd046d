#include "ritz/base/timer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ritz {

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  char text[48];
  if (seconds < 9.95) {
    std::snprintf(text, sizeof text, "%.2g s", seconds);
    return text;
  }
  const long long whole = std::llround(std::min(seconds, 1e12));
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld min %lld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
  }
  return text;
}

}  // namespace ritz
