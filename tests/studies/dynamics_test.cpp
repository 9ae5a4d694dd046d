// The generators' own truths: what each promises of its trajectories.
#include "studies/generators/dynamics.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "ritz/base/error.h"

namespace ritz::studies {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

TEST(Dynamics, DuffingConservesEnergyAndStaysInItsSet) {
  const Tensor x = duffing({.trajectories = 300, .steps = 7});
  ASSERT_EQ(x.sizes(), (std::vector<int64_t>{300, 8, 2}));
  const Tensor energy =
      x.select(2, 1).square() / 2 - x.select(2, 0).square() / 2 + x.select(2, 0).pow(4) / 4;
  // Runge-Kutta of order 4 with steps of .01.
  EXPECT_LT((energy - energy.select(1, 0).unsqueeze(1)).abs().max().item<double>(), 1e-7);
  EXPECT_LT(energy.max().item<double>(), 2 + 1e-7);
  EXPECT_GT(energy.max().item<double>(), 1.9);
  const Tensor square = duffing({.trajectories = 500, .steps = 1, .region = "square"});
  EXPECT_GT(square.select(1, 0).select(1, 1).abs().max().item<double>(), 1.9);
  const Tensor damped = duffing({.trajectories = 20, .steps = 200, .damping = 0.3});
  EXPECT_LT(damped.select(1, 200).select(1, 1).abs().max().item<double>(), 0.01);
  EXPECT_THROW(duffing({.region = "circle"}), InvalidArgument);
}

TEST(Dynamics, CatMapIsExactAndItsMomentsAreTheStatedOnes) {
  const Tensor x = cat_map({.trajectories = 3, .steps = 500});
  const Tensor now = x.slice(1, 0, 500), next = x.slice(1, 1);
  const Tensor turns = (2 * now.select(2, 0) + now.select(2, 1) - next.select(2, 0)) / kTwoPi;
  EXPECT_LT((turns - turns.round()).abs().max().item<double>(), 1e-12);
  const Tensor many = cat_map({.trajectories = 200000, .steps = 3});
  const Tensor g = cat_map_observable(many), a = cat_map_moments(3);
  for (int64_t n = 0; n <= 3; ++n) {
    const Tensor sampled = (g.select(1, n) * g.select(1, 0).conj()).mean();
    EXPECT_LT((sampled - a[n]).abs().item<double>(), 5 / std::sqrt(200000.0)) << n;
  }
  const Tensor theta = torch::arange(64, torch::kFloat64) * (kTwoPi / 64);
  const Tensor density = cat_map_density(theta);
  for (int64_t n = 0; n <= 3; ++n) {
    const Tensor back =
        (torch::polar(torch::ones_like(theta), theta * static_cast<double>(n)) * density).mean() *
        kTwoPi;
    EXPECT_LT((back - a[n]).abs().item<double>(), 1e-13) << n;
  }
  const Tensor both = cat_map({.trajectories = 2, .steps = 4, .rotation = true});
  EXPECT_EQ(both.size(2), 3);
  const Tensor step =
      torch::remainder(both.select(2, 0).slice(1, 1) - both.select(2, 0).slice(1, 0, 4), kTwoPi);
  EXPECT_LT((step - std::sqrt(2.0)).abs().max().item<double>(), 1e-12);
}

TEST(Dynamics, PairsAgreeAtEverySampleAndDifferInTheGap) {
  for (const auto& made :
       {disc_pair({.points = 500, .inside = 60}), interval_pair({.points = 500, .inside = 60})}) {
    EXPECT_TRUE(torch::equal(made.y, made.other));
    EXPECT_LT(made.low, made.high);
    // All but those next to the gap's ends, where the bump is zero to all digits.
    const Tensor moved = (made.y_inside - made.other_inside).abs().amax(1) > 1e-9;
    EXPECT_GT(moved.to(torch::kInt64).sum().item<int64_t>(), 45);
    EXPECT_LE(made.other_inside.abs().max().item<double>(), 1 + 1e-12);
  }
}

TEST(Dynamics, TorusSkewHasItsEigenfunctionAlongTheFibre) {
  // f = e^{i (y - u(x))} turns by a constant factor (here 1): u of the 5 harmonics.
  const TorusSkewOptions options{
      .trajectories = 4, .steps = 50, .harmonics = 5, .agree = 3, .exponent = .5};
  const auto made = torus_skew(options);
  const Tensor x = made.trajectories.select(2, 0), y = made.trajectories.select(2, 1);
  Tensor u = torch::zeros_like(x);
  for (int q = 1; q <= 5; ++q) u += 2 * torch::cos(x * q) * std::pow(q, q <= 3 ? -1.0 : -.5);
  const Tensor f = torch::polar(torch::ones_like(u), y - u);
  EXPECT_LT((f.slice(1, 1) - f.slice(1, 0, 50)).abs().max().item<double>(), 1e-11);
  EXPECT_NEAR(made.energy[1], 2 * (1 + .25), 1e-14);
}

TEST(Dynamics, FlowsFollowTheirFields) {
  for (const bool first : {true, false}) {
    const FlowOptions options{.steps = 400, .dt = 1e-3, .substeps = 1};
    const Tensor x = first ? lorenz(options) : rossler(options);
    const Tensor slope = (x.slice(0, 2) - x.slice(0, 0, -2)) / 2e-3, mid = x.slice(0, 1, -1);
    const Tensor a = mid.select(1, 0), b = mid.select(1, 1), c = mid.select(1, 2);
    const Tensor field =
        first ? torch::stack({10 * (b - a), a * (28 - c) - b, a * b - 8.0 / 3 * c}, 1)
              : torch::stack({-b - c, a + 0.1 * b, 0.1 + c * (a - 14)}, 1);
    // Central differences: dt^2 / 6 times third derivatives of up to 1e5 (Lorenz).
    EXPECT_LT((slope - field).abs().max().item<double>(), 0.1);
  }
}

TEST(Dynamics, SeasonalFieldIsThreeDampedWavesAndNoise) {
  const auto made = seasonal_field({.pixels = 400, .steps = 120});
  // Rank 6: three pairs.
  const Tensor s = torch::linalg_svdvals(made.clean);
  EXPECT_GT(s[5].item<double>(), 1e-3 * s[0].item<double>());
  EXPECT_LT(s[6].item<double>(), 1e-12 * s[0].item<double>());
  const Tensor noise = made.field - made.clean;
  const double ratio = (noise.square().mean() / made.clean.square().mean()).sqrt().item<double>();
  EXPECT_NEAR(ratio, 0.5, 0.05);
  const Tensor a = noise.slice(0, 1), b = noise.slice(0, 0, -1);
  EXPECT_NEAR(((a * b).mean() / b.square().mean()).item<double>(), 0.6, 0.1);
}

}  // namespace
}  // namespace ritz::studies
