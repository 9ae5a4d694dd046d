#include "ritz/rows/top_vector/heavy_rows.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/rows/top_vector/detail/factor.h"
#include "ritz/rows/top_vector/detail/largest_rows.h"
#include "ritz/rows/top_vector/detail/row_chunk.h"

namespace ritz::rows {
namespace {

// Below this ratio of the first two eigenvalues the first direction is noise.
constexpr double kSmallGap = 1.1;
// Uniform numbers of `subsample` come in so many at a time, so that they belong to row numbers.
constexpr int64_t kDraws = 1024;

/// A piece that was multiplied.
struct Piece {
  int64_t arrived = 0;   // rows of the stream in it, over all ranks
  double lambda = 0;     // max eig(Z Y^T) / rows fed
  bool settled = false;  // the product left its first direction where it was
};

int64_t bits_of(const Tensor& tensor) {
  return tensor.defined() ? 8 * tensor.numel() * tensor.element_size() : 0;
}

double ratio(double first, double second) {
  if (second <= 1e-13 * first) return std::numeric_limits<double>::infinity();
  return first / second;
}

}  // namespace

int64_t default_pieces(int64_t d) {
  const double steps = (0.5 * std::log(static_cast<double>(d)) + 3) / std::log(4.0);
  return static_cast<int64_t>(std::ceil(steps)) + 1;
}

struct TopVector::State {
  bool starting = true, all_starting = true;  // this rank, every rank: all rows are still kept
  detail::LargestRows heavy, first;           // `first`: the rest of the first rows, while starting
  Tensor Z, Y, Zp, Yp;                        // [k, d]; the previous piece's, once there is one
  int64_t length = 0;                         // of the running piece, in rows of this rank
  int64_t arrived = 0;                        // of them
  int64_t fed = 0;                            // rows that Y has, zero rows counted
  int64_t previous_arrived = 0, previous_fed = 0;  // over all ranks
  int64_t seen = 0;                                // rows of this rank
  int64_t light = 0;                               // rows fed into all pieces of this rank
  double expected = 0;  // mean ||a||^2 of what came before the running piece
  std::vector<Piece> pieces;
  Tensor rest;  // [r, d] float64: what other streams' light rows left (merge)
  bool rest_order_changed = false;
  Tensor draws;  // [kDraws], those of row numbers draws_at .. + kDraws - 1
  int64_t draws_at = -1;

