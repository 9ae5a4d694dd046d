#pragma once
// Single random numbers of several laws out of one RandomStream, for samplers that reject and so
// cannot say beforehand how many they need.
#include <cmath>
#include <cstdint>
#include <vector>

#include "ritz/base/random.h"

namespace ritz::design::detail {

class Variates {
 public:
  Variates(uint64_t seed, uint64_t stream) : stream_(seed, stream), buffer_(kBuffer) {}

  /// Uniform on [0, 1), 53 bits.
  double uniform() {
    if (next_ == kBuffer) refill();
    return buffer_[next_++];
  }
  /// Uniform on {0, ..., n - 1}; its bias n 2^-53 cannot be seen.
  int64_t below(int64_t n) { return static_cast<int64_t>(uniform() * static_cast<double>(n)); }
  /// Standard normal (Box & Muller).
  double normal();
  /// Gamma of this shape > 0 and scale 1 (Marsaglia & Tsang, "A simple method for generating gamma
  /// variables", 2000; below 1 by Gamma(s) = Gamma(s + 1) U^{1/s}).
  double gamma(double shape);
  double beta(double a, double b) {
    const double x = gamma(a), y = gamma(b);
    return x / (x + y);
  }
  /// Chi of `dof` degrees of freedom, halved in square: sqrt(chi^2_dof / 2).
  double half_chi(double dof) { return std::sqrt(gamma(dof / 2)); }
  /// The first n numbers of `values` in random order (Fisher & Yates), rows of `width`.
  void shuffle_rows(double* values, int64_t rows, int64_t width);

 private:
  static constexpr size_t kBuffer = 512;  // whole groups of the generator
  void refill();

  RandomStream stream_;
  std::vector<double> buffer_;
  size_t next_ = kBuffer;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace ritz::design::detail
