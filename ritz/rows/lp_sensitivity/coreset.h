#pragma once
// A weighted handful of rows that keeps every l_p norm: | sum_kept w_i |a_i x|^p / ||A x||_p^p - 1
// |
// <= eps for all x.
//
//     #include "ritz/base/random.h"
//     #include "ritz/rows/lp_sensitivity.h"
//     #include <torch/types.h>
//     int main() {
//       const auto A = ritz::RandomStream(1, 0).normal({20000, 5}, torch::kFloat64);
//       const auto kept = ritz::rows::coreset(A, {.p = 1, .size = {.rows = 1000}});
//       const auto check = ritz::rows::verify_embedding(A, kept.indices, kept.weights, {.p = 1});
//       return check.distortion < 0.2 ? 0 : 1;  // attained by check.witness: no smaller eps is true
//     }
#include <cstdint>
#include <functional>
#include <vector>

#include "ritz/rows/lp_sensitivity/sampling.h"
#include "ritz/rows/lp_sensitivity/scores.h"

namespace ritz::rows {

struct CoresetOptions {
  double p = 1;  // >= 1
  ScoreKind score = ScoreKind::root_leverage;
  SampleSize size = {};  // rows, eps or alpha
  Sampler sampler = Sampler::bernoulli;
  /// Sample the sample again until its size shrinks by less than a twentieth, at most 8 times: what
  /// root_leverage (R3) and leverage_sensitivity (R4) need for their bound. Each round gets eps /
  /// 4; with a fixed size the last round goes down to it, and other scores have one round.
  bool recursive = false;
  SensitivityMethod sensitivities = SensitivityMethod::automatic;
  int64_t sample_rows = 0;  // see SensitivityOptions
  double tolerance = 1e-10;
  uint64_t seed = 0;
  std::function<void(int64_t done, int64_t total)> progress =
      {};  // rows whose sensitivity is known
};

struct Coreset {
  Tensor indices;              // int64 [m], ascending
  Tensor weights;              // float64 [m] = 1 / q
  RowScores scores;            // of the first round, of all rows
  std::vector<int64_t> sizes;  // rows after each round
  double effective_rows = 0;   // (sum w)^2 / sum w^2
};

/// Rows of A [n, d] (float32 or float64). `row_weights` [n] > 0 (undefined: ones) count row i so
/// many times: a coreset of a weighted set, its weights multiplied in. `rows` >= n keeps every row
/// with its weight. InvalidArgument where `rows` is below the rank. Rows of zeros are never kept
/// otherwise.
Coreset coreset(const Tensor& A, const CoresetOptions& options, const Tensor& row_weights = {});

/// (sum w)^2 / sum w^2: how many rows of equal weight would scatter as little.
double effective_rows(const Tensor& weights);

/// A coreset with its rows: what can be joined with others.
struct WeightedRows {
  Tensor rows;     // [m, d]
  Tensor weights;  // float64 [m]
  Tensor ids;      // int64 [m], numbers of the rows in what they came from
};
/// The union of coresets is a coreset of the union; sampled again to `options.size`. ids must be
/// distinct over all parts.
WeightedRows merge_coresets(const std::vector<WeightedRows>& parts, const CoresetOptions& options);

/// Merge-and-reduce: a coreset of a stream that never holds more than a few blocks. Rows gather in
/// blocks of `block` rows; each is reduced to `options.size.rows`, and two of one level are joined
/// and reduced to one of the next, as a binary counter counts: after n rows at most log2(n / block)
/// + 1 coresets are held, and a row has been sampled so many times, its distortions added.
///
///     ritz::rows::CoresetStream stream({.p = 1, .size = {.rows = 500}}, 4000);
///     while (...) stream.update(rows);       // [any, d]
///     const auto kept = stream.result();     // rows, weights, ids
class CoresetStream {
 public:
  /// `options.size.rows` must be given; `block` 0: four times that.
  explicit CoresetStream(CoresetOptions options, int64_t block = 0);
  /// The next rows [k, d], copied. The split into calls changes nothing.
  void update(const Tensor& rows);
  /// The coreset of all rows so far; the stream may go on.
  WeightedRows result() const;
  int64_t rows_seen() const { return seen_; }
  /// Rows held now.
  int64_t rows_held() const;

 private:
  void add_block(const Tensor& rows);
  CoresetOptions options_;
  int64_t block_ = 0, seen_ = 0, reductions_ = 0;
  Tensor model_;                 // [0, d]: what rows must look like
  std::vector<Tensor> waiting_;  // rows not yet in a block
  int64_t waiting_rows_ = 0;
  std::vector<WeightedRows> levels_;  // empty ones have undefined rows
};

}  // namespace ritz::rows
