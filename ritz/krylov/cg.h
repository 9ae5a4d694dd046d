#pragma once
// Conjugate gradients, with and without a preconditioner.
//
//     const auto run = ritz::cg(A, b, {.rtol = 1e-8});
//     const ritz::DiagonalOperator jacobi(1 / diagonal);
//     const auto faster = ritz::cg(A, b, {.rtol = 1e-8, .preconditioner = &jacobi});
#include "ritz/krylov/solve.h"

namespace ritz {

/// Solves A x = b for symmetric (Hermitian) positive definite A; b [n] or [n, k]. The columns of a
/// block advance together on one product [n, k], each with its own step lengths, and rest once they
/// are done. Singular A is fine where b lies in its range. Residuals are those of the recursion.
SolveResult cg(const LinearOperator& A, const Tensor& b, const SolveOptions& options = {});

}  // namespace ritz
