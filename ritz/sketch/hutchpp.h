#pragma once
// Hutch++: the trace of the part of A that a random subspace catches, exactly, and Hutchinson's
// estimate of the rest.
//
//     Q = orth(A S),   tr A ~ tr(Q^H A Q) + (1 / k) sum_l g_l^H (I - Q Q^H) A (I - Q Q^H) g_l
//
//     #include "ritz/sketch/hutchpp.h"
//     #include <torch/types.h>
//     #include <cmath>
//     #include "ritz/linop/diagonal.h"
//     int main() {  // eigenvalues 1, 1/4, 1/9, ...: trace close to pi^2 / 6
//       const ritz::DiagonalOperator A(torch::arange(1., 1001., torch::kFloat64).pow(-2));
//       const auto t = ritz::hutchpp_trace(A, {.products = 90});
//       return std::abs(t.value - 1.6439) < 5 * *t.standard_error + 1e-3 ? 0 : 1;
//     }
#include "ritz/sketch/probes.h"

namespace ritz {

struct HutchppOptions {
  int64_t products =
      60;             // with the operator, >= 3; a third each for A S, A Q and the residual probes
  int64_t block = 0;  // residual probes per product; 0: all at once
  ProbeKind kind = ProbeKind::rademacher;
  uint64_t seed = 0;
};

/// Unbiased. For positive semi-definite A, O(1 / eps) products give (1 +- eps) tr A where
/// Hutchinson's needs O(1 / eps^2); exact where rank A <= products / 3. The standard error is that
/// of the residual probes given Q. Meyer, Musco, Musco & Woodruff 2021, Algorithm 1.
TraceEstimate hutchpp_trace(const LinearOperator& A, const HutchppOptions& options = {});

}  // namespace ritz
