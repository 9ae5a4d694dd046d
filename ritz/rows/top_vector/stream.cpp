#include "ritz/rows/top_vector/stream.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/memory.h"
#include "ritz/rows/top_vector/detail/row_chunk.h"

namespace ritz::rows {
namespace {

// A chunk's rows stay in the second cache between the products that need them.
constexpr int64_t kChunkBytes = int64_t{1} << 19;
// Squared norms outside of this are near the ends of double: the rows are scaled first.
constexpr double kHuge = 1e250, kTiny = 1e-250;

int64_t chunk_rows(int64_t row_bytes) {
  return std::clamp<int64_t>(kChunkBytes / std::max<int64_t>(row_bytes, 1), 8, 256);
}

Tensor values_of(const Tensor& rows) {
  return rows;
}
Tensor values_of(const SparseRows& rows) {
  const int64_t b = rows.rows(), first = rows.pointers[0].item<int64_t>();
  return rows.values.slice(0, first, rows.pointers[b].item<int64_t>());
}

Tensor times(const Tensor& rows, double factor) {
  return rows * factor;
}
SparseRows times(const SparseRows& rows, double factor) {
  return {rows.pointers, rows.columns, rows.values * factor, rows.cols};
}

int64_t count_of(const Tensor& rows) {
  return rows.size(0);
}
int64_t count_of(const SparseRows& rows) {
  return rows.rows();
}

Tensor part_of(const Tensor& rows, int64_t begin, int64_t count) {
  return rows.narrow(0, begin, count);
}
SparseRows part_of(const SparseRows& rows, int64_t begin, int64_t count) {
  return rows.slice(begin, count);
}

Tensor selected(const Tensor& rows, const Tensor& which) {
  return rows.index_select(0, which.to(rows.device()));
}
SparseRows selected(const SparseRows& rows, const Tensor& which) {
  return rows.select(which);
}

bool all_finite(const Tensor& values) {
  return at::isfinite(values).all().item<bool>();
}

// The first number of a row that is not finite, for the message.
std::string first_bad(const Tensor& row) {
  const Tensor bad = at::isfinite(row).logical_not().nonzero();
  const int64_t at = bad[0][0].item<int64_t>();
  return number_text(row[at].item<double>()) + " in column " + std::to_string(at);
}

detail::RowChunk chunk_of(const Tensor& rows) {
  return {.dense = rows, .sparse = {}, .norms = {}, .numbers = {}};
}
detail::RowChunk chunk_of(const SparseRows& rows) {
  return {.dense = {}, .sparse = rows, .norms = {}, .numbers = {}};
}

int64_t bytes_of(const Tensor& rows) {
  return rows.numel() * rows.element_size();
}
int64_t bytes_of(const SparseRows& rows) {
  return values_of(rows).numel() * (rows.values.element_size() + 8) + 8 * rows.rows();
}

}  // namespace

std::vector<std::string> DirectionStatus::names() const {
  std::vector<std::string> names;
  if (short_stream) names.push_back("short_stream");
  if (heavy_overflow) names.push_back("heavy_overflow");
  if (gap_small) names.push_back("gap_small");
  if (no_growth) names.push_back("no_growth");
  if (names.empty()) names.push_back("ok");
  return names;
}

DirectionStream::DirectionStream(const StreamOptions& options)
    : options_(options), arrived_(options.first_row) {
  check_at_least("first_row", options.first_row, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
  check_at_least("cols", options.cols, 0);
}

DirectionStream::~DirectionStream() = default;

TensorOptions DirectionStream::doubles() const {
  return tensor_.dtype(torch::kFloat64);
}

int64_t DirectionStream::state_bits() const {
  const int64_t mean = mean_.defined() ? 64 * mean_.numel() : 0;
  return mean + (d_ > 0 ? own_state_bits() : 0);
}

void DirectionStream::note_peak() {
  peak_bits_ = std::max(peak_bits_, state_bits());
}

void DirectionStream::check_fits(int64_t bits) const {
  const int64_t limit =
      options_.memory_limit > 0 ? options_.memory_limit : available_memory() / 5 * 4;
  if (bits / 8 > limit)
    throw InvalidArgument(
        "state", "at most " + std::to_string(limit) + " bytes (memory_limit)",
        std::to_string(bits / 8) + " bytes for " + std::to_string(d_) + " columns");
}

void DirectionStream::open(int64_t cols, const TensorOptions& rows) {
  if (d_ == 0) {
    check_at_least("columns", cols, 1);
    if (options_.cols > 0 && cols != options_.cols)
      throw InvalidArgument("rows", std::to_string(options_.cols) + " columns",
                            std::to_string(cols));
    d_ = cols;
    tensor_ = rows;
    if (options_.centre) mean_ = torch::zeros({d_}, doubles());
    begin();
  }
  if (cols != d_)
    throw InvalidArgument("rows", std::to_string(d_) + " columns as before", std::to_string(cols),
                          "row " + std::to_string(arrived_));
  if (rows.dtype() != tensor_.dtype() || rows.device() != tensor_.device())
    throw InvalidArgument("rows", "dtype and device as before", describe(torch::empty({0}, rows)),
                          "row " + std::to_string(arrived_));
}

void DirectionStream::update(const Tensor& given) {
  const torch::NoGradGuard no_grad;
  if (!given.defined() || given.dim() < 1 || given.dim() > 2)
    throw InvalidArgument("rows", "a tensor [b, d] or [d]",
                          given.defined() ? describe(given) : "an undefined one");
  const Tensor rows = given.dim() == 1 ? given.unsqueeze(0) : given;
  const auto dtype = rows.scalar_type();
  const bool half = dtype == torch::kFloat16 || dtype == torch::kBFloat16;
  if (!half) check_floating("rows", rows);
  open(rows.size(1), rows.options().dtype(half ? torch::kFloat32 : dtype));
  const int64_t b = rows.size(0), step = chunk_rows(d_ * rows.element_size());
  for (int64_t i = 0; i < b; i += step) {
    Tensor chunk = rows.narrow(0, i, std::min(step, b - i)).to(tensor_);
    take_chunk(d_ > 1 && chunk.stride(1) != 1 ? chunk.contiguous() : chunk);
  }
}

void DirectionStream::update(const SparseRows& rows) {
  const torch::NoGradGuard no_grad;
  check_sparse_rows(rows);
  open(rows.cols, rows.values.options());
  const bool dense = options_.centre || !takes_sparse();
  const int64_t b = rows.rows(), step = dense ? chunk_rows(d_ * rows.values.element_size()) : 256;
  for (int64_t i = 0; i < b; i += step) {
    const SparseRows chunk = rows.slice(i, std::min(step, b - i));
    dense ? take_chunk(chunk.dense()) : take_chunk(chunk);
  }
}

void DirectionStream::set_exponent(int exponent) {
  const double factor = std::ldexp(1.0, exponent_ - exponent);
  if (totals_.squares > 0) {
    rescale(factor);
    totals_.squares *= factor * factor;
    totals_.largest *= factor * factor;
    if (mean_.defined()) mean_.mul_(factor);
  }
  exponent_ = exponent;
}

// Finite rows only, scaled so that no square overflows; then centred where asked for.
template <class Rows>
void DirectionStream::take_chunk(const Rows& given) {
  const auto scaled = [&](const Rows& rows) {
    return exponent_ == 0 ? rows : times(rows, std::ldexp(1.0, -exponent_));
  };
  Rows raw = given, rows = scaled(raw);
  std::vector<double> norms(count_of(rows));
  detail::squared_norms(rows, norms);
  std::vector<int64_t> numbers(norms.size());
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = arrived_ + static_cast<int64_t>(i);
  arrived_ += static_cast<int64_t>(numbers.size());

  double largest = 0;
  bool overflow = false;
  for (const double norm : norms) {
    largest = std::max(largest, norm);
    overflow = overflow || !(norm <= kHuge);
  }
  if (overflow) {  // a bad row, or one too large to square
    std::vector<int64_t> good;
    for (size_t i = 0; i < norms.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      if (norms[i] <= kHuge || all_finite(values_of(part_of(raw, at, 1)))) {
        good.push_back(at);
      } else if (!options_.skip_bad) {
        throw InvalidArgument("rows", "finite numbers",
                              first_bad(chunk_of(part_of(raw, at, 1)).row(0)),
                              "row " + std::to_string(numbers[i]));
      }
    }
    if (good.size() < norms.size()) {
      totals_.skipped += static_cast<int64_t>(norms.size() - good.size());
      raw = selected(raw, torch::tensor(good, torch::kInt64));
      std::vector<int64_t> kept;
      for (const int64_t i : good) kept.push_back(numbers[i]);
      numbers = std::move(kept);
    }
  }
  const bool unscaled = totals_.squares == 0 && largest < kTiny;
  if (overflow || unscaled) {
    const Tensor values = values_of(raw);
    const double peak = values.numel() == 0 ? 0 : values.abs().max().template item<double>();
    const int exponent = peak > 0 ? std::ilogb(peak) : exponent_;
    if (unscaled || exponent > exponent_ + 300) set_exponent(exponent);
    rows = scaled(raw);
    norms.resize(numbers.size());
    detail::squared_norms(rows, norms);
  }
  if (numbers.empty()) return;
  if (options_.centre) {
    const Tensor centred_rows = centred(chunk_of(rows).rows());
    numbers.push_back(-1);
    norms.resize(numbers.size());
    detail::squared_norms(centred_rows, norms);
    feed(centred_rows, norms, numbers);
  } else {
    feed(rows, norms, numbers);
  }
}

template <class Rows>
void DirectionStream::feed(const Rows& rows, std::span<const double> norms,
                           std::span<const int64_t> numbers) {
  auto chunk = chunk_of(rows);
  chunk.norms = norms;
  chunk.numbers = numbers;
  absorb(chunk);
  for (const double norm : norms) {
    totals_.squares += norm;
    totals_.largest = std::max(totals_.largest, norm);
  }
  const int64_t extra = options_.centre ? 1 : 0;
  totals_.n += chunk.size() - extra;
  totals_.centring += extra;
  workspace_bits_ = std::max(workspace_bits_, 8 * bytes_of(rows) + 128 * chunk.size());
  note_peak();
}

Tensor DirectionStream::centred(const Tensor& rows) {
  const auto n = static_cast<double>(totals_.n), b = static_cast<double>(rows.size(0));
  const Tensor own = rows.mean(0, false, torch::kFloat64);
  const Tensor out = torch::empty({rows.size(0) + 1, d_}, rows.options());
  out.narrow(0, 0, rows.size(0)).copy_(rows - own);  // float64, rounded once
  const Tensor step = own - mean_;
  out[rows.size(0)].copy_(step * std::sqrt(n * b / (n + b)));
  mean_.add_(step, b / (n + b));
  return out;
}

double DirectionStream::join(const DirectionStream& other, Tensor& difference) {
  if (totals_.squares == 0 || (other.totals_.squares > 0 && other.exponent_ > exponent_))
    set_exponent(other.exponent_);
  const double factor = std::ldexp(1.0, other.exponent_ - exponent_);
  if (options_.centre) {
    const auto n = static_cast<double>(totals_.n), b = static_cast<double>(other.totals_.n);
    const Tensor step = other.mean_ * factor - mean_;
    difference = step * std::sqrt(n * b / (n + b));
    mean_.add_(step, b / (n + b));
    totals_.centring += 1;
    totals_.squares += difference.square().sum().item<double>();
  }
  totals_.n += other.totals_.n;
  totals_.centring += other.totals_.centring;
  totals_.skipped += other.totals_.skipped;
  totals_.squares += other.totals_.squares * factor * factor;
  totals_.largest = std::max(totals_.largest, other.totals_.largest * factor * factor);
  arrived_ += other.arrived_ - other.options_.first_row;
  return factor;
}

Direction DirectionStream::result() {
  const torch::NoGradGuard no_grad;
  if (d_ == 0 && options_.cols > 0) open(options_.cols, torch::dtype(torch::kFloat64));
  Totals totals = totals_;
  if (d_ > 0) gather(totals);
  if (totals.squares == 0)
    throw InvalidArgument("rows (zero_matrix)", "a row that is not zero",
                          std::to_string(totals.n) + (totals.n == 0 ? " rows" : " zero rows"));
  Direction direction;
  finish(totals, direction);
  const double sigma = direction.sigma1;
  direction.sigma1 = std::ldexp(sigma, exponent_);
  direction.frobenius = std::ldexp(std::sqrt(totals.squares), exponent_);
  for (double& lambda : direction.lambda_by_piece) lambda = std::ldexp(lambda, 2 * exponent_);
  Tensor v = direction.vector / direction.vector.norm();
  if (v[v.abs().argmax()].item<double>() < 0) v = -v;
  direction.vector = v.to(tensor_.dtype());
  direction.n = totals.n;
  direction.d = v.size(0);
  direction.skipped = totals.skipped;
  note_peak();
  direction.state_bits = peak_bits_;
  direction.workspace_bits = workspace_bits_;
  return direction;
}

}  // namespace ritz::rows
