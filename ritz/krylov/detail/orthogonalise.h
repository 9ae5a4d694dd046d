#pragma once
// The inner kernel of Lanczos, Arnoldi and their restarts: classical Gram-Schmidt, twice, in place.
#include "ritz/base/tensor.h"

namespace ritz::detail {

/// A buffer for `count` bases of `rows` vectors of length n, [count, rows, n], uninitialised. Long
/// rows are padded so that the same columns of successive rows do not fall into the same cache
/// sets.
Tensor allocate_basis(int64_t count, int64_t rows, int64_t n, const TensorOptions& options);

struct Orthogonalised {
  Tensor coefficients;  // [j + k] float64 (complex128), on w's device: the w of before is
                        // sum_i coefficients_i q_i + the w of after
  Tensor norm;          // 0-d float64 on w's device: |w| of after
};

/// w <- w - Q^T (conj(Q) w), `passes` times, for Q = [basis; recent] whose rows are orthonormal
/// vectors.
///
/// basis [j, P] may be of another dtype than w (bfloat16, float16: a rounded basis; products and
/// sums are in w's dtype or better); recent [k, P], of w's dtype, holds the vectors whose rounding
/// would matter. Either may have no rows. The first pass takes out the three-term recursion's part
/// too: coefficients[j + k - 1] is alpha.
///
/// The fast kernel (CPU, real, contiguous rows) accumulates in double and gives the same bits for
/// any number of threads; everything else takes orthogonalise_reference.
Orthogonalised orthogonalise(const Tensor& basis, const Tensor& recent, const Tensor& w,
                             int passes = 2);

/// The same with two products a pass: the definition, for tests, complex dtypes and other devices.
Orthogonalised orthogonalise_reference(const Tensor& basis, const Tensor& recent, const Tensor& w,
                                       int passes = 2);

}  // namespace ritz::detail
