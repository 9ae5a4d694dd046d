#pragma once
// Oja's rule, v <- v + eta a <a, v> row after row: at given rates, and at all rates at once.
//
// The grid: Price & Xun, "Spectral Guarantees for Adversarial Streaming PCA", FOCS 2024
// (reconstructed). It works in any order of the rows, sorted ones included, where the gap R =
// s_1^2 / s_2^2 is large: R >= log^2 d, in random order R >= log d (Kacham & Woodruff 2024).
//
//     #include "ritz/base/random.h"
//     #include "ritz/rows/top_vector.h"
//     #include <torch/types.h>
//     int main() {  // rows of variance 1 but for the first column, whose variance is 100
//       torch::Tensor rows = ritz::RandomStream(7, 0).normal({4000, 20}, torch::kFloat64);
//       rows.select(1, 0).mul_(10);
//       ritz::rows::OjaGrid grid;
//       for (const auto& batch : rows.split(64)) grid.update(batch);
//       const auto found = grid.result();  // found.rate: the learning rate whose vector it is
//       return std::abs(found.vector[0].item<double>()) > 0.99 ? 0 : 1;
//     }
#include <vector>

#include "ritz/dist/process_group.h"
#include "ritz/rows/top_vector/detail/stretches.h"
#include "ritz/rows/top_vector/stream.h"

namespace ritz::rows {

/// How a rate falls with the row's number t = 1, 2, ...
enum class Decay { constant, inverse, inverse_root };  // c, c / t, c / sqrt(t)

struct OjaOptions {
  std::vector<double> rates = {
      1};  // c > 0, 1 over squared units of the rows; result() is the first's
  Decay decay = Decay::constant;
  StreamOptions stream = {};
};

/// v_t = v_{t-1} + eta_t a_t <a_t, v_{t-1}> from a Gaussian v_0, at several rates side by side with
/// one v_0. sigma_1 is the mean of <a_t, v_{t-1}>^2 / ||v_{t-1}||^2 over the last stretch of rows
/// (each as long as all before it): every term is taken before its row is learnt, so for rows in
/// random order it is an unbiased estimate along v.
///
/// Cost a row: 4 d flops for one rate; for G rates a block of b = 32 rows costs one [b, d] [d, b]
/// and two [b, d] [d, G] products: with K = B B^T and Y = B V_0
///   y_i = <a_i, v_0> + sum_{j < i} eta_j K_ij y_j,   V <- V_0 + B^T (eta Y),
/// the same numbers as row by row but for rounding (derived: the sheet's 8). State: d G.
class Oja : public DirectionStream {
 public:
  explicit Oja(OjaOptions options = {});
  /// Unit vectors [G, d] float64, one a rate.
  Tensor vectors() const;

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override { seen_.scale(factor * factor); }
  int64_t own_state_bits() const override;
  bool takes_sparse() const override { return true; }

  OjaOptions options_;
  Tensor V_;                // [G, d]
  int64_t t_ = 0;           // rows so far
  detail::Stretches seen_;  // <a, v>^2 of the first rate
};

struct OjaGridOptions {
  double growth = 1;   // c_g > 0: a rate qualifies when ||v|| has grown by d^c_g
  int64_t block = 32;  // rows that are learnt by one product
  StreamOptions stream = {};
};

/// Rates eta_i = 2^i, one v_0; the answer is the vector of the smallest rate that has grown by
/// g = ln ||v_n|| / ||v_0|| >= c_g ln d. Rate i starts when eta_i F2 >= 1e-3 (F2 = sum ||a||^2 so
/// far: before that v would have stayed v_0 to 1e-3) and is dropped when a smaller one has grown by
/// 4 c_g ln d, for ||v|| never falls.
///
/// With m2 the largest squared norm and x* its row: where the smallest rate that grows enough has
/// eta m2 >= 1, x* itself is the answer, since dist(x*, v_1)^2 <= s_2^2 / m2 <= eta s_2^2. A rate
/// of d^1.5 / m2 always grows enough, so none beyond 8 ln d / m2 is run (derived; the sheet leaves
/// the grid's upper end open): if none up to there does, x* is the answer, with status `no_growth`
/// unless m2 >= 0.9 F2. About log2(F2 / m2) + log2 ln d + 13 rates are at work: state d (G + 2).
///
/// With a group every rank takes the same rows but only its own columns (`shard_of(d, ...)`), and
/// all-reduces the b x b and b x G products of each block; result() gathers the vector.
class OjaGrid : public DirectionStream {
 public:
  explicit OjaGrid(OjaGridOptions options = {}, dist::ProcessGroup* group = nullptr);
  /// Rates at work.
  int64_t active() const { return static_cast<int64_t>(growth_.size()); }

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void gather(Totals& totals) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;

  void take_block(const Tensor& rows);
  void choose_rates();
  void renew_norms();
  double threshold() const;

  OjaGridOptions options_;
  dist::ProcessGroup alone_;
  dist::ProcessGroup* group_;
  int64_t d_all_ = 0;  // columns of all ranks
  Tensor v0_, largest_row_;
  double largest_ = 0, squares_ = 0;  // of the scaled rows, over all columns
  Tensor V_;                          // [G, d] unit rows, of rates 2^low_, 2^(low_ + 1), ...
  int low_ = 0;                       // in units of the scaled rows
  std::vector<double> growth_;        // g of each
  std::vector<double> norm2_;         // ||v||^2 of each row of V_
  int64_t blocks_ = 0;
  std::vector<detail::Stretches> seen_;  // <a, v>^2 of each
};

}  // namespace ritz::rows
