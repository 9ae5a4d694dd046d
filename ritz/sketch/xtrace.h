#pragma once
// XTrace: Hutch++ made exchangeable. Every test vector serves once as the residual probe of a
// subspace built from all others, so nothing is spent twice.
//
// Y = A W = Q R with W [n, m] on the sphere; without its i-th column the range of Y has the
// projector Q (I - s_i s_i^H) Q^H, where s_i is the normalised i-th column of R^-H. The estimates
//
//     t_i = tr(Q^H A Q) - s_i^H (Q^H A Q) s_i + (n - m + 1) v_i^H A v_i / |v_i|^2,
//     v_i = w_i - Q (I - s_i s_i^H) Q^H w_i
//
// need no products beyond A W and A Q; their mean is the answer.
//
//     #include "ritz/sketch/xtrace.h"
//     #include <torch/types.h>
//     #include <cmath>
//     #include "ritz/linop/diagonal.h"
//     int main() {  // eigenvalues 1, 1/2, 1/4, ...: trace 2
//       const ritz::DiagonalOperator A(torch::pow(0.5, torch::arange(0., 200., torch::kFloat64)));
//       const auto t = ritz::xtrace(A, {.products = 60});
//       return std::abs(t.value - 2) < 1e-6 ? 0 : 1;
//     }
#include "ritz/sketch/probes.h"

namespace ritz {

struct XTraceOptions {
  int64_t products = 60;  // with the operator, >= 4; half for A W, half for A Q; clipped to 2 n
  uint64_t seed = 0;
};

/// Unbiased; exact where rank A < products / 2. The standard error is the paper's error estimate,
/// std(t_i) / sqrt(m): the t_i are exchangeable, not independent, so it is a guide, not a bound.
/// Epperly, Tropp & Webber 2024, "XTrace: Making the most of every sample in stochastic trace
/// estimation", Algorithm 2.1 with the normalised probes of its section 2.3.
TraceEstimate xtrace(const LinearOperator& A, const XTraceOptions& options = {});

}  // namespace ritz
