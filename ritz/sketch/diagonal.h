#pragma once
// The diagonal, trace and Frobenius norm of a symmetric operator out of products with it, each with
// its error: what a Hessian says of every single parameter.
//
//     diag A = E[z * A z],   tr A = E[z^T A z],   |A|_F^2 = E[|A z|^2]   for signs z
//
// Entry i has variance sum_{j != i} A_ij^2 (Bekas, Kokiopoulou and Saad 2007); the mean over a
// block of b entries has up to b times less. The probes are functions of the seed alone: the same
// seed at two checkpoints compares them with common random numbers.
//
//     #include "ritz/sketch/diagonal.h"
//     #include <torch/types.h>
//     #include <cmath>
//     #include "ritz/linop/function_operator.h"
//     int main() {  // x -> 2 x + mean(x): diagonal 2 + 1/n, trace 2 n + 1
//       const ritz::SymmetricFunctionOperator A(1000, torch::kFloat64, [](const torch::Tensor& x) {
//         return 2 * x + x.mean(0, true);
//       });
//       const auto d = ritz::estimate_diagonal(A, {.samples = 256, .tolerance = 0.01});
//       return std::abs(d.trace - 2001) < 5 * d.trace_se ? 0 : 1;
//     }
#include <vector>

#include "ritz/linop/linear_operator.h"

namespace ritz {

struct DiagonalOptions {
  int64_t samples = 64;  // probes at most; not used where exact
  double tolerance = 0;  // stop once trace_se <= tolerance |trace|, after two blocks; 0: take all
  bool exact = false;    // n products with unit vectors; n at most kExactDiagonalLimit
  int64_t block = 0;     // vectors a product; 0: 8, or 64 where exact
  std::vector<int64_t> blocks = {};  // lengths, in order, of blocks whose means are wanted; sum n
  uint64_t seed = 0;
};

inline constexpr int64_t kExactDiagonalLimit = 4096;

struct OperatorDiagonal {
  Tensor diagonal = {}, diagonal_se = {};        // [n]; errors 0 where exact, NaN for one sample
  Tensor block_means = {}, block_means_se = {};  // [blocks]; undefined where none were asked for
  double trace = 0, trace_se = 0;
  double frobenius = 0, frobenius_se = 0;  // |A|_F
  int64_t samples = 0;                     // taken
  bool exact = false;
};

/// Throws InvalidArgument where A is not square, a product is not finite, the blocks do not sum to
/// n, or exact is asked for beyond its limit. Memory: 2 n numbers in double and a block of
/// products.
OperatorDiagonal estimate_diagonal(const LinearOperator& A, const DiagonalOptions& options = {});

}  // namespace ritz
