#include "ritz/optim/batch_scaling/spectra.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "ritz/base/check.h"
#include "ritz/base/random.h"
#include "ritz/krylov/extreme_eigenpairs.h"
#include "ritz/optim/batch_scaling/theory.h"

namespace ritz::optim {
namespace {

/// How many batches of this size are drawn.
int64_t batches_of(int64_t batch, int64_t samples, const BatchSpectraOptions& options) {
  if (!options.replacement && batch == samples) return 1;
  if (options.batches > 0) return options.batches;
  return batch <= 128 ? 64 : std::max<int64_t>(4, 8192 / batch);
}

struct MeanAndError {
  double mean = 0, error = 0;
};
MeanAndError mean_and_error(const std::vector<double>& x) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (const double value : x) square += (value - mean) * (value - mean);
  return {mean, std::sqrt(square / (n - 1) / n)};  // 0 / 0 = NaN for one
}

}  // namespace

ExtremePairs full_extremes(const LinearOperator& op, const ExtremesOptions& options) {
  check_positive("tolerance", options.tolerance);
  check_at_least("max_steps", options.max_steps, 1);
  const bool both = options.lower && op.rows() > 1;
  return extreme_eigenpairs(op, {.largest = 1,
                                 .smallest = both ? 1 : 0,
                                 .tolerance = options.tolerance,
                                 .max_products = options.max_steps,
                                 .max_basis = std::min(options.max_steps, op.rows()),
                                 .memory_limit = options.memory_limit,
                                 .seed = options.seed});
}

Tensor batch_rows(int64_t batch, int64_t number, int64_t samples, bool replacement, uint64_t seed) {
  RandomStream random(seed, stream_id("batch-scaling/batch/" + std::to_string(batch), number));
  return replacement ? random.integers({batch}, 0, samples) : random.sample(samples, batch);
}

std::vector<BatchExtremes> batch_spectra(const BatchOperator& curvature, int64_t samples,
                                         const BatchSpectraOptions& options,
                                         dist::ProcessGroup* group) {
  check_at_least("steps", options.steps, 1);
  check_at_least("batches", options.batches, 0);
  check_at_least("samples", samples, 1);
  std::vector<BatchExtremes> result;
  int64_t total = 0;
  for (const int64_t batch : options.batch_sizes) {
    const int64_t R = batches_of(batch, samples, options);
    BatchExtremes size{.batch = batch,
                       .b = effective_batch(batch, samples, options.replacement),
                       .largest = std::vector<double>(R),
                       .smallest = std::vector<double>(R)};
    result.push_back(std::move(size));
    total += R;
  }
  const int64_t rank = group ? group->rank() : 0, world = group ? group->world_size() : 1;
  // Flat over sizes and batches, so that ranks share the large sizes out as well as the small ones.
  Tensor extremes = torch::zeros({total, 2}, torch::kFloat64);
  auto at = extremes.accessor<double, 2>();
  int64_t flat = 0;
  for (const auto& size : result)
    for (int64_t r = 0; r < static_cast<int64_t>(size.largest.size()); ++r, ++flat) {
      if (flat % world != rank) continue;
      const auto rows = batch_rows(size.batch, r, samples, options.replacement, options.seed);
      LanczosResult run;
      try {
        run = lanczos(*curvature(rows),
                      {.steps = options.steps, .seed = options.seed, .first_probe = r});
      } catch (const NotConverged& error) {
        throw NotConverged("batch " + std::to_string(r) + " of size " + std::to_string(size.batch) +
                           ": " + error.what());
      }
      const auto values = eigh_tridiagonal(run.T.front()).values;
      at[flat][0] = values.back();
      at[flat][1] = values.front();
      if (options.progress) options.progress(flat + 1, total);
    }
  if (group) group->all_reduce_sum(extremes);
  flat = 0;
  for (auto& size : result) {
    for (size_t r = 0; r < size.largest.size(); ++r, ++flat) {
      size.largest[r] = at[flat][0];
      size.smallest[r] = at[flat][1];
    }
    const auto top = mean_and_error(size.largest), bottom = mean_and_error(size.smallest);
    size.lambda_1 = top.mean;
    size.lambda_1_se = top.error;
    size.lambda_P = bottom.mean;
    size.lambda_P_se = bottom.error;
  }
  return result;
}

}  // namespace ritz::optim
