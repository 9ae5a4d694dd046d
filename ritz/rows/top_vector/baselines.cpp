#include "ritz/rows/top_vector/baselines.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ritz/base/check_tensor.h"
#include "ritz/rows/top_vector/detail/factor.h"
#include "ritz/rows/top_vector/detail/row_chunk.h"

namespace ritz::rows {
namespace {

int64_t bits_of(const Tensor& tensor) {
  return tensor.defined() ? 8 * tensor.numel() * tensor.element_size() : 0;
}

int64_t block_width(int64_t wanted, int64_t d) {
  const int64_t k = wanted > 0 ? wanted : std::min<int64_t>(4, d);
  check_range("block_width", k, 1, d);
  return k;
}

Tensor random_block(uint64_t seed, int64_t k, int64_t d, const TensorOptions& options) {
  RandomStream random(seed, stream_id("top-vector/start"));
  const Tensor Z = random.normal({k, d}, torch::dtype(torch::kFloat64)).to(options);
  return detail::orthonormal_rows(Z, Z);
}

/// Q X^T X for Q [k, d], X [b, d] -> [k, d]
Tensor gram_product(const Tensor& Q, const Tensor& X) {
  std::vector<int64_t> all(X.size(0));
  std::iota(all.begin(), all.end(), 0);
  Tensor Y = torch::zeros_like(Q);
  detail::add_gram_product(X, all, {}, Q, Y);
  return Y;
}

/// Rows go through a buffer [batch, d]; every full one is handed on.
template <class Step>
void in_batches(const Tensor& rows, const Tensor& buffer, int64_t& waiting, const Step& step) {
  for (int64_t i = 0; i < rows.size(0);) {
    const int64_t count = std::min(buffer.size(0) - waiting, rows.size(0) - i);
    buffer.narrow(0, waiting, count).copy_(rows.narrow(0, i, count));
    i += count;
    waiting += count;
    if (waiting < buffer.size(0)) continue;
    step(buffer);
    waiting = 0;
  }
}

void set_gap(const detail::TopPair& pair, Direction& direction) {
  const bool one = pair.second <= 1e-13 * pair.first;
  direction.gap = one ? std::numeric_limits<double>::infinity() : pair.first / pair.second;
  direction.status.gap_small = direction.gap < 1.1;
}

/// The first Ritz pair of a mean outer product C known by S = Q C, Q with orthonormal rows.
detail::TopPair ritz_pair(const Tensor& Q, const Tensor& S) {
  const Tensor T = Q.mm(S.t());
  const auto [w, U] = torch::linalg_eigh((T + T.t()) / 2);
  const int64_t k = w.size(0);
  detail::TopPair pair;
  pair.vector = Q.t().mv(U.select(1, k - 1));
  pair.first = std::max(w[k - 1].item<double>(), 0.0);
  if (k > 1) pair.second = std::max(w[k - 2].item<double>(), 0.0);
  return pair;
}

void set_pair(const detail::TopPair& pair, const Totals& totals, Direction& direction) {
  direction.vector = pair.vector;
  direction.sigma1 = std::sqrt(pair.first * static_cast<double>(totals.n + totals.centring));
  set_gap(pair, direction);
}

}  // namespace

AdaOja::AdaOja(AdaOjaOptions options)
    : DirectionStream(options.stream), options_(std::move(options)) {
  check_at_least("block_width", options_.block_width, 0);
  check_at_least("batch", options_.batch, 1);
  check_positive("b0", options_.b0);
}

void AdaOja::begin() {
  k_ = block_width(options_.block_width, d());
  check_fits(64 * d() * (2 * k_ + options_.batch));
  Q_ = random_block(options().seed, k_, d(), doubles());
  batch_ = torch::empty({options_.batch, d()}, tensor());
}

void AdaOja::absorb(const detail::RowChunk& chunk) {
  in_batches(chunk.rows(), batch_, waiting_, [&](const Tensor& X) { step(X); });
}

void AdaOja::step(const Tensor& X) {
  G_ = gram_product(Q_, X).div_(X.size(0));
  const auto pair = ritz_pair(Q_, G_);  // before these rows are learnt
  first_.add(pair.first);
  second_.add(pair.second);
  sum_ += G_.square().sum().item<double>();
  const double b0 = std::ldexp(options_.b0, -2 * exponent());
  Q_ = detail::orthonormal_rows(Q_ + G_ / std::sqrt(b0 * b0 + sum_), Q_);
}

void AdaOja::finish(const Totals& totals, Direction& direction) {
  const bool none = !G_.defined();  // less than a batch came: a step with what there is
  const Tensor Q = Q_, rows = none ? batch_.narrow(0, 0, waiting_) : batch_;
  const auto first = first_, second = second_;
  if (none) step(rows);
  auto pair = ritz_pair(Q_, gram_product(Q_, rows));
  pair.first = first_.mean();
  pair.second = second_.mean();
  set_pair(pair, totals, direction);
  if (!none) return;
  Q_ = Q;  // the stream may go on
  G_ = Tensor();
  sum_ = 0;
  first_ = first;
  second_ = second;
}

void AdaOja::rescale(double factor) {
  batch_.mul_(factor);
  if (G_.defined()) G_.mul_(factor * factor);
  sum_ *= factor * factor * factor * factor;
  first_.scale(factor * factor);
  second_.scale(factor * factor);
}

int64_t AdaOja::own_state_bits() const {
  return bits_of(Q_) + bits_of(G_) + bits_of(batch_) +
         16 * static_cast<int64_t>(sizeof(detail::Stretches));
}

HistoryPca::HistoryPca(HistoryPcaOptions options)
    : DirectionStream(options.stream), options_(std::move(options)) {
  check_at_least("block_width", options_.block_width, 0);
  check_at_least("batch", options_.batch, 1);
  check_at_least("inner", options_.inner, 1);
}

void HistoryPca::begin() {
  k_ = block_width(options_.block_width, d());
  check_fits(64 * d() * (2 * k_ + options_.batch));
  Q_ = random_block(options().seed, k_, d(), doubles());
  lambda_ = torch::zeros({k_}, doubles());
  batch_ = torch::empty({options_.batch, d()}, tensor());
}

void HistoryPca::absorb(const detail::RowChunk& chunk) {
  in_batches(chunk.rows(), batch_, waiting_, [&](const Tensor& X) { step(X); });
}

void HistoryPca::step(const Tensor& X) {
  const auto n = static_cast<double>(taken_), all = n + static_cast<double>(X.size(0));
  const Tensor Q0 = Q_;
  Tensor Q = Q_, S;
  for (int64_t repeat = 0; repeat < options_.inner; ++repeat) {
    S = gram_product(Q, X).div_(all);
    S.addmm_(Q.mm(Q0.t()) * lambda_, Q0, 1, n / all);
    Q = detail::orthonormal_rows(S, Q);
  }
  Q_ = Q;
  lambda_ = S.norm(2, {1});
  taken_ += X.size(0);
}

void HistoryPca::finish(const Totals& totals, Direction& direction) {
  const Tensor Q = Q_, lambda = lambda_;
  const int64_t taken = taken_;
  if (waiting_ > 0) step(batch_.narrow(0, 0, waiting_));  // of a copy: the stream may go on
  const auto [values, order] = lambda_.sort(0, true);
  detail::TopPair pair;
  pair.vector = Q_[order[0].item<int64_t>()];
  pair.first = values[0].item<double>();
  if (k_ > 1) pair.second = values[1].item<double>();
  set_pair(pair, totals, direction);
  Q_ = Q;
  lambda_ = lambda;
  taken_ = taken;
}

void HistoryPca::rescale(double factor) {
  batch_.mul_(factor);
  lambda_.mul_(factor * factor);
}

int64_t HistoryPca::own_state_bits() const {
  return bits_of(Q_) + bits_of(lambda_) + bits_of(batch_);
}

FrequentDirections::FrequentDirections(FrequentDirectionsOptions options)
    : DirectionStream(options.stream), options_(std::move(options)) {
  check_at_least("rows", options_.rows, 1);
}

void FrequentDirections::begin() {
  check_fits(128 * options_.rows * d());
  buffer_ = torch::empty({2 * options_.rows, d()}, doubles());
}

void FrequentDirections::absorb(const detail::RowChunk& chunk) {
  const Tensor rows = chunk.rows();
  for (int64_t i = 0; i < rows.size(0);) {
    if (filled_ == buffer_.size(0)) shrink();
    const int64_t count = std::min(buffer_.size(0) - filled_, rows.size(0) - i);
    buffer_.narrow(0, filled_, count).copy_(rows.narrow(0, i, count));
    filled_ += count;
    i += count;
  }
}

// S <- diag(sqrt(max(1 - delta / s^2, 0))) U^T S for S S^T = U diag(s^2) U^T.
void FrequentDirections::shrink() {
  const int64_t l = options_.rows;
  const auto [values, U] = torch::linalg_eigh(buffer_.mm(buffer_.t()));
  const Tensor largest = values.slice(0, l).flip(0);
  const double delta = std::max(values[l - 1].item<double>(), 0.0);
  const Tensor factor =
      (1 - delta / largest.clamp_min(std::numeric_limits<double>::min())).clamp_min(0).sqrt();
  const Tensor kept = (U.slice(1, l).flip(1) * factor).t().mm(buffer_);
  buffer_.narrow(0, 0, l).copy_(kept);
  filled_ = l;
}

Tensor FrequentDirections::sketch() const {
  return buffer_.narrow(0, 0, filled_) * std::ldexp(1.0, exponent());
}

void FrequentDirections::finish(const Totals&, Direction& direction) {
  const auto pair = detail::top_pair(buffer_.narrow(0, 0, filled_));
  direction.vector = pair.vector;
  direction.sigma1 = std::sqrt(std::max(pair.first, 0.0));
  set_gap(pair, direction);
}

void FrequentDirections::rescale(double factor) {
  buffer_.narrow(0, 0, filled_).mul_(factor);
}

int64_t FrequentDirections::own_state_bits() const {
  return bits_of(buffer_);
}

Reservoir::Reservoir(ReservoirOptions options)
    : DirectionStream(options.stream),
      options_(std::move(options)),
      random_(options_.stream.seed, stream_id("reservoir")) {
  check_at_least("rows", options_.rows, 1);
}

void Reservoir::begin() {
  check_fits(64 * options_.rows * (d() + 1));
  rows_ = torch::zeros({options_.rows, d()}, doubles());
  next_.assign(options_.rows, 0);
}

void Reservoir::absorb(const detail::RowChunk& chunk) {
  double squares = totals().squares;
  for (int64_t i = 0; i < chunk.size(); ++i) {
    squares += chunk.norms[i];
    if (chunk.norms[i] == 0 || squares < soonest_) continue;
    const Tensor row = chunk.row(i).to(torch::kFloat64) / std::sqrt(chunk.norms[i]);
    soonest_ = std::numeric_limits<double>::infinity();
    for (size_t place = 0; place < next_.size(); ++place) {
      if (squares >= next_[place]) {
        rows_[static_cast<int64_t>(place)].copy_(row);
        const double u = random_.uniform({1}, torch::dtype(torch::kFloat64)).item<double>();
        next_[place] = squares / u;
      }
      soonest_ = std::min(soonest_, next_[place]);
    }
  }
}

void Reservoir::finish(const Totals& totals, Direction& direction) {
  const auto pair = detail::top_pair(rows_);
  direction.vector = pair.vector;
  direction.sigma1 =
      std::sqrt(std::max(pair.first, 0.0) * totals.squares / static_cast<double>(options_.rows));
  set_gap(pair, direction);
}

void Reservoir::rescale(double factor) {
  for (double& next : next_) next *= factor * factor;
  soonest_ *= factor * factor;
}

int64_t Reservoir::own_state_bits() const {
  return bits_of(rows_) + 64 * static_cast<int64_t>(next_.size());
}

}  // namespace ritz::rows
