#pragma once
// Small things out of tall factors: M ~ W^T W with W [m, d] of few rows.
#include "ritz/base/tensor.h"

namespace ritz::rows::detail {

struct TopPair {
  Tensor vector;                 // [d], unit length
  double first = 0, second = 0;  // eigenvalues of W^T W
};

/// The first eigenvector of W^T W, W float64 [m, d], m >= 1, and its first two eigenvalues (0 where
/// there is no second). The smaller of W W^T and W^T W is diagonalised, by Lanczos where it is
/// large, and the vector multiplied by W^T W once more.
TopPair top_pair(const Tensor& W);

/// The single-pass Nystrom factor [r, d], r <= k, of a positive semidefinite M that was multiplied
/// with one block: for Y = Z M, Z [k, d] with orthonormal rows, T = sym(Z Y^T) = U diag(w) U^T,
///   L = scale diag(w)^(-1/2) U^T Y,   L^T L = scale^2 M Z^T (Z M Z^T)^+ Z M <= scale^2 M,
/// exact where rank M <= k. Directions with w <= 1e-12 max w are left out: M is 0 on them.
Tensor nystrom_factor(const Tensor& Z, const Tensor& Y, double scale);

/// The rows of W [m, d] by their singular values, the first `count` of them: U^T W.
Tensor leading_rows(const Tensor& W, int64_t count);

/// Orthonormal rows [k, d] with the span of Y's; `otherwise` where Y is zero.
Tensor orthonormal_rows(const Tensor& Y, const Tensor& otherwise);

}  // namespace ritz::rows::detail
