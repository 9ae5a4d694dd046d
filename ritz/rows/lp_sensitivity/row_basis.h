#pragma once
// The row space of a tall matrix: the coordinates in which its leverage, Lewis weights and
// sensitivities are computed.
//
// All three are the same for A and A T, T invertible. So columns of wild scales, nearly dependent
// columns and rank deficiency are taken out once, at the entry; what follows sees a matrix of full
// column rank whose Gram matrix may be inverted.
#include <cstdint>
#include <functional>

#include "ritz/base/tensor.h"

namespace ritz::rows {

/// rows = A map and A = rows back: of full column rank, and of condition at most 1e4 once its
/// columns are scaled.
struct RowBasis {
  Tensor rows;  // [n, r]: A itself (float32 or float64) where it will do, else float64
  Tensor map;   // [d, r] float64: x = map z turns a solution z for `rows` into one for A
  Tensor back;  // [r, d] float64: a row c of A's row space has coordinates c map, c = (c map) back
  int64_t rank = 0;      // r <= min(n, d)
  double condition = 1;  // of A with columns scaled to length one, over the directions kept
  int64_t zero_rows = 0;
};

/// Reads A [n, d] (float32 or float64, n, d >= 1, no zero dimension, finite) two or three times in
/// panels of a few thousand rows. One Gram product decides: condition below 1e4 keeps A as it is;
/// else a QR factorisation by panels (backward stable) and the singular values of R, of which those
/// above 16 eps sqrt(d) times the largest are kept (eps of A's dtype), and A map is stored:
/// 8 n r bytes. Columns beyond 1e+-60 are scaled by powers of two first. InvalidArgument for a
/// non-finite entry (with its row and column) and where all of A is zero. 2 n d^2 flops, or 6 n
/// d^2.
RowBasis row_basis(const Tensor& A);

/// The share of c [..., d] float64 that lies outside the row space, relative and free of columns'
/// scales: [...]. Rounding leaves about 1e-15 (1e-7 for float32 data).
Tensor outside_row_space(const RowBasis& basis, const Tensor& c);

namespace detail {

/// Calls use(panel [b, d] float64 on A's device, first row) over consecutive panels of A.
void for_panels(const Tensor& A, const std::function<void(const Tensor&, int64_t)>& use);
/// A^T diag(w) A for w [n] >= 0 (undefined: ones), float64. 2 n d^2 flops, A read once.
Tensor weighted_gram(const Tensor& A, const Tensor& w = {});
/// F with F F^T = G^-1 for a symmetric positive definite G [d, d]: |a F|^2 = a G^-1 a^T.
Tensor inverse_factor(const Tensor& G);
/// |a_i F|^2 for every row: [n] float64. 2 n d^2 flops, A read once.
Tensor squared_lengths(const Tensor& A, const Tensor& F);
/// Rows `index` of A as float64, each times factor_i (undefined: 1).
Tensor take_rows(const Tensor& A, const Tensor& index, const Tensor& factor = {});

}  // namespace detail
}  // namespace ritz::rows
