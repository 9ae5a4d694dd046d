#pragma once
// The user's own functions as operators.
#include <functional>

#include "ritz/linop/linear_operator.h"

namespace ritz {

/// An operator out of closures that take [n] or [n, k].
///
///     #include "ritz/linop/function_operator.h"
///     #include <torch/types.h>
///     int main() {  // differences of neighbours
///       using torch::Tensor;
///       const ritz::FunctionOperator D(
///           4, 5, torch::kFloat64,
///           [](const Tensor& x) { return x.slice(0, 1) - x.slice(0, 0, -1); },
///           [](const Tensor& y) {
///             const auto zero = torch::zeros_like(y.slice(0, 0, 1));
///             return torch::cat({zero, y}) - torch::cat({y, zero});
///           });
///       return D.apply(torch::arange(5.).to(torch::kFloat64)).sum().item<double>() == 4 ? 0 : 1;
///     }
class FunctionOperator : public LinearOperator {
 public:
  using Function = std::function<Tensor(const Tensor&)>;

  /// Without `adjoint` the operator has none.
  FunctionOperator(int64_t rows, int64_t cols, TensorOptions options, Function apply,
                   Function adjoint = nullptr);
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  TensorOptions options() const override { return options_; }

 private:
  Tensor do_apply(const Tensor& x) const override;
  Tensor do_apply_adjoint(const Tensor& x) const override;

  int64_t rows_;
  int64_t cols_;
  TensorOptions options_;
  Function apply_;
  Function adjoint_;
};

/// A symmetric operator out of one closure.
class SymmetricFunctionOperator : public SymmetricOperator {
 public:
  using Function = FunctionOperator::Function;

  SymmetricFunctionOperator(int64_t n, TensorOptions options, Function apply);
  int64_t rows() const override { return n_; }
  TensorOptions options() const override { return options_; }

 private:
  Tensor do_apply(const Tensor& x) const override;

  int64_t n_;
  TensorOptions options_;
  Function apply_;
};

}  // namespace ritz
