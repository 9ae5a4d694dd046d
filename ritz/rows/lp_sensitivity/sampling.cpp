#include "ritz/rows/lp_sensitivity/sampling.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"

namespace ritz::rows {
namespace {

void check_scores(const char* name, const Tensor& scores) {
  check_dim(name, scores, 1);
  check_finite(name, scores);
  if (scores.lt(0).any().item<bool>())
    throw InvalidArgument(name, "numbers >= 0", number_text(scores.min().item<double>()));
}

// The uniform number of row id: number id of one stream.
Tensor uniforms(int64_t n, uint64_t seed, uint64_t round, const Tensor& ids) {
  RandomStream random(seed, stream_id("coreset/keep", round));
  if (!ids.defined()) return random.uniform({n}, torch::kFloat64);
  const int64_t all = n == 0 ? 0 : ids.max().item<int64_t>() + 1;
  return random.uniform({all}, torch::kFloat64).index_select(0, ids);
}

}  // namespace

Sampler parse_sampler(std::string_view name) {
  if (name == "bernoulli") return Sampler::bernoulli;
  if (name == "multinomial") return Sampler::multinomial;
  if (name == "systematic") return Sampler::systematic;
  throw InvalidArgument("sampler", "bernoulli, multinomial or systematic", name);
}

// Sorted downwards, the first k rows are full: c = (m - k) / (sum of the rest), for the least k at
// which c times the next score is at most 1.
Tensor fixed_size_probabilities(const Tensor& scores, double m) {
  check_scores("scores", scores);
  check_positive("m", m);
  const torch::NoGradGuard no_grad;
  const auto s = scores.to(torch::kCPU, torch::kFloat64);
  const int64_t n = s.size(0);
  const int64_t positive = s.gt(0).sum().item<int64_t>();
  if (m >= static_cast<double>(positive)) return s.gt(0).to(torch::kFloat64).to(scores.device());
  const auto sorted = std::get<0>(s.sort(0, /*descending=*/true)).contiguous();
  // Sums of the tail, smallest first, lose nothing to cancellation.
  const auto tail = sorted.flip(0).cumsum(0).flip(0).contiguous();
  const auto* value = sorted.data_ptr<double>();
  const auto* rest = tail.data_ptr<double>();
  double c = 0;
  for (int64_t k = 0; k < n && static_cast<double>(k) < m; ++k) {
    c = (m - static_cast<double>(k)) / rest[k];
    if (c * value[k] <= 1) break;
  }
  return (s * c).clamp_max_(1).to(scores.device());
}

Tensor scaled_probabilities(const Tensor& scores, double alpha, double floor) {
  check_scores("scores", scores);
  check_positive("alpha", alpha);
  check_non_negative("floor", floor);
  const auto s = scores.to(torch::kFloat64);
  return torch::where(s > 0, (s / alpha + floor).clamp_max(1), 0);
}

Sample draw_sample(const Tensor& probabilities, Sampler sampler, uint64_t seed, uint64_t round,
                   const Tensor& ids) {
  check_scores("probabilities", probabilities);
  const torch::NoGradGuard no_grad;
  const auto q = probabilities.to(torch::kCPU, torch::kFloat64);
  const int64_t n = q.size(0);
  Sample sample;
  if (sampler == Sampler::bernoulli) {
    const auto u = uniforms(n, seed, round, ids);
    sample.indices = u.lt(q).nonzero().squeeze(1);
    sample.weights = q.index_select(0, sample.indices).reciprocal();
    return sample;
  }
  const auto cumulated = q.cumsum(0);
  const double total = n == 0 ? 0 : cumulated[-1].item<double>();
  if (sampler == Sampler::systematic) {
    RandomStream random(seed, stream_id("coreset/offset", round));
    const double offset = random.uniform({1}, torch::kFloat64).item<double>();
    // Row i holds the stretch (Q_{i-1}, Q_i]; it is kept where that crosses an integer + offset.
    const auto steps = (cumulated + offset).floor();
    const auto before = torch::cat({torch::full({1}, std::floor(offset), steps.options()),
                                    steps.slice(0, 0, std::max<int64_t>(n - 1, 0))});
    // A row with q = 1 is crossed once whatever rounding says.
    sample.indices = torch::logical_or(steps.gt(before), q.ge(1)).nonzero().squeeze(1);
    sample.weights = q.index_select(0, sample.indices).reciprocal();
    return sample;
  }
  const auto m = static_cast<int64_t>(std::llround(total));
  check_at_least("draws", m, 1);
  RandomStream random(seed, stream_id("coreset/draws", round));
  const auto at = random.uniform({m}, torch::kFloat64) * total;
  const auto drawn =
      torch::searchsorted(cumulated, at, /*out_int32=*/false, /*right=*/true).clamp_max(n - 1);
  const auto [rows, inverse, counts] =
      torch::_unique2(drawn, /*sorted=*/true, /*return_inverse=*/false, /*return_counts=*/true);
  sample.indices = rows;
  sample.weights =
      counts.to(torch::kFloat64) * total / (q.index_select(0, rows) * static_cast<double>(m));
  return sample;
}

}  // namespace ritz::rows
