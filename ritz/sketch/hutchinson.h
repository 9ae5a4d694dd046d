#pragma once
// Trace and diagonal of an operator by random probes.
//
//     tr A = E[z^H A z],   diag A = E[conj(z) * A z] / E[|z|^2]   for probes with E[z z^H] = I
//
//     #include "ritz/sketch/hutchinson.h"
//     #include <torch/types.h>
//     #include <cmath>
//     #include "ritz/linop/function_operator.h"
//     int main() {  // x -> x + mean(x): trace n + 1
//       const ritz::SymmetricFunctionOperator A(1000, torch::kFloat64, [](const torch::Tensor& x) {
//         return x + x.mean(0, true);
//       });
//       const auto t = ritz::hutchinson_trace(A, {.probes = 64});
//       return std::abs(t.value - 1001) < 5 * *t.standard_error ? 0 : 1;
//     }
#include "ritz/sketch/probes.h"

namespace ritz {

struct HutchinsonOptions {
  int64_t probes = 32;
  int64_t block = 0;  // probes per product with the operator; 0: all at once
  ProbeKind kind = ProbeKind::rademacher;
  uint64_t seed = 0;
};

/// The mean over probes of z^H A z, with its standard error. Unbiased; for symmetric real A one
/// probe has variance 2 (|A|_F^2 - |diag A|^2) (Rademacher) or 2 |A|_F^2 (Gaussian). Of a complex A
/// the real part is returned. Hutchinson 1990; Avron & Toledo 2011.
TraceEstimate hutchinson_trace(const LinearOperator& A, const HutchinsonOptions& options = {});

struct DiagonalEstimate {
  Tensor value;           // [n]
  Tensor standard_error;  // [n], real; undefined for one probe
  int64_t products = 0;
};

/// sum_l conj(z_l) * A z_l / sum_l |z_l|^2, element by element (Bekas, Kokiopoulou & Saad 2007).
/// With Rademacher probes entry i is unbiased with variance (|A_i|^2 - a_ii^2) / probes; a diagonal
/// operator is found exactly.
DiagonalEstimate hutchinson_diagonal(const LinearOperator& A,
                                     const HutchinsonOptions& options = {});

}  // namespace ritz
