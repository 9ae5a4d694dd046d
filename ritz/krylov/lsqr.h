#pragma once
// LSQR: rectangular systems, least squares and damped least squares.
#include "ritz/krylov/solve.h"

namespace ritz {

struct LsqrOptions {
  double atol = 1e-6;          // relative error in A; `least_squares`: |A^H r| <= atol |A| |r|
  double btol = 1e-6;          // relative error in b; `converged`: |r| <= btol |b| + atol |A| |x|
  double conlim = 1e8;         // ends where cond(A) is estimated above it; 0: no limit
  double damp = 0;             // minimises |A x - b|^2 + damp^2 |x|^2
  int64_t max_iterations = 0;  // 0: 4 min(rows, cols) + 100
  bool require_converged = false;
};

struct LsqrResult {
  Tensor x;                // [cols] or [cols, k]
  bool converged = false;  // every column ended as converged or least_squares
  int64_t iterations = 0;
  std::vector<Stop> stop;                      // one a column
  std::vector<std::vector<double>> residuals;  // [k][..]: |b - A x| (damp: of the augmented system)
  std::vector<double> normal_residual;         // [k] |A^H r - damp^2 x|
  std::vector<double> norm;                    // [k] estimate of |A| in the Frobenius norm
  std::vector<double> condition;               // [k] estimate of cond(A)
};

/// min |A x - b| by Golub-Kahan bidiagonalisation (Paige and Saunders 1982): the minimum-norm
/// solution where there are many. b [rows] or [rows, k]; columns advance together. A needs an
/// adjoint.
///
///     const auto run = ritz::lsqr(A, b, {.atol = 1e-10, .btol = 1e-10});
LsqrResult lsqr(const LinearOperator& A, const Tensor& b, const LsqrOptions& options = {});

}  // namespace ritz
