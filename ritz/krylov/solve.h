#pragma once
// What all iterative solvers of A x = b share: options, results, and how they end.
#include <string_view>
#include <vector>

#include "ritz/linop/linear_operator.h"

namespace ritz {

/// Why a column of a solve ended.
enum class Stop {
  converged,        // its stopping test holds
  least_squares,    // LSQR: |A^H r| is small; the system itself has no solution
  condition_limit,  // LSQR: the estimate of cond(A) passed conlim
  max_iterations,
  not_positive_definite,  // CG: a direction p (or preconditioned residual) with p^H A p <= 0
  singular,               // MINRES: the Krylov space is exhausted; x is a least-squares solution
  stagnated               // no progress is possible in this precision
};
std::string_view stop_name(Stop stop);

struct SolveOptions {
  double rtol = 1e-6;  // ends where |r| <= max(rtol |b|, atol)
  double atol = 0;
  int64_t max_iterations = 0;                      // 0: 10 n
  const LinearOperator* preconditioner = nullptr;  // M ~ A^-1, positive definite: z = M r
  Tensor x0 = {};                                  // start, shape of x; zero by default
  bool require_converged = false;  // throw NotConverged instead of returning what was reached
};

struct SolveResult {
  Tensor x;                // [n] or [n, k], as b
  bool converged = false;  // all columns
  int64_t iterations = 0;  // products with the operator (of the whole block)
  std::vector<Stop> stop;  // one a column
  std::vector<std::vector<double>>
      residuals;  // [k][1 + its iterations]: |r| as the recursion knows it
};

}  // namespace ritz
