#pragma once
// Small shared steps of the randomised methods. In a namespace of the room: ritz::detail has
// functions of the same names and parameters in krylov, and the linker would take one for the
// other.
#include <torch/types.h>

#include <optional>

#include "ritz/base/check_tensor.h"
#include "ritz/linop/linear_operator.h"

namespace ritz::sketch::detail {

inline void check_square(const LinearOperator& A) {
  if (A.rows() != A.cols()) {
    throw InvalidArgument("A", "a square operator",
                          std::to_string(A.rows()) + " x " + std::to_string(A.cols()));
  }
}

/// A z, with a product that is not finite reported where it arose.
inline Tensor finite_apply(const LinearOperator& A, const Tensor& z) {
  auto y = A.apply(z);
  check_finite("A x", y);
  return y;
}

/// Re x_j^H y_j of each column, [k] in double: long sums are accumulated there.
inline Tensor column_dots(const Tensor& x, const Tensor& y) {
  if (!x.is_complex()) return at::sum(x * y, {0}, false, at::kDouble);
  return at::real(at::sum(x.conj() * y, {0}, false, at::kComplexDouble));
}

/// The standard error of the mean of samples [k].
inline std::optional<double> standard_error(const Tensor& samples) {
  const auto k = samples.numel();
  if (k < 2) return std::nullopt;
  return samples.std().item<double>() / std::sqrt(static_cast<double>(k));
}

/// A matrix of the dtype in which small dense algebra is done.
inline Tensor wide(const Tensor& small) {
  return small.to(small.is_complex() ? at::kComplexDouble : at::kDouble);
}

}  // namespace ritz::sketch::detail
