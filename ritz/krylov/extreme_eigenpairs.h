#pragma once
// Extreme eigenpairs by thick-restart block Lanczos (Wu and Simon 2000; Stewart's Krylov-Schur
// 2001).
//
//     #include "ritz/krylov/extreme_eigenpairs.h"
//     #include <torch/types.h>
//     #include "ritz/linop/diagonal.h"
//     int main() {
//       const ritz::DiagonalOperator A(torch::arange(1., 1001., torch::kFloat64).sqrt());
//       const auto ends = ritz::extreme_eigenpairs(A, {.largest = 5, .smallest = 2, .tolerance = 1e-3});
//       if (!ends.all_converged) return 1;  // ends.largest.residual_bounds says how far each one is
//       return std::abs(ends.largest.values[0].item<double>() - std::sqrt(1000.)) < 0.04 ? 0 : 1;
//     }
#include "ritz/krylov/lanczos.h"

namespace ritz {

struct ExtremeOptions {
  int64_t largest = 1;          // algebraically largest, >= 0
  int64_t smallest = 0;         // algebraically smallest, >= 0; largest + smallest in [1, P]
  double tolerance = 0;         // on residual / |theta|; 0: sqrt(eps) of the dtype (3e-4, 1.5e-8)
  int64_t max_products = 1000;  // operator products (vectors) in all
  int64_t max_basis = 0;        // basis vectors before a restart; 0: max(2 k + 20, 40), at most P
  int64_t memory_limit = 0;     // bytes for the basis: lowers max_basis; 0: none
  int64_t block = 1;  // vectors a product; > 1 finds eigenvalues of that multiplicity together
  uint64_t seed = 0;  // stream ("extreme/start", i)
  Tensor start = {};  // [P] or [P, block] to begin with; random columns complete it
  bool true_residuals = false;     // one more product each: |A v - theta v| measured
  bool require_converged = false;  // throw NotConverged instead of returning what was reached
};

/// The wanted pairs, or as far as `max_products` led. Invariant subspaces are left through a fresh
/// random vector, so that repeated eigenvalues are found too.
ExtremePairs extreme_eigenpairs(const LinearOperator& op, const ExtremeOptions& options = {});

}  // namespace ritz
