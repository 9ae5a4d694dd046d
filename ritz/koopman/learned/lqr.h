#pragma once
// Linear-quadratic control of a linear model by doubling.
//
//     #include "ritz/koopman/learned/lqr.h"
//     #include <torch/types.h>
//     int main() {
//       const auto one = torch::ones({1, 1}, torch::kFloat64);
//       const auto found = ritz::koopman::learned::lqr(one, one, one, one);
//       return std::abs(found.cost.item<double>() - (1 + std::sqrt(5.)) / 2) < 1e-14 ? 0 : 1;  // golden
//     }
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::koopman::learned {

struct LqrOptions {
  int64_t max_doublings = 60;  // 2^60 steps of the Riccati recursion
  double tolerance = 1e-14;    // relative change of P at which it stops (float32: 1e-6)
};

struct Lqr {
  Tensor gain;                    // F [m, d]: a = -F (z - z_goal)
  Tensor cost;                    // P [d, d]
  double residual = 0;            // || P - Q - K^T P K + ... ||_F / || P ||_F
  double closed_loop_radius = 0;  // spectral radius of K - B F
  int64_t doublings = 0;
};

/// The stabilising solution of P = Q + K^T P K - K^T P B (R + B^T P B)^{-1} B^T P K for
/// z' = K z + B a, cost sum z^T Q z + a^T R a; K, Q [d, d], B [d, m], R [m, m], Q >= 0, R > 0.
/// Structure-preserving doubling (Chu, Fan, Lin, Wang, IJC 2004), W = (I + G P)^{-1}:
///
///     A <- A W A,  G <- G + A W G A^T,  P <- P + A^T P W A
///
/// from A = K, G = B R^{-1} B^T, P = Q: after j doublings P is the cost of 2^j steps. 12 d^3
/// multiply-adds each. Throws NotConverged where it does not settle (an unstable mode that B does
/// not reach).
Lqr lqr(const Tensor& K, const Tensor& B, const Tensor& Q, const Tensor& R,
        const LqrOptions& options = {});

}  // namespace ritz::koopman::learned
