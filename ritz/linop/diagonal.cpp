#include "ritz/linop/diagonal.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

Tensor times(const Tensor& d, const Tensor& x) {
  return x.dim() == 1 ? d * x : d.unsqueeze(1) * x;
}

Tensor product(const Tensor& A, const Tensor& x) {
  return x.dim() == 1 ? A.mv(x) : A.mm(x);
}

Tensor checked_reciprocal(const Tensor& diagonal) {
  const auto zero = (diagonal == 0).nonzero();
  if (zero.numel()) {
    throw InvalidArgument("diagonal", "no zeros, for an inverse",
                          "0 at index " + std::to_string(zero[0][0].item<int64_t>()));
  }
  return diagonal.reciprocal();
}

}  // namespace

DiagonalOperator::DiagonalOperator(Tensor diagonal) : diagonal_(std::move(diagonal)) {
  check_dim("diagonal", diagonal_, 1);
  check_floating("diagonal", diagonal_, true);
}

DiagonalOperator DiagonalOperator::inverse() const {
  return DiagonalOperator(checked_reciprocal(diagonal_));
}

Tensor DiagonalOperator::do_apply(const Tensor& x) const {
  return times(diagonal_, x);
}
Tensor DiagonalOperator::do_apply_adjoint(const Tensor& x) const {
  return times(diagonal_.conj(), x);
}

LowRankDiagonalOperator::LowRankDiagonalOperator(Tensor diagonal, Tensor U, Tensor V)
    : diagonal_(std::move(diagonal)), U_(std::move(U)), V_(std::move(V)) {
  check_dim("diagonal", diagonal_, 1);
  check_floating("diagonal", diagonal_, true);
  check_shape("U", U_, {diagonal_.size(0), -1});
  check_options("U", U_, diagonal_.options());
  check_shape("V", V_, U_.sizes());
  check_options("V", V_, diagonal_.options());
}

LowRankDiagonalOperator::LowRankDiagonalOperator(Tensor diagonal, Tensor U)
    : LowRankDiagonalOperator(std::move(diagonal), U, U) {}

LowRankDiagonalOperator LowRankDiagonalOperator::inverse() const {
  const auto inverse = checked_reciprocal(diagonal_);
  const auto scaled = times(inverse, U_);  // D^-1 U
  const auto K = V_.mH().mm(scaled) + torch::eye(U_.size(1), U_.options());
  const auto [solution, info] = at::linalg_solve_ex(K, scaled, /*left=*/false);
  if (info.item<int>() != 0 || !at::isfinite(solution).all().item<bool>()) {
    throw InvalidArgument("A", "an invertible matrix", "I + V^H D^-1 U is singular");
  }
  return {inverse, -solution, times(inverse.conj(), V_)};
}

Tensor LowRankDiagonalOperator::do_apply(const Tensor& x) const {
  return times(diagonal_, x) + product(U_, product(V_.mH(), x));
}

Tensor LowRankDiagonalOperator::do_apply_adjoint(const Tensor& x) const {
  return times(diagonal_.conj(), x) + product(V_, product(U_.mH(), x));
}

}  // namespace ritz
