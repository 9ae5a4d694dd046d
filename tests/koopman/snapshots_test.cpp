#include "ritz/koopman/snapshots.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

namespace ritz::koopman {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Tensor counting(at::IntArrayRef shape, c10::ScalarType type = torch::kFloat64) {
  int64_t n = 1;
  for (const int64_t s : shape) n *= s;
  return torch::arange(n, torch::kFloat64).reshape(shape).to(type);
}

TEST(Snapshots, OneTrajectoryGivesViewsOfTheCallersMemory) {
  const Tensor data = counting({7, 3}, torch::kFloat32);
  const Snapshots s = trajectories(data, {.dt = 0.5});
  EXPECT_EQ(s.pairs(), 6);
  EXPECT_EQ(s.x().data_ptr(), data.data_ptr());
  EXPECT_TRUE(s.y().equal(data.slice(0, 1)));
  EXPECT_EQ(s.x(2, 4).data_ptr(), data[2].data_ptr());
  EXPECT_NEAR(s.pair_weights().sum().item<double>(), 1, 1e-15);
}

TEST(Snapshots, NoPairJoinsTwoTrajectories) {
  const Tensor data = counting({3, 4, 2}, torch::kComplexDouble);
  const Snapshots s = trajectories(data);
  ASSERT_EQ(s.pairs(), 9);
  EXPECT_TRUE(s.x().equal(data.slice(1, 0, 3).reshape({9, 2})));
  EXPECT_TRUE(s.y().equal(data.slice(1, 1).reshape({9, 2})));
  EXPECT_TRUE(s.x(2, 5).equal(data.slice(1, 0, 3).reshape({9, 2}).slice(0, 2, 5)));
  const Snapshots list = trajectories(std::vector<Tensor>{data[0], data[1].slice(0, 0, 2)});
  EXPECT_EQ(list.pairs(), 4);
  EXPECT_TRUE(list.y(3, 4).equal(data[1].slice(0, 1, 2)));
}

TEST(Snapshots, AMaskedStateTakesItsPairsAway) {
  Tensor data = counting({6, 2});
  data[2][1] = kNaN;
  EXPECT_THROW(trajectories(data), InvalidArgument);
  const Tensor states = torch::tensor({0, 0, 1, 0, 0, 0});
  const Snapshots s = trajectories(data, {.mask = states});
  EXPECT_TRUE(s.rows.equal(torch::tensor({0, 3, 4})));
  EXPECT_TRUE(s.y().isfinite().all().item<bool>());
}

TEST(Snapshots, AMaskedFeatureGoesAndIsRemembered) {
  Tensor data = counting({2, 3, 4});
  data.select(2, 1).fill_(kNaN);
  const Tensor land = torch::tensor({0., kNaN, 0., 0.});
  const Snapshots s = trajectories(data, {.mask = land});
  EXPECT_EQ(s.dimension(), 3);
  EXPECT_TRUE(s.features.equal(torch::tensor({0, 2, 3})));
  // The same from a mask of every number, which also takes one state.
  Tensor all = data.isnan();
  all[1][2][0] = true;
  const Snapshots t = trajectories(data, {.mask = all});
  EXPECT_EQ(t.dimension(), 3);
  EXPECT_TRUE(t.rows.equal(torch::tensor({0, 1, 3})));
}

TEST(Snapshots, PairsKeepTheirImagesThroughMasksAndSelection) {
  const Tensor X = counting({5, 2}), Y = X * 10;
  const Snapshots s =
      pairs(X, Y, {.weights = torch::arange(1, 6), .mask = torch::tensor({0, 1, 0, 0, 0})});
  EXPECT_TRUE(s.y().equal(s.x() * 10));
  EXPECT_TRUE(s.weights.equal(torch::tensor({1., 3., 4., 5.}, torch::kFloat64)));
  const Snapshots part = select(s, torch::tensor({1, 3}));
  EXPECT_TRUE(part.x().equal(X.index_select(0, torch::tensor({2, 4}))));
  EXPECT_TRUE(part.y().equal(part.x() * 10));
  EXPECT_FALSE(s.consecutive());
}

TEST(Snapshots, WeightsOfStatesArePassedToTheirPairs) {
  const Snapshots s = trajectories(counting({2, 3, 1}), {.weights = torch::arange(1., 7.)});
  EXPECT_TRUE(s.weights.equal(torch::tensor({1., 2., 4., 5.}, torch::kFloat64)));
}

TEST(Snapshots, TheHoldoutIsTheLastPairsOrWholeTrajectories) {
  const Split one = split(trajectories(counting({11, 1})), 0.25);
  EXPECT_EQ(one.train.pairs(), 7);
  EXPECT_EQ(one.holdout.pairs(), 3);
  EXPECT_EQ(one.holdout.x()[0].item<double>(), 7);
  EXPECT_NEAR(one.train.pair_weights()[0].item<double>(), 1. / 7, 1e-16);

  const Split many = split(trajectories(counting({5, 4, 1})), 0.25);
  EXPECT_EQ(many.holdout.pairs(), 6);  // two of five
  EXPECT_EQ(many.holdout.trajectory[0].item<int64_t>(), 3);
  EXPECT_EQ(split(trajectories(counting({30, 3, 1})), 0.1).holdout.pairs(), 6);  // three of thirty

  EXPECT_EQ(split(trajectories(counting({5, 1})), 0).holdout.pairs(), 0);
  EXPECT_THROW(split(trajectories(counting({2, 1})), 0.5), InvalidArgument);
}

TEST(Snapshots, DelaysStandSideBySideAndStayWithinTheirTrajectory) {
  const Tensor data = counting({2, 6, 2});
  const Snapshots s = trajectories(data), e = delay_embed(s, 3);
  ASSERT_EQ(e.pairs(), 6);  // windows 0, 1, 2 of four in each
  EXPECT_EQ(e.dimension(), 6);
  const auto window = [&](int64_t k, int64_t t) { return data[k].slice(0, t, t + 3).reshape({6}); };
  for (int64_t k = 0; k < 2; ++k) {
    for (int64_t t = 0; t < 3; ++t) {
      EXPECT_TRUE(e.x()[3 * k + t].equal(window(k, t)));
      EXPECT_TRUE(e.y()[3 * k + t].equal(window(k, t + 1)));
    }
  }
  EXPECT_EQ(e.states.data_ptr(), s.states.data_ptr());  // windows overlap in place
}

TEST(Snapshots, SpacedDelaysSkipStates) {
  const Tensor data = counting({9, 1});
  const Snapshots e = delay_embed(trajectories(data), 3, 2);
  ASSERT_EQ(e.pairs(), 4);
  EXPECT_TRUE(e.x()[1].equal(torch::tensor({1., 3., 5.}, torch::kFloat64)));
  EXPECT_TRUE(e.y()[3].equal(torch::tensor({4., 6., 8.}, torch::kFloat64)));
}

TEST(Snapshots, WhatCannotBePairedIsRefused) {
  const Tensor X = counting({5, 2});
  EXPECT_THROW(pairs(X, counting({4, 2})), InvalidArgument);
  EXPECT_THROW(trajectories(X.slice(0, 0, 1)), InvalidArgument);
  EXPECT_THROW(trajectories(X.to(torch::kInt64)), InvalidArgument);
  EXPECT_THROW(trajectories(X, {.weights = torch::tensor({1., 2., 0., 1., 1.})}), InvalidArgument);
  EXPECT_THROW(trajectories(X, {.weights = torch::ones({3})}), InvalidArgument);
  EXPECT_THROW(trajectories(X, {.mask = torch::ones({4})}), InvalidArgument);
  EXPECT_THROW(trajectories(X, {.mask = torch::ones({2})}), InvalidArgument);
  EXPECT_THROW(trajectories(X, {.dt = 0}), InvalidArgument);
  EXPECT_THROW(delay_embed(trajectories(X), 5), InvalidArgument);
  EXPECT_NO_THROW(delay_embed(trajectories(X), 4));
  EXPECT_THROW(delay_embed(pairs(X, X), 2), Unsupported);
}

}  // namespace
}  // namespace ritz::koopman
