#pragma once
// Nystrom approximation of a positive semi-definite operator from one block product.
//
//     A_nys = (A W) (W^H A W)^+ (A W)^H = U diag(lambda) U^H,   W [n, k] orthonormal, random
//
// the best positive semi-definite approximation that A W alone determines: A_nys <= A.
//
//     #include "ritz/sketch/nystrom.h"
//     #include <torch/types.h>
//     #include "ritz/krylov/cg.h"
//     #include "ritz/linop/algebra.h"
//     int main() {  // eigenvalues 1, 1/4, 1/9, ...: a few directions hold almost all of A
//       const auto A = std::make_shared<ritz::DiagonalOperator>(
//           torch::arange(1., 501., torch::kFloat64).pow(-2));
//       const double mu = 1e-4;
//       const auto M = ritz::nystrom_preconditioner(ritz::nystrom(*A, {.rank = 50}), mu);  // of A + mu I
//       const auto b = torch::ones({500}, torch::kFloat64);
//       const auto plain = ritz::cg(*ritz::shifted(A, mu), b);
//       const auto fast = ritz::cg(*ritz::shifted(A, mu), b, {.preconditioner = M.get()});
//       return fast.converged && 3 * fast.iterations < plain.iterations ? 0 : 1;
//     }
#include "ritz/linop/diagonal.h"
#include "ritz/sketch/probes.h"

namespace ritz {

struct NystromOptions {
  int64_t rank = 20;          // k >= 1, of the approximation; clipped to n
  int64_t oversampling = 10;  // more columns in W than are kept; k + this is clipped to n
  uint64_t seed = 0;
};

struct NystromApproximation {
  Tensor U;            // [n, k], orthonormal columns
  Tensor eigenvalues;  // [k], descending, >= 0
  double shift = 0;    // nu, added and taken off again for stability
  int64_t products = 0;

  /// F [n, k] with A ~ F F^H.
  Tensor factor() const;
};

/// The stable form: with nu = eps |A W|_F, Y = A W + nu W, W^H Y = C C^H and B = Y C^-H, the
/// singular values s of B give lambda = max(0, s^2 - nu). Tropp, Yurtsever, Udell & Cevher 2017,
/// Algorithm 3 (its fixed-rank cut comes last); Martinsson & Tropp 2020, section 14. Throws
/// InvalidArgument where A is visibly not positive semi-definite.
NystromApproximation nystrom(const LinearOperator& A, const NystromOptions& options = {});

/// M ~ (A + mu I)^-1, mu > 0:  M = (lambda_k + mu) U (Lambda + mu)^-1 U^H + (I - U U^H), whose
/// condition with A + mu I is (lambda_k + mu) / mu up to the approximation's error (Frangella,
/// Tropp & Udell 2023).
std::shared_ptr<LowRankDiagonalOperator> nystrom_preconditioner(const NystromApproximation& A,
                                                                double mu);

}  // namespace ritz
