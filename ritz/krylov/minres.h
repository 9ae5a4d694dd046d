#pragma once
// MINRES: symmetric systems that need not be definite.
#include "ritz/krylov/solve.h"

namespace ritz {

/// Solves A x = b for symmetric (Hermitian) A, indefinite or singular, by minimising |b - A x| over
/// the Krylov space (Paige and Saunders 1975); with a preconditioner, |b - A x| in the norm of M. b
/// [n] or [n, k]; columns advance together. Where A is singular and b not in its range, the column
/// ends as `singular`: x is then a least-squares solution. The test is |A r| <= sqrt(eps) |A| |r|:
/// to it, an A whose condition number is above 3e3 (float32) or 7e7 (float64) may look singular
/// too.
///
///     const auto run = ritz::minres(saddle_point, b, {.rtol = 1e-10});
SolveResult minres(const LinearOperator& A, const Tensor& b, const SolveOptions& options = {});

}  // namespace ritz
