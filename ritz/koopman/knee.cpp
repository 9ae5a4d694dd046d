#include "ritz/koopman/knee.h"

#include <torch/types.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"

namespace ritz::koopman {
namespace {

// Sum of absolute errors of the least-squares line through (begin, v[begin]) ... (end - 1, ..).
double line_error(const std::vector<double>& v, size_t begin, size_t end) {
  const auto n = static_cast<double>(end - begin);
  double mean = 0;
  for (size_t k = begin; k < end; ++k) mean += v[k] / n;
  const double centre = (n - 1) / 2;
  double slope = 0, square = 0;
  for (size_t k = begin; k < end; ++k) {
    const double t = static_cast<double>(k - begin) - centre;
    slope += t * (v[k] - mean);
    square += t * t;
  }
  slope /= square;
  double error = 0;
  for (size_t k = begin; k < end; ++k)
    error += std::abs(v[k] - mean - slope * (static_cast<double>(k - begin) - centre));
  return error;
}

}  // namespace

int64_t knee(const Tensor& values) {
  check_dim("values", values, 1);
  check_finite("values", values);
  const Tensor plain = values.to(torch::kCPU, torch::kFloat64).contiguous();
  const std::vector<double> v(plain.const_data_ptr<double>(),
                              plain.const_data_ptr<double>() + plain.numel());
  if (v.size() < 3) return plain.numel();
  double least = std::numeric_limits<double>::infinity();
  size_t at = 0;
  for (size_t k = 1; k + 1 < v.size(); ++k) {
    const double error = line_error(v, 0, k + 1) + line_error(v, k, v.size());
    if (error < least) {
      least = error;
      at = k;
    }
  }
  return static_cast<int64_t>(at) + 1;
}

int64_t kept_modes(const AdjointModes& modes) {
  const int64_t kept = knee(modes.residuals), r = modes.residuals.size(0);
  if (kept == r) return kept;
  // Partners have equal residuals but for rounding and stand side by side; where the last one kept
  // has its partner before it, the pair is whole.
  const auto value = [&](int64_t k) {
    return std::complex<double>(modes.values[k].item<c10::complex<double>>());
  };
  const auto partners = [&](int64_t a, int64_t b) {
    return std::abs(value(a) - std::conj(value(b))) <= 1e-8 * std::abs(value(a));
  };
  const bool single = std::abs(value(kept - 1).imag()) <= 1e-12 * std::abs(value(kept - 1));
  const bool whole = kept >= 2 && partners(kept - 1, kept - 2);
  return !single && !whole && partners(kept - 1, kept) ? kept + 1 : kept;
}

}  // namespace ritz::koopman
