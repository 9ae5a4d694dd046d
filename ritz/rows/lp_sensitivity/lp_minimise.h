#pragma once
// l_p norm minimisation under one linear constraint, and l_p regression, which is the same problem.
//
//     min ||D x||_p  subject to  c^T x = 1                     sensitivity of a row c: 1 / min^p
//     min ||A x - b||_p = min ||[A, -b] z||_p, z_{d+1} = 1     regression
//
//   const auto fit = ritz::rows::lp_regression(A, b, {.p = 1});
//   // fit.solution [d], fit.objective = ||A x - b||_1, fit.gap <= 1e-9: proven by a dual solution
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::rows {

struct LpOptions {
  double p = 1;             // >= 1, finite
  double tolerance = 1e-9;  // relative duality gap at which it stops, > 0
  int64_t max_steps = 100;
};

struct LpMinimum {
  Tensor x;                  // [d], c^T x = 1
  double value = 0;          // ||D x||_p
  double lower_bound = 0;    // proven by a dual solution: no feasible x has less
  double gap = 0;            // value / lower_bound - 1
  double dual_residual = 0;  // max |D^T z - f c| / f, z = |D x|^(p-1) sign(D x), f = value^p; p > 1
  int64_t steps = 0;
  bool converged = false;
  bool feasible = true;  // false: c lies outside D's row space, so the minimum is 0; x is empty
};

/// D [m, d], c [d] != 0, of one dtype. p = 1 (and up to 1.35): primal-dual interior point, 10-15
/// steps; above: Newton's method with a line search, 4-12 steps, p = 2 closed. In the row space of
/// D (rank deficiency and scales do not matter). m d (d + 13) flops a step, on one thread of the
/// CPU; other devices' tensors are copied there. Not converged: `converged` is false and `gap`
/// tells.
LpMinimum lp_minimise(const Tensor& D, const Tensor& c, const LpOptions& options = {});

struct LpRegression {
  Tensor solution;       // [d], A's dtype
  double objective = 0;  // (sum_i w_i |a_i x - b_i|^p)^(1/p)
  double lower_bound = 0;
  double gap = 0;  // objective / lower_bound - 1; 0 where the fit is exact to rounding
  int64_t steps = 0;
  bool converged = false;
};

/// min sum_i w_i |a_i x - b_i|^p for A [n, d], b [n], w [n] > 0 (undefined: ones). Of many
/// minimisers one in A's row space.
LpRegression lp_regression(const Tensor& A, const Tensor& b, const LpOptions& options = {},
                           const Tensor& weights = {});

/// ||A x - b||_p over all rows, overflow-proof; b undefined: ||A x||_p.
double lp_residual_norm(const Tensor& A, const Tensor& x, const Tensor& b, double p);

}  // namespace ritz::rows
