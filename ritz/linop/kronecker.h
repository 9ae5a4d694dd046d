#pragma once
// Kronecker products that are never formed.
#include "ritz/linop/linear_operator.h"

namespace ritz {

/// (A kron B) x without forming it. With x [n_A n_B] read row by row as X [n_A, n_B],
///
///     (A kron B) vec(X) = vec(A X B^T)
///
/// which costs n_B products with A and m_A with B (or m_B and n_A, whichever leaves the smaller
/// matrix between them).
class KroneckerOperator : public LinearOperator {
 public:
  KroneckerOperator(LinearOperatorPtr A, LinearOperatorPtr B);
  int64_t rows() const override { return A_->rows() * B_->rows(); }
  int64_t cols() const override { return A_->cols() * B_->cols(); }
  TensorOptions options() const override { return A_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  LinearOperatorPtr A_;
  LinearOperatorPtr B_;
};

}  // namespace ritz
