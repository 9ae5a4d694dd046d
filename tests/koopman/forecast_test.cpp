// Forecasts: each method on a series it must continue exactly, several trajectories, bad input.
#include "ritz/koopman/forecast.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::koopman {
namespace {

using torch::kComplexDouble;
using torch::kFloat32;
using torch::kFloat64;

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

/// Trajectories of x_{t+1} = x_t F, [N, T, d], with spectral radius .97.
Tensor linear_orbits(int64_t N, int64_t T, int64_t d) {
  RandomStream random(21, stream_id("tests/forecast"));
  Tensor F = random.normal({d, d}, kFloat64);
  F = F * (0.97 / torch::linalg_eigvals(F).abs().max().item<double>());
  std::vector<Tensor> path = {random.normal({N, d}, kFloat64)};
  for (int64_t t = 1; t < T; ++t) path.push_back(path.back().mm(F));
  return torch::stack(path, 1);
}

TEST(Forecast, PersistenceAndClimatologyAreTheirDefinitions) {
  const Tensor x = torch::arange(24., kFloat64).view({2, 6, 2});
  const Tensor last = forecast_persistence(x, 3);
  ASSERT_EQ(last.sizes(), (std::vector<int64_t>{2, 3, 2}));
  EXPECT_EQ(largest(last - x.slice(1, 5)), 0);
  // A period of four and trajectories of six: phase 2 follows phase 1, and each has its mean.
  const Tensor told = forecast_climatology(x, 5, 4);
  EXPECT_EQ(largest(told.select(1, 0) - x.select(1, 2)), 0);
  EXPECT_EQ(largest(told.select(1, 2) - (x.select(1, 0) + x.select(1, 4)) / 2), 0);
  EXPECT_EQ(largest(told.select(1, 4) - told.select(1, 0)), 0);
  EXPECT_EQ(largest(forecast_climatology(x, 2, 1) - x.mean(1, true)), 0);
}

TEST(Forecast, AutoregressionContinuesItsOwnRecurrence) {
  // x_t = 3 + 1.5 x_{t-1} - .9 x_{t-2} in one column, another recurrence in the other.
  Tensor x = torch::zeros({1, 60, 2}, kFloat64);
  auto at = x.accessor<double, 3>();
  at[0][1][0] = at[0][0][1] = 1;
  for (int t = 2; t < 60; ++t) {
    at[0][t][0] = 3 + 1.5 * at[0][t - 1][0] - .9 * at[0][t - 2][0];
    at[0][t][1] = -1 + .3 * at[0][t - 1][1] - .8 * at[0][t - 2][1];
  }
  for (const int64_t order : {2, 5})
    EXPECT_LT(
        largest(forecast_autoregression(x.slice(1, 0, 40), 20, {.order = order}) - x.slice(1, 40)),
        1e-8)
        << order;
  EXPECT_LT(largest(forecast_autoregression(x.slice(1, 0, 40), 20) - x.slice(1, 40)), 1e-6);
  const Tensor single = forecast_autoregression(x.slice(1, 0, 40).to(kFloat32), 20, {.order = 2});
  EXPECT_EQ(single.scalar_type(), kFloat32);
  EXPECT_LT(largest(single - x.slice(1, 40)), 1e-4);
}

TEST(Forecast, DmdContinuesLinearOrbits) {
  const Tensor x = linear_orbits(3, 30, 5), known = x.slice(1, 0, 20);
  EXPECT_LT(largest(forecast_dmd(known, 10, {.rank = 5}) - x.slice(1, 20)), 1e-9);
  // One column of it obeys a recurrence of five terms.
  const Tensor column = x.slice(2, 0, 1);
  EXPECT_LT(largest(forecast_dmd(column.slice(1, 0, 20), 10, {.delays = 5, .rank = 5}) -
                    column.slice(1, 20)),
            1e-7);
}

TEST(Forecast, ThresholdTellsModesFromNoise) {
  // A wave over 50 columns in noise: rank two of fifty.
  RandomStream random(3, stream_id("tests/forecast/noise"));
  const Tensor t = torch::arange(120, kFloat64).unsqueeze(1), p = torch::arange(50, kFloat64) * .2;
  const Tensor wave = torch::cos(0.4 * t + p).unsqueeze(0);
  const Tensor noisy = wave + 0.05 * random.normal(wave.sizes(), kFloat64);
  const Tensor told = forecast_dmd(noisy.slice(1, 0, 100), 20);
  // The phase is known to .05 / sqrt(50 * 100), the frequency to a hundredth of it a step.
  EXPECT_LT((told - wave.slice(1, 100)).square().mean().sqrt().item<double>(), 0.03);
}

TEST(Forecast, FeaturesAndModesAgreeWhereAllModesAreKept) {
  const Tensor x = linear_orbits(2, 25, 4), known = x.slice(1, 0, 18);
  const Tensor X = known.slice(1, 0, 17).flatten(0, 1), Y = known.slice(1, 1).flatten(0, 1);
  const Tensor last = known.select(1, 17);
  EXPECT_LT(largest(forecast_features(X, Y, X, last, 7) - x.slice(1, 18)), 1e-9);
  const Tensor K = std::get<0>(torch::linalg_lstsq(X, Y));
  const auto [lambda, V] = torch::linalg_eig(K);
  EXPECT_LT(largest(forecast_modes(lambda, V, X, X, last, 7) - x.slice(1, 18)), 1e-9);
  // A mode of eigenvalue zero contributes nothing, not NaN.
  const Tensor zero = torch::zeros({4}, kComplexDouble);
  EXPECT_EQ(largest(forecast_modes(zero, V, X, X, last, 3)), 0);
}

TEST(Forecast, RefusesWhatDoesNotFit) {
  const Tensor x = linear_orbits(1, 10, 2);
  EXPECT_THROW(forecast_persistence(x, 0), InvalidArgument);
  EXPECT_THROW(forecast_persistence(x[0], 1), InvalidArgument);
  EXPECT_THROW(forecast_persistence(x * std::nan(""), 1), InvalidArgument);
  EXPECT_THROW(forecast_climatology(x, 1, 11), InvalidArgument);
  EXPECT_THROW(forecast_dmd(x, 1, {.delays = 10}), InvalidArgument);
  EXPECT_THROW(forecast_dmd(x, 1, {.rank = 3}), InvalidArgument);
  EXPECT_THROW(forecast_autoregression(x, 1, {.order = 9}), InvalidArgument);
  EXPECT_THROW(forecast_features(x[0], x[0], x[0], x[0].slice(1, 1), 1), InvalidArgument);
}

}  // namespace
}  // namespace ritz::koopman
