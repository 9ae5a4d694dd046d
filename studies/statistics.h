#pragma once
// Small statistics that several studies report.
#include <cstddef>
#include <vector>

namespace ritz::studies {

/// Of at least one value.
double median(std::vector<double> values);

/// The mean of each value and the `window` - 1 before it; NaN (a gap in a figure) until there are
/// so many.
std::vector<double> running_mean(const std::vector<double>& values, size_t window);

}  // namespace ritz::studies
