#pragma once
// Conjugate gradients, with and without a preconditioner.
//
//     #include "ritz/krylov/cg.h"
//     #include <torch/types.h>
//     #include "ritz/linop/diagonal.h"
//     #include "ritz/linop/dense.h"
//     int main() {
//       const auto d = torch::logspace(0, 4, 50, 10, torch::kFloat64);
//       const ritz::DenseOperator A(torch::diag(d) + 0.1 * torch::ones({50, 50}, torch::kFloat64));
//       const auto b = torch::ones({50}, torch::kFloat64);
//       const auto plain = ritz::cg(A, b, {.rtol = 1e-8});
//       const ritz::DiagonalOperator jacobi(1 / d);
//       const auto fast = ritz::cg(A, b, {.rtol = 1e-8, .preconditioner = &jacobi});
//       return fast.converged && fast.iterations < plain.iterations ? 0 : 1;
//     }
#include "ritz/krylov/solve.h"

namespace ritz {

/// Solves A x = b for symmetric (Hermitian) positive definite A; b [n] or [n, k]. The columns of a
/// block advance together on one product [n, k], each with its own step lengths, and rest once they
/// are done. Singular A is fine where b lies in its range. Residuals are those of the recursion.
SolveResult cg(const LinearOperator& A, const Tensor& b, const SolveOptions& options = {});

}  // namespace ritz
