#pragma once
// Diagonals, and diagonals plus a low rank, with their inverses.
#include <memory>

#include "ritz/linop/linear_operator.h"

namespace ritz {

/// y_i = d_i x_i for d [n], float or complex.
class DiagonalOperator : public LinearOperator {
 public:
  explicit DiagonalOperator(Tensor diagonal);
  int64_t rows() const override { return diagonal_.size(0); }
  int64_t cols() const override { return diagonal_.size(0); }
  TensorOptions options() const override { return diagonal_.options(); }
  const Tensor& diagonal() const { return diagonal_; }
  /// 1 / d; throws InvalidArgument where a d_i is zero.
  DiagonalOperator inverse() const;

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  Tensor diagonal_;
};

/// A = diag(d) + U V^H for d [n], U and V [n, k], k small.
///
/// The inverse is of the same kind (Woodbury): with K = I + V^H D^-1 U (k x k),
///
///     A^-1 = D^-1 - D^-1 U K^-1 V^H D^-1 = diag(1/d) + U' V'^H,  U' = -D^-1 U K^-1,  V' = D^-H V
///
/// so a preconditioner costs O(n k) a vector. Its error grows with cond(D) cond(K).
class LowRankDiagonalOperator : public LinearOperator {
 public:
  LowRankDiagonalOperator(Tensor diagonal, Tensor U, Tensor V);
  /// diag(d) + U U^H
  LowRankDiagonalOperator(Tensor diagonal, Tensor U);
  int64_t rows() const override { return diagonal_.size(0); }
  int64_t cols() const override { return diagonal_.size(0); }
  TensorOptions options() const override { return diagonal_.options(); }
  const Tensor& diagonal() const { return diagonal_; }
  const Tensor& U() const { return U_; }
  const Tensor& V() const { return V_; }
  /// Throws InvalidArgument where a d_i is zero or K is singular.
  LowRankDiagonalOperator inverse() const;

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  Tensor diagonal_;
  Tensor U_;
  Tensor V_;
};

}  // namespace ritz
