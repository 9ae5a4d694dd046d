// Forecasts by kernel modes: linear waves continued, noise's modes left out, what is refused.
#include "ritz/koopman/kernel_forecast.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/koopman/forecast.h"

namespace ritz::koopman {
namespace {

using torch::kFloat32;
using torch::kFloat64;

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

/// Two damped waves over `pixels` columns, [1, T, pixels].
Tensor waves(int64_t T, int64_t pixels) {
  const Tensor t = torch::arange(T, kFloat64).unsqueeze(1), p = torch::arange(pixels, kFloat64);
  return (torch::pow(0.999, t) * torch::cos(0.5 * t + 0.3 * p) +
          torch::pow(0.998, t) * 0.5 * torch::cos(0.9 * t - 0.2 * p))
      .unsqueeze(0);
}

TEST(KernelForecast, LinearKernelWithAllModesIsDmd) {
  const Tensor x = waves(60, 9), known = x.slice(1, 0, 50);
  const auto made = forecast_kernel(
      known, 10, {.kernel = KernelKind::linear, .delays = 2, .size = 4, .all_modes = true});
  EXPECT_EQ(made.kept, 4);
  EXPECT_LT(largest(made.values - x.slice(1, 50)), 1e-8);
  EXPECT_LT(largest(made.values - forecast_dmd(known, 10, {.delays = 2, .rank = 4})), 1e-8);
  EXPECT_EQ(made.values.sizes(), (std::vector<int64_t>{1, 10, 9}));
}

TEST(KernelForecast, KeepsTheWavesAndLeavesTheNoise) {
  // Waves in noise on many columns: of a linear kernel's 20 modes the four of the waves have small
  // residuals; the others fit noise, which has no next step.
  RandomStream random(5, stream_id("tests/kernel-forecast"));
  const Tensor x = waves(170, 200);
  const Tensor noisy = x + 0.1 * random.normal(x.sizes(), kFloat64);
  const auto made = forecast_kernel(noisy.slice(1, 0, 150), 20,
                                    {.kernel = KernelKind::linear, .delays = 1, .size = 20});
  EXPECT_GE(made.kept, 4);
  EXPECT_LE(made.kept, 6);
  EXPECT_LT(made.modes.residuals[3].item<double>(), 0.3);
  EXPECT_GT(made.modes.residuals[7].item<double>(), 0.4);
  EXPECT_LT((made.values - x.slice(1, 150)).square().mean().sqrt().item<double>(), 0.1);
}

TEST(KernelForecast, SeveralTrajectoriesAndSinglePrecision) {
  const Tensor x = waves(75, 5);
  const Tensor two = torch::cat({x.slice(1, 0, 60), 0.5 * x.slice(1, 15)}).to(kFloat32);
  const auto made = forecast_kernel(
      two.slice(1, 0, 50), 4, {.kernel = KernelKind::linear, .delays = 3, .size = 4, .kept = 4});
  EXPECT_EQ(made.values.scalar_type(), kFloat32);
  EXPECT_LT(largest(made.values - two.slice(1, 50, 54)), 1e-3);
  EXPECT_EQ(made.kept, 4);
}

TEST(KernelForecast, RefusesWhatDoesNotFit) {
  const Tensor x = waves(10, 3);
  EXPECT_THROW(forecast_kernel(x, 0), InvalidArgument);
  EXPECT_THROW(forecast_kernel(x, 1, {.delays = 9}), InvalidArgument);
  EXPECT_THROW(forecast_kernel(x, 1, {.delays = 0}), InvalidArgument);
  EXPECT_THROW(forecast_kernel(x[0], 1), InvalidArgument);
  EXPECT_THROW(forecast_kernel(x * std::nan(""), 1), InvalidArgument);
  EXPECT_THROW(forecast_kernel(x, 1, {.delays = 2, .kept = 100}), InvalidArgument);
  EXPECT_THROW(forecast_kernel(torch::ones({1, 20, 3}, kFloat64), 1), InvalidArgument);  // scale 0
}

TEST(Forecast, DictionaryOfPolynomialsContinuesAQuadraticMap) {
  // (x, y) -> (.9 x, .7 y + x^2): invariant under 1, x, y, x^2, and a second trajectory ends
  // elsewhere.
  const auto orbit = [](double x, double y) {
    std::vector<double> out;
    for (int t = 0; t < 30; ++t) {
      out.insert(out.end(), {x, y});
      const double next = .7 * y + x * x;
      x *= .9;
      y = next;
    }
    return torch::tensor(out, kFloat64).view({1, 30, 2});
  };
  const Tensor both = torch::cat({orbit(1, .3), orbit(-.8, 1)});
  const auto windows = trajectories(both.slice(1, 0, 22).contiguous());
  const auto lift = make_lift({.name = "polynomial", .size = 6}, windows);
  EXPECT_LT(largest(forecast_edmd(lift, windows, 2, 8) - both.slice(1, 22)), 1e-8);
  // Delays of the dictionary itself: the newest state is read off.
  const auto delay = make_lift({.name = "delay", .size = 5}, windows);
  EXPECT_LT(largest(forecast_edmd(delay, windows, 2, 3) - both.slice(1, 22, 25)), 1e-4);
}

}  // namespace
}  // namespace ritz::koopman
