#include <torch/types.h>

#include <algorithm>
#include <numbers>

#include "ritz/design/detail/variates.h"

namespace ritz::design::detail {

void Variates::refill() {
  stream_.fill_uniform(at::from_blob(buffer_.data(), {kBuffer}, at::kDouble));
  next_ = 0;
}

double Variates::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2 * std::log1p(-uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

double Variates::gamma(double shape) {
  if (shape < 1) return gamma(shape + 1) * std::pow(1 - uniform(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double z = normal(), root = 1 + c * z;
    if (root <= 0) continue;
    const double v = root * root * root, u = 1 - uniform();
    // The first test is a cheap bound under the second.
    if (u < 1 - 0.0331 * z * z * z * z || std::log(u) < 0.5 * z * z + d * (1 - v + std::log(v)))
      return d * v;
  }
}

void Variates::shuffle_rows(double* values, int64_t rows, int64_t width) {
  for (int64_t i = 0; i + 1 < rows; ++i) {
    const int64_t j = i + below(rows - i);
    if (j != i) std::swap_ranges(values + i * width, values + (i + 1) * width, values + j * width);
  }
}

}  // namespace ritz::design::detail
