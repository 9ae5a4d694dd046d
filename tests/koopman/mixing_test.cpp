// RAGE averages: pure point spectrum, mixing, the two together, and the order of limits.
#include "ritz/koopman/mixing.h"

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

Tensor normal(at::IntArrayRef shape, torch::ScalarType type, uint64_t index = 0) {
  return RandomStream(2, stream_id("tests/mixing", index)).normal(shape, type);
}

/// The formula, a lag at a time, with QR's basis.
double dense(const Tensor& features, const Tensor& orbit, const Tensor& weights, int64_t n) {
  const Tensor root = weights.sqrt().unsqueeze(1);
  const Tensor Q = std::get<0>(torch::linalg_qr((features * root).slice(1, 0, n)));
  double sum = 0;
  for (int64_t l = 0; l < orbit.size(1); ++l)
    sum += Q.mH().mv(orbit.select(1, l) * root.squeeze(1)).abs().square().sum().item<double>();
  const double energy = (orbit.select(1, 0) * root.squeeze(1)).abs().square().sum().item<double>();
  return sum / static_cast<double>(orbit.size(1)) / energy;
}

TEST(Rage, IsTheFormulaForEveryDimension) {
  const Tensor features = normal({53, 7}, kComplexDouble),
               orbit = normal({53, 12}, kComplexDouble, 1);
  const Tensor weights = normal({53}, kFloat64, 2).abs() + 0.1;
  const auto found = rage(features, orbit, {.dimensions = {3, 1, 7}, .weights = weights});
  for (size_t k = 0; k < 3; ++k)
    EXPECT_NEAR(found.average[k], dense(features, orbit, weights, found.dimensions[k]), 1e-12);
  EXPECT_EQ(found.rank, 7);
  EXPECT_EQ(found.running.size(1), 12);
}

TEST(Rage, RotationKeepsAllItsEnergy) {
  const Tensor angle = normal({400}, kFloat64).mul(10);
  const Tensor features = torch::stack({torch::cos(angle), torch::sin(angle)}, 1);
  const Tensor lags = torch::arange(61, kFloat64) * std::sqrt(2.0);
  const auto found = rage(features, torch::cos(angle.unsqueeze(1) + lags + 0.4));
  // cos(angle + c) lies in the span; its sampled norm wobbles with the lag by O(1 / sqrt(400)).
  EXPECT_NEAR(found.average[0], 1, 0.1);
  const auto single =
      rage(features.to(kFloat32), torch::cos(angle.unsqueeze(1) + lags + 0.4).to(kFloat32));
  EXPECT_NEAR(single.average[0], found.average[0], 1e-5);
}

TEST(Rage, IndependentValuesLeaveTheNoiseFloor) {
  const int64_t M = 2000, n = 20;
  const Tensor features = normal({M, n}, kFloat64);
  Tensor orbit = normal({M, 200}, kFloat64, 1);
  const auto found = rage(features, orbit, {.dimensions = {5, 20}});
  for (size_t k = 0; k < 2; ++k) {
    // A mean of 200 chi-squared sums over n columns.
    const auto dimension = static_cast<double>(found.dimensions[k]);
    EXPECT_NEAR(found.average[k] / (dimension / M), 1, 5 * std::sqrt(2 / (200 * dimension)));
    EXPECT_NEAR(found.noise_floor[k], dimension * (1 - found.average[k]) / M, 1e-15);
  }
}

TEST(Rage, MixtureGivesTheShareOfItsPointSpectrum) {
  // 70 % turns, 30 % is new at every step.
  const int64_t M = 4000;
  const Tensor angle = normal({M}, kFloat64).mul(10);
  const Tensor features = torch::stack({torch::cos(angle), torch::sin(angle)}, 1);
  const Tensor lags = torch::arange(400, kFloat64) * std::sqrt(2.0);
  const Tensor orbit = std::sqrt(2 * 0.7) * torch::cos(angle.unsqueeze(1) + lags) +
                       std::sqrt(0.3) * normal({M, 400}, kFloat64, 4);
  EXPECT_NEAR(rage(features, orbit).average[0], 0.7, 0.03);
}

TEST(Rage, OrderOfLimitsMatters) {
  // A shift of an independent sequence: with n >= L every K^l g still lies in the space (R = 1),
  // with L first it leaves (R -> n / L).
  const Tensor values = normal({700}, kFloat64);
  const Tensor orbit = values.unfold(0, 101, 1), wide = values.unfold(0, 101, 1);
  const auto found = rage(wide, orbit, {.dimensions = {4, 101}});
  EXPECT_NEAR(found.average[0], 4.0 / 101, 0.02);
  EXPECT_NEAR(found.average[1], 1, 0.1);
}

TEST(Rage, DependentColumnsAddNothing) {
  const Tensor x = normal({80, 3}, kFloat64), orbit = normal({80, 6}, kFloat64, 1);
  const auto plain = rage(x, orbit);
  const auto twice = rage(
      torch::cat({x, x.select(1, 0).unsqueeze(1) * 2 - x.select(1, 2).unsqueeze(1)}, 1), orbit);
  EXPECT_EQ(twice.rank, 3);
  EXPECT_NEAR(plain.average[0], twice.average[0], 1e-13);
}

TEST(Rage, RefusesWhatDoesNotFit) {
  const Tensor x = normal({10, 3}, kFloat64), orbit = normal({10, 4}, kFloat64, 1);
  EXPECT_THROW(rage(x, orbit.slice(0, 1)), InvalidArgument);
  EXPECT_THROW(rage(x, orbit.slice(1, 0, 1)), InvalidArgument);
  EXPECT_THROW(rage(x, orbit, {.dimensions = {4}}), InvalidArgument);
  EXPECT_THROW(rage(x, torch::zeros_like(orbit)), InvalidArgument);
  EXPECT_THROW(rage(x, orbit, {.weights = torch::zeros({10}, kFloat64)}), InvalidArgument);
  EXPECT_THROW(rage(x, torch::full_like(orbit, std::nan(""))), InvalidArgument);
}

}  // namespace
}  // namespace ritz::koopman
