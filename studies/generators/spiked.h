#pragma once
// Random matrices with known spikes: what the theorems of batch-scaling speak of.
//
//   const auto made = ritz::studies::spiked_wigner({.size = 800, .spikes = {60, -45}, .batch = 4});
//   // made.matrix [800, 800]; made.top.value is where the theorem expects its largest eigenvalue
#include <cstdint>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/optim/batch_scaling/theory.h"

namespace ritz::studies {

struct SpikedWignerOptions {
  int64_t size = 800;                      // P >= 1
  std::vector<double> spikes = {60, -45};  // eigenvalues of the full-data matrix; at most P
  double sigma = 1;  // deviation of one element of one sample's fluctuation, >= 0
  double batch = 1;  // b > 0: the noise's variance is sigma^2 / b
  uint64_t seed = 0;
  uint64_t draw = 0;          // another noise with the same spikes' directions
  TensorOptions tensor = {};  // float64 unless it says float32
};

/// A matrix and where theory expects its extreme eigenvalues.
struct SpikedMatrix {
  Tensor matrix;      // [P, P], symmetric
  Tensor directions;  // [P, spikes], orthonormal: eigenvectors of the spikes before the noise
  optim::Outlier top, bottom;
};

/// sum_i spike_i q_i q_i^T + W, W symmetric with independent N(0, sigma^2 / b) elements on and
/// above the diagonal; q_i are the first columns of a Haar-distributed orthogonal matrix. Theorem H
/// with s = sigma sqrt(P / b).
SpikedMatrix spiked_wigner(const SpikedWignerOptions& options);

struct SpikedWishartOptions {
  int64_t size = 600;   // P >= 1
  double spike = 10;    // ell, the population's largest eigenvalue, >= sigma2
  double sigma2 = 1;    // the population's other eigenvalues, > 0
  int64_t batch = 600;  // B >= 1 samples
  uint64_t seed = 0;
  uint64_t draw = 0;
  TensorOptions tensor = {};
};

/// X^T X / B with B rows N(0, sigma2 I + (ell - sigma2) q q^T). Theorem G with q = P / B.
SpikedMatrix spiked_wishart(const SpikedWishartOptions& options);

}  // namespace ritz::studies
