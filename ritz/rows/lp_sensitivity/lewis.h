#pragma once
// Leverage scores and l_p Lewis weights: what sampling by l_2 computations alone goes by.
#include <cstdint>

#include "ritz/rows/lp_sensitivity/row_basis.h"

namespace ritz::rows {

/// tau_i = a_i (A^T A)^+ a_i^T in [0, 1], [n] float64 on A's device; they sum to the rank.
/// 4 n d^2 flops, A read three times.
Tensor leverage_scores(const Tensor& A);
Tensor leverage_scores(const RowBasis& basis);

struct LewisOptions {
  double p = 1;             // >= 1
  double tolerance = 1e-8;  // of max |w / tau(W^(1/2-1/p) A) - 1|
  int64_t max_steps = 200;
};

struct LewisWeights {
  Tensor weights;  // [n] float64, sum = rank; 0 for rows of zeros
  int64_t rank = 0;
  int64_t steps = 0;    // passes over A
  double residual = 0;  // max |w / tau - 1|
  bool converged = false;
};

/// The weights with w_i = tau_i(W^(1/2-1/p) A) (Cohen & Peng 2015). For p = 2 the leverage scores.
///
///     const auto lewis = ritz::rows::lewis_weights(A, {.p = 1});    // A [n, d]
///
/// Each pass takes M = A^T W^(1-2/p) A and moves log w by theta log(tau / w), theta = 2p/(p+2),
/// then scales w to the sum that it has at the fixed point (derived): near it the error shrinks by
/// |p-2|/(p+2) or better (1/3 at p = 1 and 4, where the sheet's w <- (a M^-1 a)^(p/2) has 1/2 and
/// 1), and for p <= 4 no step widens it in Thompson's metric. Where a pass makes the residual grow,
/// as may happen far from the fixed point for p > 4, theta is halved.
/// 4 n d^2 flops and one read of A a pass, no scaled copy of it.
LewisWeights lewis_weights(const Tensor& A, const LewisOptions& options = {});
LewisWeights lewis_weights(const RowBasis& basis, const LewisOptions& options = {});

/// Factor F [r, r] of the quadratic form at the weights: |a F|^2 = a (A^T W^(1-2/p) A)^-1 a^T.
Tensor lewis_factor(const RowBasis& basis, const Tensor& weights, double p);

}  // namespace ritz::rows
