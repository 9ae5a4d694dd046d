#pragma once
// Natural gradients from the samples themselves (SNGD; HyLo: Mu, Soori, Can, Gurbuzbalaban, Mehri
// Dehnavi, SC 2022): a layer's Fisher matrix has the rank of its batch, so the Sherman-Morrison-
// Woodbury identity trades its inverse, of order o i', for one of order b or of a tenth of it.
//
//     u_i = vec(sum_t g_it a_it^T), the gradient of sample i;  t its positions
//     F = 1/N sum_{i of N} u_i u_i^T ~ 1/N sum_{i, j of r} B_ij u_i u_j^T
//     (F + mu I)^-1 x = ( x - sum_ij W_ij <u_j, x> u_i ) / mu,   W = ( mu N B^-1 + K )^-1
//     K_ij = <u_i, u_j> = (a_i . a_j) (g_i . g_j) where t = 1
//
// SNGD takes all samples (r = N, B = I). HyLo takes r of them:
//   KIS  kernel importance sampling, B diagonal: r samples drawn, each with a probability pi_i in
//        proportion to |u_i|^2, B_ii = 1 / pi_i. The published code draws the same way and leaves
//        B = N / r; with 1 / pi_i the estimate of F is unbiased, and exact at r = N (derived).
//   KID  kernel interpolative decomposition, u_i ~ sum_{j of r} Z_ij u_j, B = Z^T Z: the r rows are
//        the pivots of a QR decomposition of the gradients with column pivoting, which is K's
//        Cholesky decomposition with diagonal pivoting and needs K alone (derived; the published
//        code sorts by |u_i| once and does not pivot).
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::optim {

/// Gradients of samples as rows: sample i has the rows i t .. i t + t - 1 of A [r t, i'] and
/// G [r t, o].
struct SampleRows {
  Tensor A, G;
  int64_t positions = 1;  // t
  int64_t count() const { return A.size(0) / positions; }
  /// The samples with these numbers, int64 [k].
  SampleRows pick(const Tensor& samples) const;
};

/// K [r, r], in float64, in which it is as good as semi-definite. For t = 1 two products of r^2 (i'
/// + o) multiply-adds; else the cheaper in memory of the products of all rows and the gradients
/// themselves.
Tensor gradient_kernel(const SampleRows& rows);
/// |u_i|^2 [r], K's diagonal.
Tensor gradient_norms2(const SampleRows& rows);

/// pi [n], float64: min(1, c s_i) with c such that they sum to k; fewer than k scores above 0 are
/// all 1, and where none is, all are k / n. Scores are not negative.
Tensor inclusion_probabilities(const Tensor& scores, int64_t k);
/// Systematic sampling: int64, ascending, item i with probability pi_i, from one u uniform on
/// [0, 1).
Tensor systematic_sample(const Tensor& probabilities, double u);

/// K ~ L L^T with K's diagonal pivoted: `pivots` int64 [r], L [n, r], L[pivots] lower triangular.
/// Stops early where no more than n `rounding` max_i K_ii is left.
struct PivotedCholesky {
  Tensor pivots, L;
};
PivotedCholesky pivoted_cholesky(const Tensor& K, int64_t rank, double rounding);

/// (F + mu I)^-1 as above.
struct SampledFisher {
  SampleRows rows;
  Tensor W;  // [r, r]
  double damping = 1;
  /// X [o, i'] to the same: 4 r t o i' flops.
  Tensor divide(const Tensor& X) const;
};

/// All samples, N = r.
SampledFisher exact_fisher(const SampleRows& rows, double damping);
/// Drawn samples with their probabilities pi [r] out of N.
SampledFisher weighted_fisher(const SampleRows& rows, const Tensor& probabilities, int64_t N,
                              double damping);
/// The interpolative decomposition of rank at most `rank` of all N samples.
SampledFisher interpolated_fisher(const SampleRows& rows, int64_t rank, double damping);

}  // namespace ritz::optim
