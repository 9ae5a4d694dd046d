#pragma once
// Snapshots of a dynamical system: pairs (x_m, y_m = F(x_m)) out of trajectories or given as they
// are. The end of one trajectory is never paired with the start of the next.
//
//     #include "ritz/koopman/snapshots.h"
//     #include <torch/types.h>
//     int main() {
//       const auto data = torch::arange(24.).view({2, 4, 3});  // two trajectories of four states
//       const auto all = ritz::koopman::trajectories(data, {.dt = 0.1});
//       const auto parts = ritz::koopman::split(all, 0.5);  // the second trajectory is held out
//       return all.pairs() == 6 && parts.train.pairs() == 3 && parts.holdout.pairs() == 3 ? 0 : 1;
//     }
#include <cstdint>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::koopman {

struct SnapshotOptions {
  double dt = 1;  // time between the two snapshots of a pair
  /// Quadrature weights w_m > 0, one a pair [M], or one a state [T], [N, T] (a pair takes that of
  /// its x). Undefined: equal ones, w_m = 1/M, whatever M becomes.
  Tensor weights = {};
  /// What to leave out: nonzero or NaN marks it. One entry a feature [d] (land), one a state [T],
  /// [N, T], or one a number (the data's shape): a feature masked in every state goes, then every
  /// state of which anything is masked, and with it its pairs. Where d = T, [d] is meant.
  Tensor mask = {};
};

/// M pairs of snapshots. Pair m is x = states[rows[m]] and y = states[rows[m] + 1], or images[m]
/// where those are defined. Large data are views of the caller's (or a mapped file's) memory.
struct Snapshots {
  Tensor states;      // [S, d], real or complex floating point
  Tensor images;      // [M, d], or undefined: the state that follows
  Tensor rows;        // int64 [M], rising
  Tensor trajectory;  // int64 [M], rising: the trajectory a pair comes from; zeros for given pairs
  Tensor weights;     // float64 [M], or undefined: 1/M each
  Tensor features;    // int64 [d]: the columns of the input that are left
  double dt = 1;

  int64_t pairs() const { return rows.size(0); }
  int64_t dimension() const { return states.size(1); }
  /// Do pairs follow each other in time (trajectories), so that delays and blocks make sense?
  bool consecutive() const { return !images.defined(); }
  /// x and y of the pairs [begin, end), [end - begin, d]: views where the rows follow each other.
  Tensor x(int64_t begin, int64_t end) const;
  Tensor y(int64_t begin, int64_t end) const;
  Tensor x() const { return x(0, pairs()); }
  Tensor y() const { return y(0, pairs()); }
  /// float64 [M]
  Tensor pair_weights() const;
};

/// Pairs out of trajectories: `data` [T] or [T, d] is one, [N, T, d] are N of them, float32,
/// float64 or complex. InvalidArgument where there are fewer than two snapshots, where a number
/// outside the mask is not finite, a weight not positive, a length does not fit.
Snapshots trajectories(const Tensor& data, const SnapshotOptions& options = {});
/// Trajectories [T_k, d] of different lengths.
Snapshots trajectories(const std::vector<Tensor>& data, const SnapshotOptions& options = {});

/// Pairs as they are: X and Y [M, d] (or [M]).
Snapshots pairs(const Tensor& X, const Tensor& Y, const SnapshotOptions& options = {});

/// The pairs that `index` (int64 [K], rising) names.
Snapshots select(const Snapshots& snapshots, const Tensor& index);

/// Training data, and data that the training never sees.
struct Split {
  Snapshots train;
  Snapshots holdout;  // no pairs where nothing is held out
};
/// Holds out the last `fraction` of the pairs, rounded up; of several trajectories the last whole
/// ones, at least one. Delays are to be taken of each part by itself, or windows of one would reach
/// into the other.
Split split(const Snapshots& snapshots, double fraction);

/// States made of `delays` consecutive ones, `spacing` steps apart: row t becomes
/// [x_t, x_{t + spacing}, ...], delays d features, so that a linear function of it is a combination
/// of g(F^j x). A view where spacing = 1. InvalidArgument where no trajectory is long enough
/// (delays spacing steps and one more state), Unsupported for given pairs.
Snapshots delay_embed(const Snapshots& snapshots, int64_t delays, int64_t spacing = 1);

}  // namespace ritz::koopman
