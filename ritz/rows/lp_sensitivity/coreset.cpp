#include "ritz/rows/lp_sensitivity/coreset.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"

namespace ritz::rows {
namespace {

constexpr int kRounds = 8;

SensitivityOptions sensitivity_options(const CoresetOptions& options) {
  return {.p = options.p,
          .method = options.sensitivities,
          .sample_rows = options.sample_rows,
          .tolerance = options.tolerance,
          .seed = options.seed,
          .progress = options.progress};
}

}  // namespace

double effective_rows(const Tensor& weights) {
  const auto w = weights.to(torch::kFloat64);
  const double sum = w.sum().item<double>(), squares = w.square().sum().item<double>();
  return squares > 0 ? sum * sum / squares : 0;
}

Coreset coreset(const Tensor& A, const CoresetOptions& options, const Tensor& row_weights) {
  const double p = options.p;
  detail::check_exponent(p);
  const torch::NoGradGuard no_grad;
  check_dim("A", A, 2);
  const int64_t n = A.size(0);
  if (row_weights.defined()) {
    check_shape("row_weights", row_weights, {n});
    check_finite("row_weights", row_weights);
    if (!row_weights.gt(0).all().item<bool>())
      throw InvalidArgument("row_weights", "positive numbers", "zero or less");
  }
  const auto given = row_weights.defined() ? row_weights.cpu().to(torch::kFloat64)
                                           : torch::ones({n}, torch::kFloat64);
  const auto weighted = [&](const Tensor& index, const Tensor& weights) {
    return detail::take_rows(A, index, weights.pow(1 / p));
  };
  auto basis = row_basis(row_weights.defined() ? weighted(torch::arange(n), given) : A);
  const bool fixed = options.size.rows > 0;
  if (fixed && options.size.rows < static_cast<double>(basis.rank))
    throw InvalidArgument("rows", "at least the rank, " + std::to_string(basis.rank),
                          number_text(options.size.rows));

  Coreset result;
  result.indices = torch::arange(n);
  result.weights = given.clone();
  const auto options_of_scores = sensitivity_options(options);
  const auto sample_by = [&](const Tensor& q, int round) {
    const auto sample =
        draw_sample(q, options.sampler, options.seed, static_cast<uint64_t>(round), result.indices);
    if (sample.indices.size(0) == 0)
      throw InvalidArgument("size", "a sample of at least one row", "an empty one");
    result.weights = result.weights.index_select(0, sample.indices) * sample.weights;
    result.indices = result.indices.index_select(0, sample.indices);
    result.sizes.push_back(result.indices.size(0));
  };
  SampleSize size = options.size;
  if (options.recursive) size.eps /= 4;
  for (int round = 0; round < kRounds; ++round) {
    const auto scores = row_scores(basis, options.score, size, options_of_scores);
    if (round == 0) result.scores = scores;
    const auto before = static_cast<double>(result.indices.size(0));
    if (fixed && size.rows >= before) break;
    const auto score = scores.score.cpu();
    Tensor q;
    if (options.recursive && scores.open_alpha > 0)
      q = scaled_probabilities(score, scores.open_alpha, 0);
    else if (!fixed)
      q = scaled_probabilities(score, scores.alpha, 1 / static_cast<double>(n));
    const double expected = q.defined() ? q.sum().item<double>() : 0;
    // A fixed size is reached in one step where the next open one would not stay above it.
    const bool last = fixed && (expected <= size.rows || expected > 0.95 * before);
    sample_by(last ? fixed_size_probabilities(score, size.rows) : q, round);
    if (last || !options.recursive) break;
    if (static_cast<double>(result.indices.size(0)) > 0.95 * before) break;
    basis = row_basis(weighted(result.indices, result.weights));
  }
  if (result.sizes.empty()) result.sizes.push_back(result.indices.size(0));
  result.effective_rows = effective_rows(result.weights);
  return result;
}

WeightedRows merge_coresets(const std::vector<WeightedRows>& parts, const CoresetOptions& options) {
  if (parts.empty()) throw InvalidArgument("parts", "at least one coreset", "none");
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> rows, weights, ids;
  for (const auto& part : parts) {
    check_shape("rows of a part", part.rows, {part.weights.size(0), parts[0].rows.size(1)});
    check_options("rows of a part", part.rows, parts[0].rows.options());
    check_shape("ids of a part", part.ids, {part.weights.size(0)});
    rows.push_back(part.rows);
    weights.push_back(part.weights);
    ids.push_back(part.ids);
  }
  WeightedRows all{torch::cat(rows), torch::cat(weights), torch::cat(ids)};
  const auto kept = coreset(all.rows, options, all.weights);
  return {all.rows.index_select(0, kept.indices.to(all.rows.device())), kept.weights,
          all.ids.index_select(0, kept.indices)};
}

CoresetStream::CoresetStream(CoresetOptions options, int64_t block) : options_(std::move(options)) {
  detail::check_exponent(options_.p);
  if (!(options_.size.rows > 0) || options_.size.eps > 0 || options_.size.alpha > 0)
    throw InvalidArgument("size", "rows", "eps, alpha or nothing");
  check_at_least("block", block, 0);
  const auto target = static_cast<int64_t>(std::ceil(options_.size.rows));
  block_ = block > 0 ? block : 4 * target;
  if (block_ <= target)
    throw InvalidArgument("block", "more than the " + std::to_string(target) + " rows kept of it",
                          std::to_string(block_));
}

void CoresetStream::update(const Tensor& rows) {
  check_dim("rows", rows, 2);
  check_floating("rows", rows);
  if (!model_.defined()) model_ = rows.slice(0, 0, 0).clone();
  check_shape("rows", rows, {-1, model_.size(1)});
  check_options("rows", rows, model_.options());
  check_finite("rows", rows);
  const torch::NoGradGuard no_grad;
  for (int64_t begin = 0; begin < rows.size(0);) {
    const int64_t end = std::min(rows.size(0), begin + block_ - waiting_rows_);
    waiting_.push_back(rows.slice(0, begin, end).clone());
    waiting_rows_ += end - begin;
    begin = end;
    if (waiting_rows_ == block_) {
      add_block(torch::cat(waiting_));
      waiting_.clear();
      waiting_rows_ = 0;
    }
  }
}

// Blocks of zeros add nothing to any norm and are dropped.
void CoresetStream::add_block(const Tensor& rows) {
  WeightedRows carry{rows, torch::ones({rows.size(0)}, torch::kFloat64),
                     torch::arange(seen_, seen_ + rows.size(0))};
  seen_ += rows.size(0);
  if (rows.eq(0).all().item<bool>()) return;
  const auto reduce = [&](const std::vector<WeightedRows>& parts) {
    auto options = options_;
    options.seed = options_.seed ^ stream_id("coreset/reduction", ++reductions_);
    return merge_coresets(parts, options);
  };
  carry = reduce({carry});
  size_t level = 0;
  for (; level < levels_.size() && levels_[level].rows.defined(); ++level) {
    carry = reduce({levels_[level], carry});
    levels_[level] = {};
  }
  if (level == levels_.size()) levels_.emplace_back();
  levels_[level] = carry;
}

WeightedRows CoresetStream::result() const {
  std::vector<WeightedRows> parts;
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level)
    if (level->rows.defined()) parts.push_back(*level);
  if (waiting_rows_ > 0)
    parts.push_back({torch::cat(waiting_), torch::ones({waiting_rows_}, torch::kFloat64),
                     torch::arange(seen_, seen_ + waiting_rows_)});
  if (parts.empty()) throw InvalidArgument("stream", "a row that is not zero", "none");
  auto options = options_;
  options.seed = options_.seed ^ stream_id("coreset/result");
  return merge_coresets(parts, options);
}

int64_t CoresetStream::rows_held() const {
  int64_t held = waiting_rows_;
  for (const auto& level : levels_)
    if (level.rows.defined()) held += level.rows.size(0);
  return held;
}

}  // namespace ritz::rows
