#include "studies/statistics.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace ritz::studies {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> running_mean(const std::vector<double>& values, size_t window) {
  std::vector<double> means(values.size(), std::numeric_limits<double>::quiet_NaN());
  for (size_t t = window; t <= values.size(); ++t) {
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(t);
    means[t - 1] = std::accumulate(end - static_cast<std::ptrdiff_t>(window), end, 0.0) /
                   static_cast<double>(window);
  }
  return means;
}

}  // namespace ritz::studies
