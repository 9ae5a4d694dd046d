#pragma once
// Checks of plain arguments; each throws InvalidArgument naming the argument, the range and the
// value.
#include <cstdint>
#include <string_view>

#include "ritz/base/error.h"

namespace ritz {

/// `value` must be at least `least`.
void check_at_least(std::string_view name, int64_t value, int64_t least);
/// `value` must lie in [low, high].
void check_range(std::string_view name, int64_t value, int64_t low, int64_t high);
/// `value` must be finite and > 0.
void check_positive(std::string_view name, double value);
/// `value` must be finite and >= 0.
void check_non_negative(std::string_view name, double value);
/// `value` must be finite and lie in [low, high].
void check_in(std::string_view name, double value, double low, double high);

/// The shortest text that reads back to the same double.
std::string number_text(double value);

}  // namespace ritz
