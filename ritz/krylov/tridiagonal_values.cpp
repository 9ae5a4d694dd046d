#include "ritz/krylov/tridiagonal_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/check.h"

namespace ritz {

std::vector<double> tridiagonal_eigenvalues(std::vector<double> d, std::vector<double> e2) {
  const size_t m = d.size();
  if (m == 0 || e2.size() + 1 != m) {
    throw InvalidArgument("tridiagonal", "m >= 1 diagonal and m - 1 off-diagonal numbers",
                          std::to_string(m) + " and " + std::to_string(e2.size()));
  }
  double scale = 0;
  for (size_t i = 0; i < m; ++i) {
    const double square = i + 1 < m ? e2[i] : 0;
    if (!std::isfinite(d[i]) || !std::isfinite(square) || square < 0) {
      throw InvalidArgument("tridiagonal", "finite numbers, squares >= 0",
                            "another in row " + std::to_string(i));
    }
    scale = std::max({scale, std::abs(d[i]), std::sqrt(square)});
  }
  e2.push_back(0);
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  constexpr int kMaxSweeps = 60;
  for (size_t l = 0; l < m; ++l) {
    for (int sweep = 0;; ++sweep) {
      size_t end = l;  // the block l..end is unreduced
      while (end + 1 < m && e2[end] > kEps * kEps * std::abs(d[end] * d[end + 1]) &&
             e2[end] > kEps * kEps * kEps * scale * scale)
        ++end;
      e2[end] = 0;
      if (end == l) break;
      if (sweep == kMaxSweeps) {
        throw NotConverged("tridiagonal_eigenvalues: value " + std::to_string(l) + " of " +
                           std::to_string(m) + " did not settle");
      }
      // Wilkinson's shift from the leading 2 x 2 block.
      const double root = std::sqrt(e2[l]);
      const double half = (d[l + 1] - d[l]) / (2 * root);
      const double shift = d[l] - root / (half + std::copysign(std::hypot(half, 1.0), half));
      // Parlett's recurrences: c = cos^2, s = sin^2, gamma the rotated diagonal, p its square part.
      double c = 1, s = 0, gamma = d[end] - shift, p = gamma * gamma;
      for (size_t i = end; i-- > l;) {
        const double b = e2[i], r = p + b;
        if (i + 1 != end) e2[i + 1] = s * r;
        const double old_c = c, old_gamma = gamma;
        c = p / r;
        s = b / r;
        const double alpha = d[i];
        gamma = c * (alpha - shift) - s * old_gamma;
        d[i + 1] = old_gamma + (alpha - gamma);
        p = c != 0 ? gamma * gamma / c : old_c * b;
      }
      e2[l] = s * p;
      d[l] = shift + gamma;
    }
  }
  std::sort(d.begin(), d.end());
  return d;
}

}  // namespace ritz
