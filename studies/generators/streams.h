#pragma once
// Streams of rows whose first direction is known: what top-vector is tried on.
//
//   const auto made = ritz::studies::heavy_rows({.cols = 300, .rows = 12000, .heavy = 24});
//   // made.rows [12024, 300], shuffled; made.direction is where its first direction is planted
#include <cstdint>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::studies {

/// Rows and what is known of them.
struct RowStream {
  Tensor rows;                      // [n, d]
  Tensor direction;                 // [d], unit: the planted direction
  std::vector<int64_t> heavy = {};  // numbers of the heavy rows, ascending
};

/// The first right singular vector and the first two singular values, by the Gram matrix.
struct ExactDirection {
  Tensor vector;               // [d] float64
  double sigma1 = 0, gap = 0;  // gap = s_1^2 / s_2^2
};
ExactDirection exact_direction(const Tensor& rows);

struct HeavyRowsOptions {
  int64_t cols = 300;    // d > heavy
  int64_t rows = 12000;  // light rows, >= 1
  int64_t heavy = 24;    // h >= 0
  double gap = 20;       // R > 0
  double strength = 2;   // s >= R / (2 h): squared norm of a heavy row
  uint64_t seed = 0;
  TensorOptions tensor = {};  // float64 unless it says float32
};
/// Light rows N(0, I / n) + sqrt(R / (2 n)) +-u; heavy rows +-(sqrt(R / (2 h)) u +
/// sqrt(s - R / (2 h)) w_j) with w_j orthonormal; all shuffled.
RowStream heavy_rows(const HeavyRowsOptions& options);

struct SpikeStreamOptions {
  int64_t cols = 300, spikes = 1200, noise = 6000;  // >= 1
  double strength = 36;                             // sum of the spikes' squared norms, > 0
  std::string order = "random";                     // random, spikes-first, spikes-last
  uint64_t seed = 0;
  TensorOptions tensor = {};
};
/// Rows sqrt(strength / spikes) +-u and rows N(0, I / noise).
RowStream spike_stream(const SpikeStreamOptions& options);

struct OjaHardOptions {
  int64_t cols = 4096;  // d >= 2
  double gap = 4;       // R > 0
  uint64_t seed = 0;    // of the rows' order
  TensorOptions tensor = {};
};
/// n = d - 1 rows sqrt(R / n) e_1 + e_i in random order: s_1^2 = R + 1, s_2^2 = 1,
/// v_1 = (sqrt(R) e_1 + (e_2 + ... + e_d) / sqrt(n)) / sqrt(R + 1). Oja's rule fails at every fixed
/// rate.
RowStream oja_hard(const OjaHardOptions& options);

struct HiddenRowOptions {
  int64_t cols = 256;     // d >= 2
  int64_t heavy = 16;     // h >= 1
  int64_t copies = 4096;  // of the half row, >= 1
  double gap = 20;        // R > 0
  double strength = 1;    // s > 0: norm of a heavy row
  uint64_t seed = 0;
  TensorOptions tensor = {};
};
/// h rows s x_j, x_j in {+-1 / sqrt d}^d, and copies of the first half of one of them with total
/// energy R s^2; shuffled. Whoever finds v_1 to 1 / R^2 knows the other half too: the instance of
/// the lower bound.
RowStream hidden_row(const HiddenRowOptions& options);

}  // namespace ritz::studies
