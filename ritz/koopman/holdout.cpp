#include "ritz/koopman/holdout.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/random.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

constexpr int64_t kManyTrajectories = 20, kMostBlocks = 1000;

/// How often each of B blocks is drawn in each replica, [replicas, B].
Tensor multiplicities(int64_t replicas, int64_t B, uint64_t seed) {
  RandomStream random(seed, stream_id("koopman/bootstrap"));
  const Tensor drawn = random.integers({replicas, B}, 0, B);
  const Tensor flat = drawn + torch::arange(replicas).unsqueeze(1) * B;
  return at::bincount(flat.flatten(), {}, replicas * B).view({replicas, B}).to(torch::kFloat64);
}

}  // namespace

Tensor bootstrap_blocks(const Snapshots& snapshots) {
  const int64_t M = snapshots.pairs();
  if (!snapshots.consecutive()) {
    const int64_t joined = (M + kMostBlocks - 1) / kMostBlocks;
    return torch::arange(M).div(std::max<int64_t>(1, joined), "floor");
  }
  const auto [ids, inverse, counts] =
      at::unique_consecutive(snapshots.trajectory, /*return_inverse=*/true, /*return_counts=*/true);
  if (ids.size(0) >= kManyTrajectories) return inverse;
  std::vector<Tensor> blocks;
  int64_t next = 0;
  for (int64_t k = 0; k < counts.size(0); ++k) {
    const int64_t length = counts[k].item<int64_t>();
    const auto stretch = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(length))));
    blocks.push_back(torch::arange(length).div(stretch, "floor") + next);
    next = blocks.back()[-1].item<int64_t>() + 1;
  }
  return torch::cat(blocks);
}

// Cost: 8 M n k flops for the functions' values, then 2 replicas blocks k.
HoldoutResiduals holdout_residuals(const Dictionary& dictionary, const Tensor& kept,
                                   const Snapshots& holdout, const Tensor& values,
                                   const Tensor& vectors, const HoldoutOptions& options) {
  if (holdout.pairs() < 1) throw InvalidArgument("holdout", "at least one pair", "none");
  check_at_least("replicas", options.replicas, 1);
  check_in("level", options.level, 0, 1);
  check_shape("vectors", vectors, {kept.size(0), values.size(0)});
  const Tensor v = detail::complex128(vectors), z = detail::complex128(values).unsqueeze(0);
  const Tensor columns = kept.to(v.device());
  const Tensor blocks = bootstrap_blocks(holdout).to(v.device());
  const Tensor weights = holdout.pair_weights().to(v.device());
  const int64_t B = blocks[-1].item<int64_t>() + 1, k = values.size(0);
  // Per block: sums of w |g(y) - z g(x)|^2 and of w |g(x)|^2.
  const Tensor sums = torch::zeros({2, B, k}, weights.options());
  dist::Shard mine{0, holdout.pairs()};
  if (options.group != nullptr) {
    mine = dist::shard_of(holdout.pairs(), options.group->rank(), options.group->world_size());
  }
  for (int64_t begin = mine.begin; begin < mine.end; begin += options.block) {
    const int64_t end = std::min(begin + options.block, mine.end);
    const PairValues psi = evaluate(dictionary, holdout, begin, end);
    const Tensor gx = detail::complex128(psi.x.index_select(1, columns)).matmul(v);
    const Tensor gy = detail::complex128(psi.y.index_select(1, columns)).matmul(v);
    const Tensor w = weights.slice(0, begin, end).unsqueeze(1);
    const Tensor block = blocks.slice(0, begin, end);
    sums[0].index_add_(0, block, w * (gy - z * gx).abs().square());
    sums[1].index_add_(0, block, w * gx.abs().square());
    check_interrupt("held-out residuals");
  }
  if (options.group != nullptr) options.group->all_reduce_sum(sums);

  const auto ratio = [](const Tensor& numerator, const Tensor& denominator) {
    const Tensor infinite = torch::full_like(numerator, std::numeric_limits<double>::infinity());
    return at::where(denominator > 0, (numerator / denominator.clamp_min(1e-300)).sqrt(), infinite);
  };
  const Tensor counts = multiplicities(options.replicas, B, options.seed).to(v.device());
  const Tensor replicas = ratio(counts.matmul(sums[0]), counts.matmul(sums[1]));
  const auto rank = std::min(
      options.replicas - 1,
      static_cast<int64_t>(std::ceil(options.level * static_cast<double>(options.replicas))));
  HoldoutResiduals result;
  result.residuals = ratio(sums[0].sum(0), sums[1].sum(0));
  result.upper = at::maximum(std::get<0>(replicas.sort(0))[rank], result.residuals);
  if (B < 2) result.upper.fill_(std::numeric_limits<double>::infinity());  // no spread to be seen
  result.blocks = B;
  return result;
}

}  // namespace ritz::koopman
