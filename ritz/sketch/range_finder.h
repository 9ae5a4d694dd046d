#pragma once
// An orthonormal basis of (nearly) the range of an operator, and the singular value decomposition
// from it.
//
//     Y = (A A^H)^q A G, G Gaussian [n, k + p];   Q = orth(Y);   |A - Q Q^H A| close to sigma_{k+1}
//
//     #include "ritz/sketch/range_finder.h"
//     #include <torch/types.h>
//     #include "ritz/linop/dense.h"
//     int main() {  // a matrix of rank 2
//       const auto a = torch::arange(1., 41., torch::kFloat64), b = torch::arange(1., 31., torch::kFloat64);
//       const ritz::DenseOperator A(a.outer(b) + 2 * b.new_ones({40}).outer(b.cos()));
//       const auto svd = ritz::randomized_svd(A, {.rank = 2, .error_probes = 5});
//       return *svd.error_bound < 1e-9 * svd.S[0].item<double>() ? 0 : 1;
//     }
#include "ritz/sketch/probes.h"

namespace ritz {

struct RangeFinderOptions {
  int64_t rank = 10;          // k >= 1
  int64_t oversampling = 10;  // p >= 0; k + p is clipped to min(rows, cols)
  int64_t power_iterations =
      0;  // q >= 0: 1 or 2 where singular values decay slowly; needs the adjoint
  int64_t error_probes =
      0;  // r: Gaussian probes for the bound below; it fails with probability 10^-r
  uint64_t seed = 0;
};

struct RangeBasis {
  Tensor Q;                           // [rows, k + p], orthonormal columns
  std::optional<double> error_bound;  // of |A - Q Q^H A|_2, where asked for
  int64_t products = 0;               // vectors A or its adjoint was applied to
};

/// Halko, Martinsson & Tropp 2011: Algorithm 4.3 in the stable form 4.4 (a QR decomposition after
/// every product). E|A - Q Q^H A|_F^2 <= (1 + k / (p - 1)) sum_{j > k} sigma_j^2 for q = 0 (their
/// Theorem 10.5). The bound is their (4.3): 10 sqrt(2 / pi) max_i |(I - Q Q^H) A g_i|.
RangeBasis range_finder(const LinearOperator& A, const RangeFinderOptions& options = {});

struct RandomizedSvd {
  Tensor U;  // [rows, k]
  Tensor S;  // [k], descending, real
  Tensor V;  // [cols, k]: A ~ U diag(S) V^H
  std::optional<double>
      error_bound;  // of |A - Q Q^H A|_2; cutting k + p down to k adds at most S_{k+1}
  int64_t products = 0;
};

/// The svd of Q^H A (Halko et al. 2011, Algorithm 5.1), cut to rank k. Needs the adjoint.
RandomizedSvd randomized_svd(const LinearOperator& A, const RangeFinderOptions& options = {});

}  // namespace ritz
