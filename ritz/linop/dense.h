#pragma once
// Matrices that are in memory, as operators; and the way back, for small problems and tests.
#include "ritz/linop/linear_operator.h"

namespace ritz {

/// y = A x for a dense A [rows, cols], float or complex; shares A's memory.
///
///     #include "ritz/linop/dense.h"
///     #include <torch/types.h>
///     int main() {
///       const ritz::DenseOperator A(torch::ones({3, 2}, torch::kFloat64));
///       return A.apply(torch::ones({2}, torch::kFloat64))[0].item<double>() == 2 ? 0 : 1;
///     }
class DenseOperator : public LinearOperator {
 public:
  explicit DenseOperator(Tensor matrix);
  int64_t rows() const override { return matrix_.size(0); }
  int64_t cols() const override { return matrix_.size(1); }
  TensorOptions options() const override { return matrix_.options(); }
  const Tensor& matrix() const { return matrix_; }

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  Tensor matrix_;
};

/// y = A x for a symmetric (complex: Hermitian) dense A [n, n].
class SymmetricDenseOperator : public SymmetricOperator {
 public:
  /// Throws InvalidArgument naming the worst element where max |A - A^H| > tolerance max |A|;
  /// a negative tolerance skips the check.
  explicit SymmetricDenseOperator(Tensor matrix, double tolerance = 1e-6);
  int64_t rows() const override { return matrix_.size(0); }
  TensorOptions options() const override { return matrix_.options(); }
  const Tensor& matrix() const { return matrix_; }

 private:
  Tensor do_apply(const Tensor& x) const override;

  Tensor matrix_;
};

/// The matrix [rows, cols] of an operator, by applying it to `block` columns of the identity at a
/// time.
Tensor to_dense(const LinearOperator& op, int64_t block = 256);

}  // namespace ritz
