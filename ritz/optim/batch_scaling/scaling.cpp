#include <torch/types.h>

#include <algorithm>
#include <set>

#include "ritz/base/check.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/optim/batch_scaling.h"

namespace ritz::optim {
namespace {

LinearOperatorPtr curvature_of(const nn::Objective& objective, const ScalingOptions& options) {
  switch (options.kind) {
    case CurvatureKind::ggn:
      return nn::ggn(objective, options.curvature);
    case CurvatureKind::fisher:
      return nn::fisher(objective, options.curvature);
    case CurvatureKind::hessian:
      break;
  }
  return nn::hessian(objective, options.curvature);
}

/// The curvature of all samples; over ranks each holds a share of them.
LinearOperatorPtr full_curvature(const nn::Objective& objective, const ScalingOptions& options,
                                 dist::ProcessGroup* group) {
  if (group == nullptr || group->world_size() == 1) return curvature_of(objective, options);
  const int64_t N = objective.inputs.size(0);
  const auto shard = dist::shard_of(N, group->rank(), group->world_size());
  const auto rows = torch::arange(shard.begin, shard.end, objective.inputs.device());
  return std::make_shared<dist::ShardedSumOperator>(
      curvature_of(nn::subset(objective, rows), options),
      static_cast<double>(shard.end - shard.begin) / static_cast<double>(N), *group);
}

std::vector<int64_t> default_fit_sizes(int64_t N) {
  const int64_t small = std::clamp<int64_t>(N / 8, 1, 32),
                large = std::clamp<int64_t>(N / 4, 1, 64);
  return small == large ? std::vector<int64_t>{small} : std::vector<int64_t>{small, large};
}

}  // namespace

ScalingResult measure_scaling(const nn::Objective& objective, const ScalingOptions& options,
                              dist::ProcessGroup* group) {
  const int64_t N = objective.inputs.defined() ? objective.inputs.size(0) : 0;
  check_at_least("samples", N, std::max<int64_t>(2, group ? group->world_size() : 1));
  if (!objective.loss.mean)
    throw InvalidArgument("loss", "a mean over the samples", "a sum, whose curvature grows with B");
  const int64_t most = options.spectra.replacement ? std::numeric_limits<int64_t>::max() : N;
  for (const int64_t batch : options.batch_sizes) check_range("batch_sizes", batch, 1, most);
  for (const int64_t batch : options.fit_at) check_range("fit_at", batch, 1, most);

  ScalingResult result;
  // A positive semi-definite matrix with more columns than samples has its lower end at 0, where a
  // relative residual means nothing: its smallest Ritz value, a bound from above, is enough.
  const bool hessian = options.kind == CurvatureKind::hessian;
  const auto full = full_curvature(objective, options, group);
  auto full_options = options.full;
  full_options.lower = hessian;
  result.full = full_extremes(*full, full_options);
  const bool fits = options.estimator == NoiseEstimator::fit;
  if (fits) result.fit_at = options.fit_at.empty() ? default_fit_sizes(N) : options.fit_at;

  std::set<int64_t> sizes(options.batch_sizes.begin(), options.batch_sizes.end());
  sizes.insert(result.fit_at.begin(), result.fit_at.end());
  auto spectra = options.spectra;
  spectra.batch_sizes.assign(sizes.begin(), sizes.end());
  const BatchOperator curvature = [&](const Tensor& rows) {
    return curvature_of(nn::subset(objective, rows), options);
  };
  result.batches = batch_spectra(curvature, N, spectra, group);

  const double lambda_1 = result.full.largest.values[0].item<double>();
  double lambda_P = lambda_1;
  if (!hessian) {
    const auto run = lanczos(*full, {.steps = options.spectra.steps, .seed = options.full.seed});
    lambda_P = eigh_tridiagonal(run.T.front()).values.front();
  } else if (objective.network.parameter_count() > 1) {
    lambda_P = result.full.smallest.values[0].item<double>();
  }
  const int64_t P = objective.network.parameter_count();
  const Theory theory = options.theory.value_or(hessian ? Theory::wigner : Theory::wishart);
  switch (options.estimator) {
    case NoiseEstimator::fit: {
      std::vector<ExcessPoint> points;
      for (const auto& size : result.batches)
        if (std::count(result.fit_at.begin(), result.fit_at.end(), size.batch) > 0)
          points.push_back({size.b, size.lambda_1 - lambda_1});
      result.model = model_from_fit(theory, lambda_1, lambda_P, P, fit_excess(points));
      break;
    }
    case NoiseEstimator::directional: {
      const Tensor v = result.full.largest.vectors[0];
      result.model =
          model_from_directional(theory, lambda_1, lambda_P, P,
                                 hessian ? directional_noise(objective, v, options.noise)
                                         : directional_noise(curvature, N, v, options.noise));
      break;
    }
    case NoiseEstimator::frobenius:
      result.model = model_from_frobenius(
          theory, lambda_1, lambda_P, P,
          hessian ? frobenius_noise(objective, options.noise)
                  : frobenius_noise(curvature, N, P, objective.network.options(), options.noise));
      break;
  }
  return result;
}

}  // namespace ritz::optim
