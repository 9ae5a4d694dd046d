#pragma once
// MINRES: symmetric systems that need not be definite.
#include "ritz/krylov/solve.h"

namespace ritz {

/// Solves A x = b for symmetric (Hermitian) A, indefinite or singular, by minimising |b - A x| over
/// the Krylov space (Paige and Saunders 1975); with a preconditioner, |b - A x| in the norm of M. b
/// [n] or [n, k]; columns advance together. Where A is singular and b not in its range, the column
/// ends as `singular`: x is then a least-squares solution.
///
///     const auto run = ritz::minres(saddle_point, b, {.rtol = 1e-10});
SolveResult minres(const LinearOperator& A, const Tensor& b, const SolveOptions& options = {});

}  // namespace ritz
