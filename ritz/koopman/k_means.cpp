#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/koopman/detail/float64.h"
#include "ritz/koopman/dictionary.h"

namespace ritz::koopman {
namespace {

/// Real coordinates in which distances are those of x.
Tensor real_rows(const Tensor& x) {
  return x.is_complex() ? at::view_as_real(x).flatten(1) : x;
}

/// k-means++: each next centre is a row drawn with probability proportional to its squared distance
/// from those already there.
Tensor seed_centres(const Tensor& rows, int64_t count, RandomStream& random) {
  const int64_t n = rows.size(0);
  std::vector<Tensor> centres;
  Tensor nearest;
  const Tensor draws = random.uniform({count}, torch::kFloat64);
  for (int64_t k = 0; k < count; ++k) {
    const double u = draws[k].item<double>();
    int64_t at = std::min(n - 1, static_cast<int64_t>(u * static_cast<double>(n)));
    if (k > 0) {
      const Tensor sums = nearest.cumsum(0);
      const double total = sums[n - 1].item<double>();
      if (!(total > 0)) break;
      at = std::min(n - 1, at::searchsorted(sums, torch::full({1}, u * total, sums.options()),
                                            /*out_int32=*/false, /*right=*/true)
                               .item<int64_t>());
    }
    centres.push_back(rows[at]);
    const Tensor squares = (rows - rows[at]).square_().sum(1);
    nearest = k == 0 ? squares : at::minimum(nearest, squares);
  }
  if (static_cast<int64_t>(centres.size()) < count) {
    throw InvalidArgument(
        "centres",
        "at most " + std::to_string(centres.size()) + ", the distinct states of the sample",
        std::to_string(count));
  }
  return torch::stack(centres);
}

}  // namespace

// Cost: count n d flops for the seeds and 2 count n d a step.
Tensor k_means(const Tensor& sample, int64_t count, const KMeansOptions& options) {
  check_floating("sample", sample, /*complex=*/true);
  check_dim("sample", sample, 2);
  check_range("centres", count, 1, std::max<int64_t>(1, sample.size(0)));
  check_at_least("max_iterations", options.max_iterations, 0);
  RandomStream random(options.seed, stream_id("koopman/k-means"));
  Tensor part = sample;
  if (const int64_t most = std::max(options.max_rows, 4 * count); sample.size(0) > most) {
    const Tensor drawn = std::get<0>(random.sample(sample.size(0), most).sort());
    part = sample.index_select(0, drawn.to(sample.device()));
  }
  const Tensor rows = real_rows(detail::float64(part)).contiguous();
  Tensor centres = seed_centres(rows, count, random);
  Tensor owner;
  for (int64_t step = 0; step < options.max_iterations; ++step) {
    const auto [distance, nearest] = squared_distances(rows, centres).min(1);
    if (owner.defined() && owner.equal(nearest)) break;
    owner = nearest;
    const Tensor members = at::bincount(nearest, {}, count).to(rows.options());
    const Tensor sums = torch::zeros_like(centres).index_add_(0, nearest, rows);
    centres = sums / members.clamp_min(1).unsqueeze(1);
    const Tensor empty = (members == 0).nonzero().squeeze(1);
    if (empty.size(0) > 0) {
      const Tensor far = std::get<1>(distance.topk(empty.size(0)));
      centres.index_copy_(0, empty, rows.index_select(0, far));
    }
  }
  if (!sample.is_complex()) return centres;
  return at::view_as_complex(centres.reshape({count, sample.size(1), 2}).contiguous());
}

}  // namespace ritz::koopman