  State clone() const {
    State copy = *this;
    copy.heavy = heavy.clone();
    copy.first = first.clone();
    for (Tensor* tensor : {&copy.Z, &copy.Y, &copy.Zp, &copy.Yp, &copy.rest})
      if (tensor->defined()) *tensor = tensor->clone();
    return copy;
  }
};

TopVector::TopVector(TopVectorOptions options, dist::ProcessGroup* group)
    : DirectionStream(options.stream),
      options_(std::move(options)),
      group_(group != nullptr ? group : &alone_),
      state_(std::make_unique<State>()) {
  check_at_least("heavy", options_.heavy, 0);
  check_at_least("block_width", options_.block_width, 0);
  check_at_least("rows", options_.rows, 0);
  check_at_least("pieces", options_.pieces, 0);
  check_at_least("first_rows", options_.first_rows, 0);
  check_non_negative("subsample", options_.subsample);
  check_non_negative("polylog", options_.polylog);
  if (options_.schedule == Schedule::equal && options_.rows == 0)
    throw InvalidArgument("rows", "how many there will be, for pieces of equal length", "0");
  if (options_.first_rows > 0)
    check_at_least("first_rows", options_.first_rows, options_.heavy + 1);
}

TopVector::~TopVector() = default;

void TopVector::begin() {
  State& s = *state_;
  const int64_t H = options_.heavy, ranks = group_->world_size();
  k_ = options_.block_width > 0 ? options_.block_width : std::min<int64_t>(4, d());
  check_range("block_width", k_, 1, d());
  const auto dd = static_cast<double>(d());
  const int64_t pieces = options_.pieces > 0 ? options_.pieces : default_pieces(d());
  polylog_ =
      options_.polylog > 0 ? options_.polylog : 4 * static_cast<double>(pieces) * std::log(2 * dd);
  int64_t n0 = options_.first_rows;
  if (n0 == 0)
    n0 = std::max({int64_t{64}, 4 * k_, static_cast<int64_t>(std::ceil(8 * std::log(dd))), 4 * H});
  n0 = std::max((n0 + ranks - 1) / ranks, H + std::min<int64_t>(n0 - H, std::max(H, int64_t{16})));
  const int64_t row = 8 * d() * static_cast<int64_t>(tensor().dtype().itemsize());
  const int64_t expected = options_.rows > 0 ? std::min(n0, options_.rows) : n0;
  check_fits(std::max(expected, H) * (row + 128) + 4 * 64 * k_ * d());
  s.length = options_.schedule == Schedule::equal
                 ? std::max<int64_t>(1, (options_.rows + pieces - 1) / pieces)
                 : n0;
  s.heavy = detail::LargestRows(H, d(), tensor());
  s.first = detail::LargestRows(n0 - H, d(), tensor());
  if (options_.start.defined()) check_shape("start", options_.start, {k_, d()});
}

void TopVector::absorb(const detail::RowChunk& chunk) {
  State& s = *state_;
  double squares = totals().squares;
  for (int64_t i = 0; i < chunk.size();) {
    int64_t count = chunk.size() - i;
    if (s.starting && s.heavy.full() && s.first.full()) leave_start(squares);
    if (s.starting) {
      count = 1;
      keep_first(chunk, i);
    } else {
      if (s.arrived == s.length) {
        agree(true);
        close_piece(squares);
      }
      count = std::min(count, s.length - s.arrived);
      feed(chunk, i, count, squares);
    }
    s.seen += count;
    for (int64_t end = i + count; i < end; ++i) squares += chunk.norms[i];
  }
}

void TopVector::keep_first(const detail::RowChunk& chunk, int64_t i) {
  State& s = *state_;
  std::optional<detail::KeptRow> left{{chunk.row(i), chunk.norms[i], chunk.numbers[i]}};
  if (s.heavy.takes(left->norm)) left = s.heavy.put(left->row, left->norm, left->number);
  if (left) s.first.put(left->row, left->norm, left->number);
}

// The stream is longer than what is kept: all but the largest rows enter the first piece.
void TopVector::leave_start(double squares) {
  State& s = *state_;
  Tensor Z = options_.start;
  if (!Z.defined()) {
    RandomStream random(options_.stream.seed, stream_id("top-vector/start"));
    Z = random.normal({k_, d()}, torch::dtype(torch::kFloat64));
  }
  Z = Z.to(doubles()).contiguous();
  s.Z = detail::orthonormal_rows(Z, Z);
  s.Y = torch::zeros({k_, d()}, doubles());
  std::vector<int64_t> all(s.first.size());
  std::iota(all.begin(), all.end(), 0);
  detail::add_gram_product(s.first.rows(), all, {}, s.Z, s.Y);
  s.fed = s.light = s.first.size();
  s.arrived = s.seen;
  s.expected = squares / static_cast<double>(std::max<int64_t>(s.seen, 1));
  s.starting = false;
  note_peak();
  s.first = {};
}

void TopVector::feed_row(const Tensor& row) {
  State& s = *state_;
  const int64_t only = 0;
  detail::add_gram_product(row.unsqueeze(0), {&only, 1}, {}, s.Z, s.Y);
  ++s.fed;
  ++s.light;
}

void TopVector::feed(const detail::RowChunk& chunk, int64_t begin, int64_t count, double squares) {
  State& s = *state_;
  const double share = group_->world_size() / (static_cast<double>(d()) * polylog_);
  std::vector<int64_t> which;
  which.reserve(count);
  for (int64_t i = begin; i < begin + count; ++i) {
    const double norm = chunk.norms[i];
    squares += norm;
    const double floor = options_.theta ? squares * share : 0;
    if (norm > 0 && norm >= floor && s.heavy.takes(norm)) {
      if (const auto left = s.heavy.put(chunk.row(i), norm, chunk.numbers[i])) feed_row(left->row);
    } else {
      ++s.fed;
      ++s.light;
      if (norm > 0) which.push_back(i);
    }
    while (s.heavy.size() > 0 && s.heavy.smallest() < floor) feed_row(s.heavy.drop().row);
  }
  std::vector<double> weights;
  if (options_.subsample > 0) weights = sample(chunk, which);
  chunk.add_product(which, weights, s.Z, s.Y);
  s.arrived += count;
}

std::vector<double> TopVector::sample(const detail::RowChunk& chunk, std::vector<int64_t>& which) {
  State& s = *state_;
  const auto dd = static_cast<double>(d());
  const double mass = s.expected * static_cast<double>(s.length) * group_->world_size();
  const double scale = options_.subsample * dd * std::max(std::log(dd), 1.0) / mass;
  std::vector<int64_t> kept;
  std::vector<double> weights;
  for (const int64_t i : which) {
    const int64_t number = chunk.numbers[i];
    const double p = number < 0 ? 1 : std::min(1.0, scale * chunk.norms[i]);
    if (p < 1) {
      const int64_t at = number / kDraws;
      if (at != s.draws_at) {
        RandomStream random(options_.stream.seed, stream_id("top-vector/subsample", at));
        s.draws = random.uniform({kDraws}, torch::dtype(torch::kFloat64));
        s.draws_at = at;
      }
      if (s.draws.const_data_ptr<double>()[number % kDraws] >= p) continue;
    }
    kept.push_back(i);
    weights.push_back(1 / p);
  }
  which = std::move(kept);
  return weights;
}

// What every rank must know before they act together: one row of four numbers from each.
TopVector::Agreement TopVector::agree(bool closing) {
  State& s = *state_;
  if (group_->world_size() == 1) return {.closing = closing, .starting = s.starting};
  const bool has_rows = totals().squares > 0;
  const Tensor mine = torch::tensor({closing ? 1.0 : 0.0, s.starting ? 1.0 : 0.0,
                                     static_cast<double>(exponent()), has_rows ? 1.0 : 0.0},
                                    torch::kFloat64);
  const Tensor all = group_->all_gather(mine);
  const Tensor with_rows = all.select(1, 3) > 0;
  if (with_rows.any().item<bool>()) {
    const double largest = all.select(1, 2).masked_select(with_rows).max().item<double>();
    if (largest > exponent() || !has_rows) set_exponent(static_cast<int>(largest));
  }
  return {.closing = all.select(1, 0).sum().item<double>() > 0,
          .starting = all.select(1, 1).min().item<double>() > 0};
}

// The end of a piece, on every rank at once: its product becomes the next block.
void TopVector::close_piece(double squares) {
  State& s = *state_;
  const Tensor counts = torch::tensor({s.arrived, s.fed}, torch::kInt64);
  group_->all_reduce_sum(s.Y);
  group_->all_reduce_sum(counts);
  Piece piece{.arrived = counts[0].item<int64_t>()};
  const int64_t fed = counts[1].item<int64_t>();
  const Tensor T = s.Z.mm(s.Y.t());
  const auto [w, U] = torch::linalg_eigh((T + T.t()) / 2);
  if (fed > 0) piece.lambda = w[k_ - 1].item<double>() / static_cast<double>(fed);
  const Tensor u = U.select(1, k_ - 1), before = s.Z.t().mv(u), after = s.Y.t().mv(u);
  piece.settled = 2 * before.dot(after).square().item<double>() >= after.dot(after).item<double>();
  s.pieces.push_back(piece);

  if (after.abs().max().item<double>() > 0) {  // else nothing but zero rows came
    s.Zp = s.Z;
    s.Yp = s.Y;
    s.previous_arrived = piece.arrived;
    s.previous_fed = fed;
    s.Z = detail::orthonormal_rows(s.Yp, s.Zp);
    s.Y = torch::zeros_like(s.Yp);
  }
  s.arrived = s.fed = 0;
  s.expected = squares / static_cast<double>(s.seen);
  if (options_.schedule == Schedule::geometric) s.length = s.seen;
}

void TopVector::gather(Totals& sums) {
  State& s = *state_;
  // Ranks that still have rows may be at the end of a piece: those that have none left take part.
  Agreement now = agree(false);
  for (; now.closing; now = agree(false)) {
    if (s.starting) leave_start(totals().squares);
    close_piece(totals().squares);
  }
  s.all_starting = now.starting;
  if (!now.starting && s.starting) leave_start(totals().squares);
  sums = totals();
  const Tensor counts = torch::tensor({sums.n, sums.centring, sums.skipped}, torch::kInt64);
  const Tensor squares = torch::tensor({sums.squares}, torch::kFloat64);
  const Tensor largest = torch::tensor({sums.largest}, torch::kFloat64);
  group_->all_reduce_sum(counts);
  group_->all_reduce_sum(squares);
  sums = {.n = counts[0].item<int64_t>(),
          .centring = counts[1].item<int64_t>(),
          .skipped = counts[2].item<int64_t>(),
          .squares = squares.item<double>(),
          .largest = group_->all_gather(largest).max().item<double>()};
}

/// The global H largest rows of all ranks.
struct TopVector::Chosen {
  Tensor rows;                   // [h, d] float64
  std::vector<double> norms;     // their squared norms
  std::vector<int64_t> numbers;  // and numbers
  std::vector<int64_t> left;     // places of this rank's rows that are not among them
};

TopVector::Chosen TopVector::choose(const detail::LargestRows& mine, int64_t most) const {
  const auto size = static_cast<int64_t>(mine.norms().size());
  const Tensor keys = torch::empty({size, 3}, torch::kFloat64);  // norm, number, rank
  for (int64_t i = 0; i < size; ++i) {
    double* row = keys.mutable_data_ptr<double>() + 3 * i;
    row[0] = mine.norms()[i];
    row[1] = static_cast<double>(mine.numbers()[i]);
    row[2] = static_cast<double>(group_->rank());
  }
  const Tensor all = torch::cat(group_->all_gather_unequal(keys));
  const int64_t total = all.size(0);
  std::vector<int64_t> order(total);
  std::iota(order.begin(), order.end(), 0);
  const double* key = all.const_data_ptr<double>();
  std::ranges::sort(order, [&](int64_t a, int64_t b) {
    if (key[3 * a] != key[3 * b]) return key[3 * a] > key[3 * b];
    return std::pair(key[3 * a + 1], key[3 * a + 2]) < std::pair(key[3 * b + 1], key[3 * b + 2]);
  });
  Chosen chosen;
  order.resize(std::min(total, most));
  std::ranges::sort(order);  // by rank, then by place: as the rows are gathered
  std::vector<char> stays(size, 0);
  int64_t first = 0;  // of this rank's rows among all
  while (first < total && key[3 * first + 2] < group_->rank()) ++first;
  for (const int64_t i : order) {
    chosen.norms.push_back(key[3 * i]);
    chosen.numbers.push_back(static_cast<int64_t>(key[3 * i + 1]));
    if (key[3 * i + 2] == group_->rank()) stays[i - first] = 1;
  }
  std::vector<int64_t> places;
  for (int64_t i = 0; i < size; ++i) (stays[i] != 0 ? places : chosen.left).push_back(i);
  const Tensor rows = mine.rows().to(torch::kFloat64);
  const Tensor at = torch::tensor(places, torch::kInt64).to(rows.device());
  chosen.rows = group_->world_size() == 1
                    ? rows
                    : torch::cat(group_->all_gather_unequal(rows.index_select(0, at)));
  return chosen;
}

// What the light rows leave: the Nystrom factor of the running piece, or of the one before it where
// the running one is yet short.
Tensor TopVector::light_factor(const Chosen& heavy) const {
  const State& s = *state_;
  Tensor Y = s.Y;
  const auto left = static_cast<int64_t>(heavy.left.size());
  const Tensor counts = torch::tensor({s.arrived, s.fed + left, s.light + left}, torch::kInt64);
  if (group_->world_size() > 1) {
    Y = Y.clone();
    detail::add_gram_product(s.heavy.rows(), heavy.left, {}, s.Z, Y);
    group_->all_reduce_sum(Y);
    group_->all_reduce_sum(counts);
  }
  Tensor Z = s.Z;
  int64_t fed = counts[1].item<int64_t>();
  const bool short_piece = 2 * counts[0].item<int64_t>() < s.previous_arrived;
  if (s.Yp.defined() && (short_piece || fed == 0 || !(Y.abs().max().item<double>() > 0))) {
    Z = s.Zp;
    Y = s.Yp;
    fed = s.previous_fed;
  }
  if (fed == 0) return torch::empty({0, d()}, doubles());
  const double light = static_cast<double>(counts[2].item<int64_t>());
  const Tensor L = detail::nystrom_factor(Z, Y, std::sqrt(light / static_cast<double>(fed)));
  return options_.merge == Merge::rank1 ? detail::leading_rows(L, 1) : L;
}

bool TopVector::order_changed() const {
  const State& s = *state_;
  const int64_t enough = std::max<int64_t>(512, 4 * options_.heavy);
  for (size_t b = 1; b < s.pieces.size(); ++b) {
    const Piece &before = s.pieces[b - 1], &now = s.pieces[b];
    if (before.arrived < enough || now.arrived < enough) continue;
    // An iteration that has not settled makes lambda grow by itself, never fall.
    if (now.lambda < before.lambda / 2) return true;
    if (before.settled && now.lambda > 2 * before.lambda) return true;
  }
  return s.rest_order_changed;
}

void TopVector::finish(const Totals& sums, Direction& direction) {
  State& s = *state_;
  const int64_t H = options_.heavy;
  const bool exact = s.all_starting && !s.rest.defined();
  Chosen heavy = choose(s.heavy, s.all_starting ? std::numeric_limits<int64_t>::max() : H);
  std::vector<Tensor> parts = {heavy.rows};
  if (s.all_starting) {
    parts.push_back(choose(s.first, std::numeric_limits<int64_t>::max()).rows);
  } else {
    parts.push_back(light_factor(heavy));
  }
  if (s.rest.defined()) parts.push_back(s.rest);
  Tensor W = torch::cat(parts);
  const bool nothing = W.size(0) == 0 || !(W.abs().max().item<double>() > 0);
  if (nothing) W = s.Z;  // underflow: what there was is too small beside the largest row
  const auto pair = detail::top_pair(W);
  direction.vector = pair.vector;
  direction.sigma1 = nothing ? 0 : std::sqrt(std::max(pair.first, 0.0));
  direction.gap = ratio(pair.first, pair.second);
  direction.status.gap_small = nothing || direction.gap < kSmallGap;

  const double dL = static_cast<double>(d()) * polylog_, floor = sums.squares / dL;
  double least = heavy.norms.empty() ? sums.largest : heavy.norms[0];
  for (size_t i = 0; i < heavy.norms.size(); ++i) {
    least = std::min(least, heavy.norms[i]);
    if (heavy.norms[i] < floor) continue;
    ++direction.h_est;
    if (heavy.numbers[i] >= 0) direction.heavy_rows.push_back(heavy.numbers[i]);
  }
  std::ranges::sort(direction.heavy_rows);
  const bool full = static_cast<int64_t>(heavy.norms.size()) >= H;
  if (!exact && full && least >= floor) {
    const bool is_short = static_cast<double>(sums.n) < dL;
    (is_short ? direction.status.short_stream : direction.status.heavy_overflow) = true;
  }
  for (const Piece& piece : s.pieces) direction.lambda_by_piece.push_back(piece.lambda);
  direction.order_not_random = order_changed();
}

void TopVector::rescale(double factor) {
  State& s = *state_;
  s.heavy.scale(factor);
  s.first.scale(factor);
  for (const Tensor& product : {s.Y, s.Yp})
    if (product.defined()) product.mul_(factor * factor);
  if (s.rest.defined()) s.rest.mul_(factor);
  s.expected *= factor * factor;
  for (Piece& piece : s.pieces) piece.lambda *= factor * factor;
}

int64_t TopVector::own_state_bits() const {
  const State& s = *state_;
  int64_t bits = s.heavy.bits() + s.first.bits() + 192 * static_cast<int64_t>(s.pieces.size());
  for (const Tensor& tensor : {s.Z, s.Y, s.Zp, s.Yp, s.rest, s.draws}) bits += bits_of(tensor);
  return bits;
}

void TopVector::add_rest(const Tensor& factor) {
  State& s = *state_;
  const Tensor all = s.rest.defined() ? torch::cat({s.rest, factor}) : factor;
  s.rest = detail::leading_rows(all, 4 * k_).contiguous();
}

void TopVector::merge(const TopVector& other) {
  const torch::NoGradGuard no_grad;
  if (&other == this) throw InvalidArgument("other", "another stream", "the same");
  if (group_->world_size() > 1 || other.group_->world_size() > 1)
    throw InvalidArgument("merge", "streams of one process each", "ranks that work together");
  if (other.cols() == 0) return;
  open(other.d(), other.tensor());
  if (options_.heavy != other.options_.heavy || k_ != other.k_ ||
      options().centre != other.options().centre)
    throw InvalidArgument("other", "the same heavy, block_width and centre", "others");
  const int64_t first_number = arrived();
  Tensor difference;
  const double factor = join(other, difference);
  if (difference.defined() && difference.abs().max().item<double>() > 0)
    add_rest(difference.unsqueeze(0));

  const auto take = [&](const detail::LargestRows& rows, double scale, int64_t shift) {
    const Tensor values = rows.rows() * scale;
    std::vector<double> norms = rows.norms();
    std::vector<int64_t> numbers = rows.numbers();
    for (double& norm : norms) norm *= scale * scale;
    for (int64_t& number : numbers) number += number < 0 ? 0 : shift;
    absorb({.dense = values, .sparse = {}, .norms = norms, .numbers = numbers});
  };
  const State& theirs = *other.state_;
  if (theirs.starting) {
    take(theirs.heavy, factor, first_number);
    take(theirs.first, factor, first_number);
  } else if (state_->starting) {
    // Theirs goes on, and the few rows of this one enter it.
    auto mine = std::make_unique<State>(std::move(*state_));
    *state_ = theirs.clone();
    rescale(factor);
    state_->heavy.renumber(first_number);
    take(mine->heavy, 1, 0);
    take(mine->first, 1, 0);
    if (mine->rest.defined()) add_rest(mine->rest);
  } else {
    State& s = *state_;
    std::vector<Tensor> left;
    const Tensor rows = theirs.heavy.rows() * factor;
    for (int64_t i = 0; i < theirs.heavy.size(); ++i) {
      const double norm = theirs.heavy.norms()[i] * factor * factor;
      const int64_t number = theirs.heavy.numbers()[i];
      detail::KeptRow row{rows[i], norm, number < 0 ? number : number + first_number};
      if (s.heavy.takes(norm)) {
        auto out = s.heavy.put(row.row, row.norm, row.number);
        if (!out) continue;
        row = std::move(*out);
      }
      left.push_back(row.row.to(torch::kFloat64));
    }
    if (!left.empty()) add_rest(torch::stack(left));
    add_rest(other.light_factor({}) * factor);
    if (theirs.rest.defined()) add_rest(theirs.rest * factor);
    s.rest_order_changed = s.rest_order_changed || other.order_changed();
  }
  note_peak();
}

}  // namespace ritz::rows
