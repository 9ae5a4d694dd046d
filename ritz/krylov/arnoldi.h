#pragma once
// Arnoldi's reduction of a general operator to Hessenberg form.
//
// Invariant after m steps, Q [m + 1, P] with orthonormal rows, H [m + 1, m] upper Hessenberg:
//
//     A Q_m^T = Q_{m+1}^T H         (Q_m: the first m rows)
//
//     #include "ritz/krylov/arnoldi.h"
//     #include <torch/types.h>
//     #include "ritz/linop/function_operator.h"
//     int main() {  // a shift by one of 12 places, not symmetric: its eigenvalues lie on the unit circle
//       const ritz::FunctionOperator A(12, 12, torch::kFloat64,
//                                      [](const torch::Tensor& x) { return x.roll(1, 0); });
//       const auto run = ritz::arnoldi(A, {.steps = 12});
//       const auto theta = run.ritz_values();  // complex128 [m], largest modulus first
//       return torch::allclose(theta.abs(), torch::ones({theta.size(0)}, torch::kFloat64)) ? 0 : 1;
//     }
#include "ritz/linop/linear_operator.h"

namespace ritz {

struct ArnoldiOptions {
  int64_t steps = 50;  // m >= 1; clipped to P
  uint64_t seed = 0;   // stream ("arnoldi/start")
  Tensor start = {};   // [P] instead of a random one
};

struct ArnoldiResult {
  Tensor basis;            // [m + 1, P]; [m, P] where the space became invariant
  Tensor hessenberg;       // [m + 1, m] ([m, m]) float64 or complex128 on the CPU
  bool invariant = false;  // stopped early: H's eigenvalues are eigenvalues of A
  double tail = 0;         // H[m, m - 1]

  /// Eigenvalues of the square part of H, complex128, by modulus, descending.
  Tensor ritz_values() const;
};

/// Classical Gram-Schmidt, twice; sums accumulated in double. Complex operators welcome.
ArnoldiResult arnoldi(const LinearOperator& op, const ArnoldiOptions& options = {});

}  // namespace ritz
