#pragma once
// The central idea of the library: a linear map known only through its action. Operators know how
// to multiply and nothing else; solvers (ritz/krylov, ritz/sketch) never see a matrix.
#include <memory>

#include "ritz/base/tensor.h"

namespace ritz {

/// A linear map known only through its action.
///
/// Shapes: `apply` takes [cols] or [cols, k] and gives [rows] or [rows, k]; a block of k vectors
/// costs one call, so methods that need several probes hand over all of them at once. dtype and
/// device of what goes in and comes out are those of `options()`.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  virtual TensorOptions options() const = 0;

  /// A x. Throws InvalidArgument where shape, dtype or device of x do not fit.
  Tensor apply(const Tensor& x) const;
  /// A^H x (the transpose for real operators). Throws Unsupported where the operator has none.
  Tensor apply_adjoint(const Tensor& x) const;

 private:
  virtual Tensor do_apply(const Tensor& x) const = 0;
  virtual Tensor do_apply_adjoint(const Tensor& x) const;
};

using LinearOperatorPtr = std::shared_ptr<const LinearOperator>;

/// A map equal to its own adjoint: what Lanczos, CG and MINRES take for granted.
class SymmetricOperator : public LinearOperator {
 public:
  int64_t cols() const final { return rows(); }

 private:
  Tensor do_apply_adjoint(const Tensor& x) const final;
};

}  // namespace ritz
