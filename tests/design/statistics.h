#pragma once
// Tests of laws by samples: z-scores of means and the two-sample Kolmogorov-Smirnov distance.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace ritz::tests {

/// Mean of independent numbers with its standard error.
class Mean {
 public:
  void add(double x) {
    ++n_;
    const double step = x - mean_;
    mean_ += step / static_cast<double>(n_);
    squares_ += step * (x - mean_);
  }
  double value() const { return mean_; }
  /// (mean - expected) / standard error; beyond 4.5 in one of 150000 honest tests.
  double z(double expected) const {
    const auto n = static_cast<double>(n_);
    return (mean_ - expected) / std::max(std::sqrt(squares_ / (n * (n - 1))), 1e-14);
  }

 private:
  int64_t n_ = 0;
  double mean_ = 0, squares_ = 0;
};

/// sup |F_a - F_b| in units in which 1.95 is passed by one of 1000 pairs of samples of one law.
inline double ks_distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  double most = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double x = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= x) ++i;
    while (j < b.size() && b[j] <= x) ++j;
    most = std::max(most, std::abs(static_cast<double>(i) / n - static_cast<double>(j) / m));
  }
  return most * std::sqrt(n * m / (n + m));
}

}  // namespace ritz::tests
