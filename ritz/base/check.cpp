#include "ritz/base/check.h"

#include <charconv>
#include <cmath>
#include <string>

namespace ritz {

std::string number_text(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

void check_at_least(std::string_view name, int64_t value, int64_t least) {
  if (value < least) {
    throw InvalidArgument(name, "an integer >= " + std::to_string(least), std::to_string(value));
  }
}

void check_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    throw InvalidArgument(
        name, "an integer in [" + std::to_string(low) + ", " + std::to_string(high) + "]",
        std::to_string(value));
  }
}

void check_positive(std::string_view name, double value) {
  if (!(value > 0) || !std::isfinite(value)) {
    throw InvalidArgument(name, "a finite number > 0", number_text(value));
  }
}

void check_non_negative(std::string_view name, double value) {
  if (!(value >= 0) || !std::isfinite(value)) {
    throw InvalidArgument(name, "a finite number >= 0", number_text(value));
  }
}

void check_in(std::string_view name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw InvalidArgument(name, "a number in [" + number_text(low) + ", " + number_text(high) + "]",
                          number_text(value));
  }
}

}  // namespace ritz
