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
  /// Every index is checked (InvalidArgument); entries given twice are added.
  CsrOperator(const Tensor& row_pointers, const Tensor& columns, const Tensor& values, int64_t cols,
              bool symmetric = false);
  int64_t rows() const override { return matrix_.rows; }
  int64_t cols() const override { return matrix_.cols; }
  TensorOptions options() const override { return matrix_.values.options(); }
  int64_t nonzeros() const { return matrix_.values.size(0); }
  /// max |A - A^H| / max |A|: 0 for a symmetric matrix; A must be square.
  double asymmetry() const;

 private:
  struct Matrix {
    int64_t rows = 0;
    int64_t cols = 0;
    Tensor pointers;  // int64 [rows + 1]
    Tensor columns;   // int64 [nnz]
    Tensor values;    // [nnz]
  };

  static Tensor row_of_each(const Matrix& A);
  static Matrix adjoint_of(const Matrix& A);
  static Tensor product(const Matrix& A, const Tensor& x);
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  Matrix matrix_;
  bool symmetric_;
  mutable std::once_flag adjoint_once_;
  mutable Matrix adjoint_;
};

}  // namespace ritz
