#pragma once
// Sparse matrices in compressed rows.
#include <mutex>

#include "ritz/linop/linear_operator.h"

namespace ritz {

/// y = A x for a sparse A [rows, cols] in compressed rows: row i holds values[k] in columns
/// columns[k], k = row_pointers[i] .. row_pointers[i + 1] - 1. The adjoint keeps a transposed copy,
/// made when first asked for; where `symmetric` (A = A^H, checked) it is A itself.
class CsrOperator : public LinearOperator {
 public:
  /// row_pointers [rows + 1] and columns [nnz] are int32 or int64, values [nnz] float or complex.
  /// Every index is checked (InvalidArgument).
  CsrOperator(const Tensor& row_pointers, const Tensor& columns, const Tensor& values, int64_t cols,
              bool symmetric = false);
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  TensorOptions options() const override { return values_options_; }
  int64_t nonzeros() const { return nonzeros_; }
  /// max |A - A^H| / max |A|: 0 for a symmetric matrix; A must be square.
  double asymmetry() const;

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;
  const Tensor& adjoint_matrix() const;

  int64_t rows_;
  int64_t cols_;
  int64_t nonzeros_;
  bool symmetric_;
  TensorOptions values_options_;
  Tensor matrix_;  // libtorch's sparse CSR tensor
  mutable std::once_flag adjoint_once_;
  mutable Tensor adjoint_;
};

}  // namespace ritz
