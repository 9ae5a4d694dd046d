#include "ritz/linop/kronecker.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

Tensor act(const LinearOperator& op, const Tensor& x, bool adjoint) {
  return adjoint ? op.apply_adjoint(x) : op.apply(x);
}

// X [a, b, k] -> [m, b, k]: the operator on the first axis.
Tensor on_first(const LinearOperator& op, const Tensor& X, bool adjoint) {
  return act(op, X.reshape({X.size(0), -1}), adjoint).reshape({-1, X.size(1), X.size(2)});
}

// X [a, b, k] -> [a, m, k]: the operator on the second axis.
Tensor on_second(const LinearOperator& op, const Tensor& X, bool adjoint) {
  return on_first(op, X.transpose(0, 1), adjoint).transpose(0, 1);
}

Tensor kronecker(const LinearOperator& A, const LinearOperator& B, const Tensor& x, bool adjoint) {
  const int64_t a = adjoint ? A.rows() : A.cols(), b = adjoint ? B.rows() : B.cols();
  const int64_t a_out = adjoint ? A.cols() : A.rows(), b_out = adjoint ? B.cols() : B.rows();
  const auto X = x.reshape({a, b, -1});
  const bool a_first = a_out * b <= a * b_out;  // the smaller matrix between the two
  const auto Y = a_first ? on_second(B, on_first(A, X, adjoint), adjoint)
                         : on_first(A, on_second(B, X, adjoint), adjoint);
  return x.dim() == 1 ? Y.reshape({a_out * b_out}) : Y.reshape({a_out * b_out, x.size(1)});
}

}  // namespace

KroneckerOperator::KroneckerOperator(LinearOperatorPtr A, LinearOperatorPtr B)
    : A_(std::move(A)), B_(std::move(B)) {
  if (!A_ || !B_) throw InvalidArgument(A_ ? "B" : "A", "an operator", "null");
  check_options("B", torch::empty({0}, B_->options()), A_->options());
}

Tensor KroneckerOperator::do_apply(const Tensor& x) const {
  return kronecker(*A_, *B_, x, false);
}
Tensor KroneckerOperator::do_apply_adjoint(const Tensor& x) const {
  return kronecker(*A_, *B_, x, true);
}

}  // namespace ritz
