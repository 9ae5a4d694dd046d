#include "ritz/design/detail/tridiagonal_dpp.h"

#include <algorithm>

#include "ritz/base/error.h"
#include "ritz/krylov/tridiagonal_values.h"

namespace ritz::design::detail {

void draw_tridiagonal_dpp(const Family& family, int64_t m, Variates& variates, double* points) {
  std::vector<double> diagonal(static_cast<size_t>(m)), squares(static_cast<size_t>(m) - 1);
  const auto left = [m](size_t i) { return static_cast<double>(m) - static_cast<double>(i); };
  switch (family.kind) {
    case FamilyKind::hermite:
      for (auto& value : diagonal) value = variates.normal();
      for (size_t i = 0; i < squares.size(); ++i) squares[i] = variates.gamma(left(i + 1));
      break;
    case FamilyKind::laguerre: {
      double above = 0;  // the square of B's entry left of the diagonal
      for (size_t i = 0; i < diagonal.size(); ++i) {
        const double own = variates.gamma(left(i) + family.a);
        diagonal[i] = above + own;
        if (i < squares.size()) {
          above = variates.gamma(left(i + 1));
          squares[i] = own * above;
        }
      }
      break;
    }
    case FamilyKind::legendre:
    case FamilyKind::jacobi: {
      const double A = family.a + 1, B = family.b + 1;
      double even = 0, odd_before = 0, xi_odd_before = 0;
      for (size_t i = 0; i < diagonal.size(); ++i) {
        if (i > 0) even = variates.beta(left(i), left(i + 1) + A + B);
        const double odd = variates.beta(left(i + 1) + A, left(i + 1) + B);
        const double xi_even = (1 - odd_before) * even, xi_odd = (1 - even) * odd;
        diagonal[i] = xi_even + xi_odd;
        if (i > 0) squares[i - 1] = xi_odd_before * xi_even;
        odd_before = odd;
        xi_odd_before = xi_odd;
      }
      break;
    }
    case FamilyKind::trigonometric:
      throw Unsupported("tridiagonal DPP: not for trigonometric functions");
  }
  auto values = tridiagonal_eigenvalues(std::move(diagonal), std::move(squares));
  if (family.kind == FamilyKind::legendre || family.kind == FamilyKind::jacobi) {
    for (auto& value : values) value = std::clamp(1 - 2 * value, -1.0, 1.0);
    std::reverse(values.begin(), values.end());
  }
  std::copy(values.begin(), values.end(), points);
}

}  // namespace ritz::design::detail
