#include "ritz/optim/batch_scaling/noise.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/models.h"
#include "ritz/optim/batch_scaling/theory.h"

namespace ritz::optim {
namespace {

/// Least squares z = w^T x + c: the Hessian of sample i is 2 a a^T with a = (x, 1), whatever w is.
struct LeastSquares {
  nn::Objective objective;
  torch::Tensor hessians;  // [N, P, P]
  torch::Tensor mean;      // [P, P]
};

LeastSquares least_squares(int64_t N, int64_t D, torch::Dtype dtype = torch::kFloat64) {
  RandomStream random(11, stream_id("noise-test"));
  LeastSquares problem;
  const auto X = random.normal({N, D}, dtype);
  problem.objective = {nn::make_network("mlp:" + std::to_string(D) + "-1",
                                        {.input_shape = {D}, .tensor = dtype, .seed = 2}),
                       {.kind = nn::LossKind::mean_squared_error},
                       X,
                       random.normal({N, 1}, dtype)};
  const auto a = torch::cat({X, torch::ones({N, 1}, dtype)}, 1).to(torch::kFloat64);
  problem.hessians = 2 * a.unsqueeze(2) * a.unsqueeze(1);
  problem.mean = problem.hessians.mean(0);
  return problem;
}

/// sum_i ||(H_i - H) v||^2 - (v^T (H_i - H) v)^2, over N - 1.
double dense_directional(const LeastSquares& problem, const torch::Tensor& v) {
  const auto u = torch::matmul(problem.hessians - problem.mean, v);  // [N, P]
  return (u.square().sum() - u.mv(v).square().sum()).item<double>() /
         static_cast<double>(u.size(0) - 1);
}

BatchOperator hessian_of(const nn::Objective& objective) {
  return [&objective](const Tensor& rows) { return nn::hessian(nn::subset(objective, rows)); };
}

TEST(DirectionalNoise, EqualsItsDenseDefinitionBothWays) {
  const auto problem = least_squares(37, 4);
  const auto [values, vectors] = torch::linalg_eigh(problem.mean);
  const auto v = vectors.select(1, -1).contiguous();
  const double dense = dense_directional(problem, v);
  EXPECT_NEAR(directional_noise(problem.objective, v), dense, 1e-10 * dense);
  EXPECT_NEAR(directional_noise(hessian_of(problem.objective), 37, v), dense, 1e-10 * dense);
  // The length of v does not matter.
  EXPECT_NEAR(directional_noise(problem.objective, 3 * v), dense, 1e-10 * dense);
}

TEST(DirectionalNoise, WorksInSinglePrecision) {
  const auto problem = least_squares(37, 4, torch::kFloat32);
  const auto v = torch::ones({5}, torch::kFloat32);
  const auto unit = (v / v.norm()).to(torch::kFloat64);
  const double dense = dense_directional(problem, unit);
  // Products of 5 terms in float32, squared: 2 * 5 * 6e-8 relative to ||H_i v||^2.
  EXPECT_NEAR(directional_noise(problem.objective, v), dense, 1e-5 * dense);
  EXPECT_NEAR(directional_noise(hessian_of(problem.objective), 37, v), dense, 1e-5 * dense);
}

// A subset's estimate must be right on average: 100 subsets, five standard errors of their mean.
TEST(DirectionalNoise, IsUnbiasedOnSubsets) {
  const auto problem = least_squares(60, 3);
  const auto v = torch::tensor({0.6, 0.0, 0.8, 0.0}, torch::kFloat64);
  const double dense = dense_directional(problem, v);
  double sum = 0, squares = 0;
  const int n = 100;
  for (uint64_t seed = 0; seed < n; ++seed) {
    const double d = directional_noise(problem.objective, v, {.samples = 8, .seed = seed});
    sum += d;
    squares += d * d;
  }
  const double mean = sum / n, se = std::sqrt((squares / n - mean * mean) / (n - 1));
  EXPECT_NEAR(mean, dense, 5 * se);
  EXPECT_LT(5 * se, 0.5 * dense);  // the test can tell M - 1 from M
}

TEST(DirectionalNoise, PredictsTheMeanExcessOfBatches) {
  const auto problem = least_squares(400, 6);
  const auto [values, vectors] = torch::linalg_eigh(problem.mean);
  const double lambda_1 = values[-1].item<double>();
  const double c =
      directional_noise(problem.objective, vectors.select(1, -1).contiguous()) / lambda_1;
  // Second order in 1/b: at B = 100 the gap to the next eigenvalue matters more than the next
  // order, and perturbation theory divides by gaps: c is exact only up to lambda_1 / gap.
  double excess = 0;
  const int64_t B = 100, R = 200;
  for (int64_t r = 0; r < R; ++r) {
    const auto rows = batch_rows(B, r, 400, false, 5);
    excess +=
        (torch::linalg_eigvalsh(problem.hessians.index_select(0, rows).mean(0))[-1].item<double>() -
         lambda_1) /
        static_cast<double>(R);
  }
  const double predicted = c / effective_batch(B, 400);
  EXPECT_GT(excess, 0.5 * predicted);
}

TEST(FrobeniusNoise, IsTheMeanOverDirections) {
  const auto problem = least_squares(37, 4);
  const double mean_square =
      (problem.hessians - problem.mean).square().sum().item<double>() / 36 / 5;
  const NoiseOptions options{.probes = 400};
  const double estimate = frobenius_noise(problem.objective, options);
  // One probe of z^T A z on the sphere has relative variance below 2 (P - 1) / (P + 2) = 1.2.
  EXPECT_NEAR(estimate / mean_square, 1, 5 * std::sqrt(1.2 / 400));
  EXPECT_NEAR(frobenius_noise(hessian_of(problem.objective), 37, 5, torch::kFloat64, options),
              estimate, 1e-9 * estimate);
}

TEST(GradientNoise, IsExactOnAllSamples) {
  const auto problem = least_squares(29, 4);
  const auto G = nn::per_sample_gradients(problem.objective);
  const auto g = G.mean(0);
  const auto noise = gradient_noise(problem.objective);
  EXPECT_NEAR(noise.gradient2, g.square().sum().item<double>(), 1e-10 * noise.gradient2);
  EXPECT_NEAR(noise.trace, (G - g).square().sum().item<double>() / 28, 1e-10 * noise.trace);
  EXPECT_DOUBLE_EQ(noise.scale.value(), noise.trace / noise.gradient2);
  // In pieces of 7 as in one.
  EXPECT_NEAR(gradient_noise(problem.objective, {.curvature = {.micro_batch = 7}}).trace,
              noise.trace, 1e-10 * noise.trace);
}

TEST(GradientNoise, IsUnbiasedOnSubsets) {
  const auto problem = least_squares(60, 3);
  const auto exact = gradient_noise(problem.objective);
  double sum[2] = {0, 0}, squares[2] = {0, 0};
  const int n = 200;
  for (uint64_t seed = 0; seed < n; ++seed) {
    const auto noise = gradient_noise(problem.objective, {.samples = 6, .seed = seed});
    const double now[2] = {noise.trace, noise.gradient2};
    for (int i = 0; i < 2; ++i) {
      sum[i] += now[i];
      squares[i] += now[i] * now[i];
    }
  }
  const double expected[2] = {exact.trace, exact.gradient2};
  for (int i = 0; i < 2; ++i) {
    const double mean = sum[i] / n, se = std::sqrt((squares[i] / n - mean * mean) / (n - 1));
    EXPECT_NEAR(mean, expected[i], 5 * se) << i;
  }
}

TEST(Noise, RefusesTooFewSamples) {
  const auto problem = least_squares(10, 2);
  const auto v = torch::ones({3}, torch::kFloat64);
  EXPECT_THROW(directional_noise(problem.objective, v, {.samples = 1}), InvalidArgument);
  EXPECT_THROW(frobenius_noise(problem.objective, {.probes = 0}), InvalidArgument);
  EXPECT_THROW(gradient_noise(problem.objective, {.samples = 0}), InvalidArgument);
  const auto one = nn::subset(problem.objective, torch::zeros({1}, torch::kInt64));
  EXPECT_THROW(gradient_noise(one), InvalidArgument);
}

}  // namespace
}  // namespace ritz::optim
