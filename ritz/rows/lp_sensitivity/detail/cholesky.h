#pragma once
// Cholesky of small dense matrices on raw pointers, for loops that solve thousands of them.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ritz::rows::detail {

/// The leading k x k block of G (rows `stride` apart) becomes L with L L^T = G in its lower
/// triangle. False where a pivot is not positive. k^3 / 3 flops.
inline bool cholesky(double* G, int64_t k, int64_t stride) {
  for (int64_t j = 0; j < k; ++j) {
    double* row_j = G + j * stride;
    double pivot = row_j[j];
    for (int64_t l = 0; l < j; ++l) pivot -= row_j[l] * row_j[l];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    const double root = std::sqrt(pivot);
    row_j[j] = root;
    for (int64_t i = j + 1; i < k; ++i) {
      double* row_i = G + i * stride;
      double sum = row_i[j];
      for (int64_t l = 0; l < j; ++l) sum -= row_i[l] * row_j[l];
      row_i[j] = sum / root;
    }
  }
  return true;
}

/// `L` <- Cholesky of `G`; where rounding has made it indefinite a multiple of its trace is added
/// to the diagonal, from 1e-15 on until it succeeds. False where nothing helps (not finite).
inline bool regularised_cholesky(const double* G, int64_t k, int64_t stride, double* L) {
  double trace = 0;
  for (int64_t i = 0; i < k; ++i) trace += G[i * stride + i];
  for (double ridge = 0; ridge <= 1e-6; ridge = ridge == 0 ? 1e-15 : 10 * ridge) {
    std::memcpy(L, G, static_cast<size_t>(k * stride) * sizeof(double));
    for (int64_t i = 0; i < k; ++i) L[i * stride + i] += ridge * trace / static_cast<double>(k);
    if (cholesky(L, k, stride)) return true;
  }
  return false;
}

/// x = (L L^T)^-1 b; b and x may be one.
inline void cholesky_solve(const double* L, int64_t k, int64_t stride, const double* b, double* x) {
  for (int64_t i = 0; i < k; ++i) {
    double sum = b[i];
    for (int64_t l = 0; l < i; ++l) sum -= L[i * stride + l] * x[l];
    x[i] = sum / L[i * stride + i];
  }
  for (int64_t i = k - 1; i >= 0; --i) {
    double sum = x[i];
    for (int64_t l = i + 1; l < k; ++l) sum -= L[l * stride + i] * x[l];
    x[i] = sum / L[i * stride + i];
  }
}

inline double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace ritz::rows::detail
