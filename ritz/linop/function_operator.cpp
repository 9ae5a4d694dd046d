#include "ritz/linop/function_operator.h"

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

// What a user's closure returned is checked like what the user passes in.
Tensor call(const FunctionOperator::Function& function, const Tensor& x, int64_t size,
            const TensorOptions& options) {
  auto y = function(x);
  if (x.dim() == 1) {
    check_shape("the function's result", y, {size});
  } else {
    check_shape("the function's result", y, {size, x.size(1)});
  }
  check_options("the function's result", y, options);
  return y;
}

}  // namespace

FunctionOperator::FunctionOperator(int64_t rows, int64_t cols, TensorOptions options,
                                   Function apply, Function adjoint)
    : rows_(rows),
      cols_(cols),
      options_(options),
      apply_(std::move(apply)),
      adjoint_(std::move(adjoint)) {
  check_at_least("rows", rows, 0);
  check_at_least("cols", cols, 0);
  if (!apply_) throw InvalidArgument("apply", "a function", "none");
}

Tensor FunctionOperator::do_apply(const Tensor& x) const {
  return call(apply_, x, rows_, options_);
}

Tensor FunctionOperator::do_apply_adjoint(const Tensor& x) const {
  if (!adjoint_) throw Unsupported("apply_adjoint: this operator was made without one");
  return call(adjoint_, x, cols_, options_);
}

SymmetricFunctionOperator::SymmetricFunctionOperator(int64_t n, TensorOptions options,
                                                     Function apply)
    : n_(n), options_(options), apply_(std::move(apply)) {
  check_at_least("n", n, 0);
  if (!apply_) throw InvalidArgument("apply", "a function", "none");
}

Tensor SymmetricFunctionOperator::do_apply(const Tensor& x) const {
  return call(apply_, x, n_, options_);
}

}  // namespace ritz
