#include "ritz/optim/batch_scaling/noise.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"

namespace ritz::optim {
namespace {

/// A random subset of the objective's samples: all of them, in order, where M >= N.
nn::Objective sampled(const nn::Objective& objective, const NoiseOptions& options) {
  check_at_least("samples", options.samples, 2);
  const int64_t N = objective.inputs.size(0);
  check_at_least("inputs", N, 2);
  if (options.samples >= N) return objective;
  RandomStream random(options.seed, stream_id("batch-scaling/noise"));
  return nn::subset(objective, random.sample(N, options.samples));
}

/// From a sum of squared deviations about the sample's own mean to the mean square in the
/// population of N that the theorems divide by b = 1 / (1/B - 1/N): both sides carry the factor N /
/// (N - 1), so what is wanted is the sum / (M - 1).
double mean_square(double sum, int64_t M) {
  return sum / static_cast<double>(M - 1);
}

/// Mean squares over samples of (H_i - H) v and of v^T (H_i - H) v, from single-sample operators.
struct Spread {
  double norm2 = 0, along2 = 0;
};
Spread scatter_along(const BatchOperator& curvature, int64_t samples, const Tensor& v,
                     const NoiseOptions& options) {
  check_at_least("samples", options.samples, 2);
  check_at_least("inputs", samples, 2);
  const int64_t M = std::min(options.samples, samples);
  RandomStream random(options.seed, stream_id("batch-scaling/noise"));
  const Tensor rows = random.sample(samples, M);
  const Tensor wide = v.to(torch::kFloat64);
  Tensor sum = torch::zeros_like(wide), squares = torch::zeros({2}, wide.options());
  Tensor along = torch::zeros({}, wide.options());
  for (int64_t i = 0; i < M; ++i) {
    const Tensor u = curvature(rows.narrow(0, i, 1))->apply(v).to(torch::kFloat64);
    const Tensor projection = u.dot(wide);
    sum += u;
    along += projection;
    squares += torch::stack({u.dot(u), projection.square()});
  }
  const auto m = static_cast<double>(M);
  return {mean_square(squares[0].item<double>() - sum.dot(sum).item<double>() / m, M),
          mean_square(squares[1].item<double>() - along.square().item<double>() / m, M)};
}

template <class MeanSquareAlong>
double mean_over_probes(int64_t parameters, const TensorOptions& tensor,
                        const NoiseOptions& options, const MeanSquareAlong& mean_square_along) {
  check_at_least("probes", options.probes, 1);
  double sum = 0;
  for (int64_t probe = 0; probe < options.probes; ++probe) {
    RandomStream random(options.seed, stream_id("batch-scaling/noise/probe", probe));
    Tensor z = random.normal({parameters}, tensor);
    sum += mean_square_along(z / z.norm());
  }
  return sum / static_cast<double>(options.probes);
}

}  // namespace

// One pass over the samples: with u_i = H_i v and their sum, sum ||u_i - m||^2 = sum ||u_i||^2 -
// M ||m||^2, and the same of v^T u_i. In double, since the two nearly cancel where noise is small.
double directional_noise(const BatchOperator& curvature, int64_t samples, const Tensor& v,
                         const NoiseOptions& options) {
  const auto spread = scatter_along(curvature, samples, v / v.norm(), options);
  return spread.norm2 - spread.along2;
}

double directional_noise(const nn::Objective& objective, const Tensor& v,
                         const NoiseOptions& options) {
  const auto part = sampled(objective, options);
  const Tensor unit = v / v.norm();
  const auto scatter = nn::hessian_scatter(part, unit, options.curvature);
  // (v^T (H_i - H) v)^2 is the part of the noise along v itself: it moves lambda_1 up and down but
  // not on average.
  return mean_square((scatter.norm2 - scatter.curvature.square()).sum().item<double>(),
                     scatter.norm2.size(0));
}

double frobenius_noise(const BatchOperator& curvature, int64_t samples, int64_t parameters,
                       const TensorOptions& tensor, const NoiseOptions& options) {
  return mean_over_probes(parameters, tensor, options, [&](const Tensor& z) {
    return scatter_along(curvature, samples, z, options).norm2;
  });
}

double frobenius_noise(const nn::Objective& objective, const NoiseOptions& options) {
  const auto part = sampled(objective, options);
  return mean_over_probes(objective.network.parameter_count(), objective.network.options(), options,
                          [&](const Tensor& z) {
                            const auto scatter = nn::hessian_scatter(part, z, options.curvature);
                            return mean_square(scatter.norm2.sum().item<double>(),
                                               scatter.norm2.size(0));
                          });
}

GradientNoise gradient_noise(const nn::Objective& objective, const NoiseOptions& options) {
  const auto part = sampled(objective, options);
  const int64_t N = objective.inputs.size(0), M = part.inputs.size(0);
  const int64_t P = objective.network.parameter_count();
  // Per-sample gradients are [n, P]: rows enough for 64 MB a time, squares summed in double.
  const int64_t micro =
      options.curvature.micro_batch > 0
          ? options.curvature.micro_batch
          : std::clamp<int64_t>((int64_t{16} << 20) / std::max<int64_t>(P, 1), 1, M);
  Tensor sum = torch::zeros({P}, objective.network.options().dtype(torch::kFloat64));
  Tensor squares = torch::zeros({}, sum.options());
  for (int64_t begin = 0; begin < M; begin += micro) {
    const auto rows = torch::arange(begin, std::min(begin + micro, M), part.inputs.device());
    const Tensor G = nn::per_sample_gradients(nn::subset(part, rows), options.curvature);
    sum += G.sum(0, false, torch::kFloat64);
    squares += G.square().sum(torch::kFloat64);
  }
  const auto m = static_cast<double>(M);
  const double mean2 = sum.square().sum().item<double>() / (m * m);
  GradientNoise noise;
  noise.trace = std::max(0.0, (squares.item<double>() - m * mean2) / (m - 1));
  noise.gradient2 = mean2 - noise.trace * (1 / m - 1 / static_cast<double>(N));
  if (noise.gradient2 > 0) noise.scale = noise.trace / noise.gradient2;
  return noise;
}

}  // namespace ritz::optim
