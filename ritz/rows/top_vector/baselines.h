#pragma once
// What TopVector is compared with: AdaOja, History PCA, Frequent Directions and sampling by norms.
// Block power iteration (Mitliagkas, Caramanis & Jain 2013) is TopVector with heavy = 0 and
// Schedule::equal; Oja's rule is in oja.h.
#include "ritz/base/random.h"
#include "ritz/rows/top_vector/detail/stretches.h"
#include "ritz/rows/top_vector/stream.h"

namespace ritz::rows {

struct AdaOjaOptions {
  int64_t block_width = 0;  // k in [1, d]; 0: 4, or d where that is less
  int64_t batch = 64;       // rows a step, >= 1
  double b0 = 1e-5;         // > 0, squared units of the rows
  StreamOptions stream = {};
};

/// Henriksen & Ward 2019: G = X^T X Q / b of each batch X of b rows, s^2 <- s^2 + ||G||_F^2
/// (s_0 = b0), Q <- orth(Q + G / s): Oja's rule whose rate finds its own size. A batch that is not
/// yet full waits (batch x d numbers of state). result(): the first Ritz vector of Q on the last
/// rows, sigma_1 from the Ritz values that batches had before they were learnt. State: 2 d k +
/// batch d.
class AdaOja : public DirectionStream {
 public:
  explicit AdaOja(AdaOjaOptions options = {});

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;
  void step(const Tensor& X);

  AdaOjaOptions options_;
  int64_t k_ = 0, waiting_ = 0;
  Tensor Q_, G_;  // [k, d]; G of the last batch
  Tensor batch_;  // [batch, d], `waiting_` rows of it full
  double sum_ = 0;
  detail::Stretches first_, second_;  // Ritz values of the batches
};

struct HistoryPcaOptions {
  int64_t block_width = 0;  // k in [1, d]; 0: 4, or d where that is less
  int64_t batch = 64;       // rows a step, >= 1
  int64_t inner = 1;        // m >= 1: repetitions of a step
  StreamOptions stream = {};
};

/// Yang, Hsieh & Wang 2018: of each batch X, with n rows before it and Q_0 diag(lam) Q_0^T standing
/// for their mean outer product,
///   S = n / (n + b) Q_0 diag(lam) Q_0^T Q + X^T X Q / (n + b),   Q <- orth(S),
/// m times, then lam = the column norms of S. State: 2 d k + batch d.
class HistoryPca : public DirectionStream {
 public:
  explicit HistoryPca(HistoryPcaOptions options = {});

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;
  void step(const Tensor& X);

  HistoryPcaOptions options_;
  int64_t k_ = 0, waiting_ = 0, taken_ = 0;
  Tensor Q_, lambda_;  // [k, d], [k]
  Tensor batch_;
};

struct FrequentDirectionsOptions {
  int64_t rows = 28;  // l >= 1: rows of the sketch; twice as many are held
  StreamOptions stream = {};
};

/// Ghashami, Liberty, Phillips & Woodruff 2016: a buffer S of 2 l rows; when it is full, of its
/// singular values s <- sqrt(max(s^2 - s_{l+1}^2, 0)), which leaves l rows. For every j < l
///   0 <= M - S^T S <= ||A - A_j||_F^2 / (l - j).
/// State: 2 l d. Cost a row: about 4 l d flops.
class FrequentDirections : public DirectionStream {
 public:
  explicit FrequentDirections(FrequentDirectionsOptions options = {});
  /// S [at most 2 l, d] float64, in units of the rows.
  Tensor sketch() const;

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;
  void shrink();

  FrequentDirectionsOptions options_;
  Tensor buffer_;  // [2 l, d]
  int64_t filled_ = 0;
};

struct ReservoirOptions {
  int64_t rows = 28;  // l >= 1: rows drawn
  StreamOptions stream = {};
};

/// l rows drawn independently with probability ||a||^2 / ||A||_F^2, each scaled to squared norm
/// ||A||_F^2 / l: their Gram matrix is M on the average (Frieze, Kannan & Vempala 2004). Each place
/// keeps the sum of squares at which its row is next replaced: F2 / u for u uniform, since a row
/// drawn at F2 is still there at F2' with probability F2 / F2'. State: l (d + 1).
class Reservoir : public DirectionStream {
 public:
  explicit Reservoir(ReservoirOptions options = {});

 private:
  void begin() override;
  void absorb(const detail::RowChunk& chunk) override;
  void finish(const Totals& totals, Direction& direction) override;
  void rescale(double factor) override;
  int64_t own_state_bits() const override;

  ReservoirOptions options_;
  RandomStream random_;
  Tensor rows_;               // [l, d], of unit length
  std::vector<double> next_;  // [l]
  double soonest_ = 0;
};

}  // namespace ritz::rows
