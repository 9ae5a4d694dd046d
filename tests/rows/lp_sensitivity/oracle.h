#pragma once
// Slow, obviously right references for l_p problems.
#include <torch/types.h>

#include <cmath>
#include <vector>

#include "ritz/base/random.h"

namespace ritz::tests {

inline Tensor gaussian(int64_t n, int64_t d, uint64_t seed,
                       c10::ScalarType type = torch::kFloat64) {
  return RandomStream(seed, stream_id("test/gaussian")).normal({n, d}, torch::kFloat64).to(type);
}

/// Rows of very different lengths: Gaussian times u^(-1/a).
inline Tensor heavy_rows(int64_t n, int64_t d, uint64_t seed, double a = 1.5) {
  const auto u = RandomStream(seed, stream_id("test/lengths")).uniform({n, 1}, torch::kFloat64);
  return gaussian(n, d, seed) * (u + 1e-12).pow(-1 / a);
}

inline double norm_p(const Tensor& r, double p) {
  return std::pow(r.abs().pow(p).sum().item<double>(), 1 / p);
}

/// min ||D x||_1 with c^T x = 1 by trying every vertex: at one of them d - 1 rows of D x are zero.
inline double l1_by_vertices(const Tensor& D, const Tensor& c) {
  const int64_t m = D.size(0), d = D.size(1);
  double best = std::numeric_limits<double>::infinity();
  std::vector<int64_t> chosen(static_cast<size_t>(d - 1));
  for (int64_t i = 0; i < d - 1; ++i) chosen[static_cast<size_t>(i)] = i;
  while (true) {
    const auto rows = D.index_select(0, torch::tensor(chosen, torch::kInt64));
    const auto system = torch::cat({c.unsqueeze(0), rows});
    auto right = torch::zeros({d, 1}, D.options());
    right[0][0] = 1;
    const auto [x, info] = torch::linalg_solve_ex(system, right);
    if (info.item<int>() == 0) best = std::min(best, D.mm(x).abs().sum().item<double>());
    int64_t at = d - 2;
    while (at >= 0 && chosen[static_cast<size_t>(at)] == m - (d - 1) + at) --at;
    if (at < 0) break;
    ++chosen[static_cast<size_t>(at)];
    for (int64_t i = at + 1; i < d - 1; ++i)
      chosen[static_cast<size_t>(i)] = chosen[static_cast<size_t>(i - 1)] + 1;
  }
  return best;
}

/// The same for two columns and any p: one unknown, golden section on a convex function.
inline double by_golden_section(const Tensor& D, const Tensor& c, double p) {
  const double c0 = c[0].item<double>(), c1 = c[1].item<double>(), size = c0 * c0 + c1 * c1;
  const auto fixed = D.mv(c) / size;
  const auto along = D.select(1, 0) * -c1 + D.select(1, 1) * c0;
  const auto f = [&](double t) { return norm_p(fixed + t * along, p); };
  double low = -1e3, high = 1e3;
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  for (int i = 0; i < 120; ++i) {
    const double a = high - ratio * (high - low), b = low + ratio * (high - low);
    (f(a) < f(b) ? high : low) = f(a) < f(b) ? b : a;
  }
  return f(0.5 * (low + high));
}

}  // namespace ritz::tests
