#pragma once
// Operators made of operators. All share their parts, apply blocks at once, and have an adjoint
// where their parts have one. Shapes, dtypes and devices that do not fit throw InvalidArgument when
// composed.
//
//     #include "ritz/linop/algebra.h"
//     #include <torch/types.h>
//     #include "ritz/linop/dense.h"
//     int main() {
//       const auto values = torch::arange(12., torch::kFloat64).view({4, 3});
//       const auto A = std::make_shared<ritz::DenseOperator>(values);
//       const auto normal = ritz::shifted(ritz::product({ritz::adjoint(A), A}), 1e-3);  // A^T A + 0.001 I
//       const auto I = ritz::identity(3, A->options());
//       const auto damped = ritz::stack_vertically({A, ritz::scaled(0.1, I)});          // [A; 0.1 I]
//       const auto x = torch::ones({3}, torch::kFloat64);
//       return normal->apply(x).size(0) == 3 && damped->apply(x).size(0) == 7 ? 0 : 1;
//     }
#include <complex>
#include <vector>

#include "ritz/linop/linear_operator.h"

namespace ritz {

/// The identity on n dimensions.
LinearOperatorPtr identity(int64_t n, const TensorOptions& options);
/// c A. A complex c needs a complex A.
LinearOperatorPtr scaled(std::complex<double> c, LinearOperatorPtr A);
/// A_1 + A_2 + ...
LinearOperatorPtr sum(std::vector<LinearOperatorPtr> terms);
/// A_1 A_2 ...: the last is applied first.
LinearOperatorPtr product(std::vector<LinearOperatorPtr> factors);
/// A + c I, A square. A complex c needs a complex A.
LinearOperatorPtr shifted(LinearOperatorPtr A, std::complex<double> c);
/// A^H
LinearOperatorPtr adjoint(LinearOperatorPtr A);

/// [A_1; A_2; ...]: one domain, results one below the other.
LinearOperatorPtr stack_vertically(std::vector<LinearOperatorPtr> blocks);
/// [A_1, A_2, ...]: parts of x to each, results added.
LinearOperatorPtr stack_horizontally(std::vector<LinearOperatorPtr> blocks);
/// diag(A_1, A_2, ...)
LinearOperatorPtr stack_diagonally(std::vector<LinearOperatorPtr> blocks);

}  // namespace ritz
