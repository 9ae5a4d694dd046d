#pragma once
// Lanczos for symmetric (complex: Hermitian) operators, and Ritz pairs from it.
//
// Invariant after m steps, Q [m, P] with orthonormal rows, T [m, m] real tridiagonal:
//
//     A Q^T = Q^T T + beta_m q_{m+1} e_m^T
//
//     #include "ritz/krylov/lanczos.h"
//     #include <torch/types.h>
//     #include "ritz/linop/function_operator.h"
//     int main() {  // the second difference on 1000 points, never formed
//       const ritz::SymmetricFunctionOperator A(1000, torch::kFloat64, [](const torch::Tensor& x) {
//         auto y = 2 * x;
//         y.slice(0, 1) -= x.slice(0, 0, -1);
//         y.slice(0, 0, -1) -= x.slice(0, 1);
//         return y;
//       });
//       const auto run = ritz::lanczos(A, {.steps = 60});
//       const auto top = ritz::ritz_pairs(run, {.largest = 1});
//       return top.largest.values[0].item<double>() < 4 ? 0 : 1;  // all eigenvalues lie in (0, 4)
//     }
#include <cstdint>
#include <vector>

#include "ritz/krylov/tridiagonal.h"
#include "ritz/linop/linear_operator.h"

namespace ritz {

/// How the basis is kept.
enum class BasisStore {
  full,      // in the operator's dtype: full reorthogonalisation, orthogonal to rounding
  bfloat16,  // rounded basis, computed in the operator's dtype: half of float32's memory;
             // orthogonal to about 2^-9 / sqrt(P) a pair of vectors
  float16,   // the same, 2^-12 / sqrt(P); underflows where |q_i| < 6e-8
  none       // three-term recursion only: converged values reappear as ghosts
};

/// The distribution of start vectors before they are normalised.
enum class StartVector { gaussian, rademacher };

struct LanczosOptions {
  int64_t steps = 100;  // m >= 1; clipped to P
  int64_t probes = 1;   // r >= 1 runs in lockstep: one operator product on [P, r] a step
  uint64_t seed = 0;    // probe l starts from stream ("lanczos/start", first_probe + l)
  int64_t first_probe = 0;
  StartVector start = StartVector::gaussian;
  Tensor start_vectors = {};  // [P] or [P, r]: used instead of random ones
  BasisStore store = BasisStore::full;
};

struct LanczosResult {
  std::vector<Tridiagonal> T;  // one a probe
  Tensor basis;           // [r, m + 1, P]: row j of probe l is q_{j+1}; rows past T's order + 1 are
                          // zero; undefined for BasisStore::none
  int64_t dimension = 0;  // P
  int64_t products = 0;   // vectors the operator was applied to
  BasisStore store = BasisStore::full;
  double epsilon = 0;  // of the operator's dtype

  bool may_have_ghosts() const { return store == BasisStore::none; }
};

/// Runs m steps from each probe. A probe stops early, without a random restart, where
/// beta_j <= eps sqrt(P) max |T|: its Krylov space is invariant and T's eigenvalues are exact.
/// alpha, beta and T are double and long sums are accumulated in double, whatever the operator's
/// dtype. One device synchronisation a step. Memory: the basis (one preallocated buffer) and one
/// product. Throws InvalidArgument where the operator is not square or an option is out of range,
/// NotConverged naming the step where a product is not finite.
LanczosResult lanczos(const LinearOperator& op, const LanczosOptions& options = {});

/// Eigenpairs at one end.
struct EigenPairs {
  Tensor values;                        // [k] float64 on the CPU, outermost first
  Tensor vectors;                       // [k, P], orthonormal rows
  std::vector<double> residual_bounds;  // |A v - theta v|, from the recursion
  std::vector<double> residuals;        // the same measured with one more product, where asked for
  std::vector<bool> converged;          // bound <= tolerance max(|theta|, eps^(2/3) max |theta|)
};

struct ExtremePairs {
  EigenPairs largest;   // descending
  EigenPairs smallest;  // ascending
  bool all_converged = false;
  int64_t products = 0;
  int64_t restarts = 0;
};

struct RitzOptions {
  int64_t largest = 0;  // how many at either end; clipped to what there is
  int64_t smallest = 0;
  int64_t probe = 0;
  double tolerance = 0;  // of `converged`; 0: sqrt(eps) of the operator's dtype
  bool vectors = true;   // false leaves them undefined; BasisStore::none has none
};

/// Ritz pairs of a finished run. Without a stored basis duplicates of converged values (ghosts) are
/// dropped.
ExtremePairs ritz_pairs(const LanczosResult& run, const RitzOptions& options);

}  // namespace ritz
