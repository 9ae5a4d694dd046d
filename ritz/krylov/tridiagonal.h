#pragma once
// Symmetric tridiagonal matrices, always in double: what Lanczos leaves behind.
#include <cstdint>
#include <vector>

namespace ritz {

/// T of order m: diagonal alpha [m], off-diagonals beta [m - 1], and `tail` = beta_m, the norm of
/// what was left over after the last step (rounding where the Krylov space is invariant).
struct Tridiagonal {
  std::vector<double> alpha;
  std::vector<double> beta;
  double tail = 0;

  int64_t order() const { return static_cast<int64_t>(alpha.size()); }
};

/// T = U diag(values) U^T, values ascending.
struct TridiagonalEigen {
  std::vector<double> values;  // [m]
  std::vector<double> first;   // [m]: U[0, k]; their squares are the Gauss quadrature's weights
  std::vector<double> last;  // [m]: U[m - 1, k]; |tail last[k]| bounds the residual of a Ritz pair
  std::vector<double> vectors;  // [m, m] row-major U, only where asked for
};

/// Implicit QL with Wilkinson's shift (Bowdler, Martin, Reinsch, Wilkinson 1968). Only the rows of
/// U that are wanted take part: O(m^2) without vectors, O(m^3) with. Throws NotConverged after 60
/// sweeps on one value, InvalidArgument where T has a NaN.
TridiagonalEigen eigh_tridiagonal(const Tridiagonal& T, bool vectors = false);

}  // namespace ritz
