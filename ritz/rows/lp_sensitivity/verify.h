#pragma once
// How wrong a coreset is: a direction in which it errs. Finding the worst one is not convex; what
// is found is attained, so it is a certified lower bound on the distortion.
//
//     rho(x) = ||S A x||_p^p / ||A x||_p^p,   distortion >= max(rho(x) - 1, 1 - rho(x')) for any x,
//     x'
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::rows {

struct VerifyOptions {
  double p = 1;                      // >= 1
  int64_t random_directions = 2000;  // screened by their ratio
  int64_t heavy_rows = 20;           // witness directions of so many sampled rows
  int64_t ascents = 10;              // starts refined, in either direction
  int64_t steps = 100;               // of each, at most
  /// Above so many rows ascents go over a Lewis sample of A, in which the sampled rows are all
  /// kept; whatever they find is then measured over all of A.
  int64_t surrogate_rows = 20000;
  uint64_t seed = 0;
};

struct Verification {
  double distortion = 0;                         // | rho(witness) - 1 |, over all rows of A
  double ratio = 1;                              // rho(witness)
  Tensor witness;                                // [d], ||A witness||_p = 1
  double largest_ratio = 1, smallest_ratio = 1;  // of all directions tried
  int64_t starts = 0;                            // directions screened
  int64_t ascent_steps = 0;
  bool monotone = true;    // no ascent step lost ground (rounding apart)
  bool surrogate = false;  // ascents went over a sample of A
};

/// A [n, d], its coreset's `indices` [m] and `weights` [m].
///
/// Starts: M a_i, M = (A^T W^(1-2/p) A)^-1 (W Lewis weights), for the sampled rows of largest
/// weight times Lewis weight; coordinate directions; Gaussian directions of the whitened A;
/// generalised eigenvectors of the W-weighted Gram matrices of SA and A. From the best, rho rises
/// by x <- argmax { g^T x : ||A x||_p <= 1 }, g = (SA)^T |SAx|^(p-1) sign(SAx): as ||SAx||_p^p is
/// convex it lies above its tangent, so no step loses. The minimum: roles exchanged. p = 2:
/// generalised eigenvalues, exact. Random directions alone miss rows of large weight.
///
/// Cost: 2 n d (starts) flops, and `ascents` times up to `steps` minimisations (lp_minimise.h) over
/// the surrogate.
Verification verify_embedding(const Tensor& A, const Tensor& indices, const Tensor& weights,
                              const VerifyOptions& options = {});

}  // namespace ritz::rows
