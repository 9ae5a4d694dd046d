#include "ritz/linop/linear_operator.h"

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

void check_vector(const Tensor& x, int64_t size, const TensorOptions& options) {
  if (!x.defined() || (x.dim() != 1 && x.dim() != 2) || x.size(0) != size) {
    const auto n = std::to_string(size);
    throw InvalidArgument("x", "shape [" + n + "] or [" + n + ", k]", describe(x));
  }
  check_options("x", x, options);
}

}  // namespace

Tensor LinearOperator::apply(const Tensor& x) const {
  check_vector(x, cols(), options());
  return do_apply(x);
}

Tensor LinearOperator::apply_adjoint(const Tensor& x) const {
  check_vector(x, rows(), options());
  return do_apply_adjoint(x);
}

Tensor LinearOperator::do_apply_adjoint(const Tensor&) const {
  throw Unsupported("apply_adjoint: this operator has no adjoint");
}

Tensor SymmetricOperator::do_apply_adjoint(const Tensor& x) const {
  return apply(x);
}

}  // namespace ritz
