#include "ritz/optim/batch_scaling/learner.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/nn/models.h"
#include "ritz/optim/batch_scaling/damping.h"
#include "ritz/optim/first_order.h"
#include "tests/dist/launch.h"

namespace ritz::optim {
namespace {

TEST(HeavyBall, EqualCurvaturesNeedNoMomentum) {
  const auto chosen = heavy_ball({4, 4}, 0.25);
  EXPECT_EQ(chosen.momentum, 0);
  EXPECT_DOUBLE_EQ(chosen.lr, 0.25 / 4);
}

TEST(HeavyBall, MomentumStaysBelowItsCapAndTheRateBelowStability) {
  for (const double l : {1e-3, 1e-2, 0.1, 0.5, 1.0}) {
    const auto chosen = heavy_ball({1, l}, 1, 0.9);
    EXPECT_GE(chosen.momentum, 0);
    EXPECT_LE(chosen.momentum, 0.9);
    EXPECT_LE(chosen.lr, 2 * (1 + chosen.momentum));
  }
  EXPECT_EQ(heavy_ball({1, 1e-4}, 1, 0.9).momentum, 0.9);
  // Uncapped: Polyak's optimum.
  const auto polyak = heavy_ball({9, 1}, 1, 0.9);
  EXPECT_DOUBLE_EQ(polyak.lr, 0.25);        // (2 / (3 + 1))^2
  EXPECT_DOUBLE_EQ(polyak.momentum, 0.25);  // ((3 - 1) / (3 + 1))^2
}

TEST(HeavyBall, ScalingTheLossScalesTheRateAlone) {
  const ProbeQuadrature spectrum{{-0.2, 0.01, 0.4, 3}, {0.1, 0.6, 0.2, 0.1}, {}};
  for (const auto rule :
       {FloorRule::positive_mean, FloorRule::smallest_positive, FloorRule::bulk_edge}) {
    auto scaled = spectrum;
    for (double& theta : scaled.nodes) theta *= 7;
    const auto one = heavy_ball(curvature_range(spectrum, rule));
    const auto seven = heavy_ball(curvature_range(scaled, rule));
    EXPECT_NEAR(seven.lr, one.lr / 7, 1e-15);
    EXPECT_NEAR(seven.momentum, one.momentum, 1e-15);
  }
}

TEST(CurvatureRange, HasThreeFloors) {
  const ProbeQuadrature q{{-0.2, 0.002, 0.4, 3}, {0.1, 0.6, 0.2, 0.1}, {}};
  EXPECT_DOUBLE_EQ(curvature_range(q).largest, 3);
  EXPECT_NEAR(curvature_range(q).smallest, 0.6 * 0.002 + 0.2 * 0.4 + 0.1 * 3, 1e-15);
  EXPECT_DOUBLE_EQ(curvature_range(q, FloorRule::smallest_positive).smallest, 0.4);  // 0.002 < 3e-3
  EXPECT_DOUBLE_EQ(curvature_range(q, FloorRule::bulk_edge).smallest, 0.2);
  // The largest magnitude may be negative.
  EXPECT_DOUBLE_EQ(curvature_range({{-5, 1}, {0.5, 0.5}, {}}).largest, 5);
  EXPECT_DOUBLE_EQ(curvature_range({{-5, -1}, {0.5, 0.5}, {}}).smallest, 5e-3);
  EXPECT_EQ(curvature_range({{0}, {1}, {}}).largest, 0);
  EXPECT_EQ(parse_floor_rule("pos"), FloorRule::smallest_positive);
  EXPECT_THROW(parse_floor_rule("mean"), InvalidArgument);
}

/// Logistic regression, so that the curvature is positive and tame.
struct Problem {
  nn::Network network;
  nn::Loss loss;
  Split data;
};
Problem problem(int64_t N = 48) {
  RandomStream random(3, stream_id("learner-test"));
  const auto X = random.normal({N, 5}, torch::kFloat64);
  return {nn::make_network("mlp:5-3", {.input_shape = {5}, .tensor = torch::kFloat64, .seed = 1}),
          {},
          {X, random.integers({N}, 0, 3)}};
}

TEST(Learner, DecidesBeforeTheFirstStepAndThenEverySoOften) {
  auto p = problem();
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone, {.batch = 8});
  EXPECT_EQ(learner.every(), 3);  // 48 / (2 * 8)
  Controls controls{.lr = 123, .momentum = {}};
  learner.before_step(1, controls);
  const double first = controls.lr;
  EXPECT_LT(first, 123);
  ASSERT_TRUE(controls.momentum.has_value());
  controls = {.lr = 123, .momentum = {}};
  learner.before_step(3, controls);
  EXPECT_EQ(controls.lr, first);
  learner.before_step(4, controls);
  EXPECT_NE(controls.lr, first);  // another sub-sample
}

TEST(Learner, IsHeavyBallOnTheCurvatureOfItsSubSample) {
  auto p = problem();
  dist::ProcessGroup alone;
  // All samples and all of the space: no randomness is left but the start vector's in l.
  SpectralLearner learner(p.network, p.loss, p.data, alone,
                          {.batch = 8, .sample = 48, .steps = 18, .floor = FloorRule::bulk_edge});
  Controls controls;
  learner.before_step(1, controls);
  const auto H = to_dense(*nn::hessian({p.network, p.loss, p.data.inputs, p.data.targets}));
  const auto values = torch::linalg_eigvalsh((H + H.t()) / 2);
  const double L = values[-1].item<double>();
  const auto expected = heavy_ball({L, 1e-3 * L});  // softmax is singular: theta_min is 0
  EXPECT_NEAR(controls.lr, expected.lr, 1e-8);
  EXPECT_NEAR(controls.momentum.value(), expected.momentum, 1e-8);
}

TEST(Learner, NeverTrustsLessCurvatureThanItJustSaw) {
  auto p = problem();
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone, {.batch = 8});
  EXPECT_DOUBLE_EQ(learner.update({1, 0.1}).lr, heavy_ball({1, 0.1}).lr);
  // Rising: at once. Falling: half way in the logarithm. l: half way either way.
  EXPECT_DOUBLE_EQ(learner.update({16, 0.4}).lr, heavy_ball({16, 0.2}).lr);
  EXPECT_NEAR(learner.update({4, 0.2}).lr, heavy_ball({8, 0.2}).lr, 1e-15);
}

TEST(Learner, KeepsItsValuesWhereThereIsNoCurvature) {
  auto p = problem();
  p.data.inputs.fill_(std::numeric_limits<double>::infinity());
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone, {.batch = 8});
  Controls controls{.lr = 0.5, .momentum = 0.7};
  learner.before_step(1, controls);
  EXPECT_EQ(controls.lr, 0.5);
  EXPECT_EQ(controls.momentum, 0.7);
  EXPECT_EQ(learner.kept(), 1);
}

TEST(Learner, CauchyTakesTheExactLineSearchAfterAnEpoch) {
  auto p = problem();
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone,
                          {.batch = 8, .sample = 48, .cauchy = true});
  EXPECT_EQ(learner.every(), 6);
  Controls controls{.lr = 0.5, .momentum = 0.7};
  learner.before_step(6, controls);
  EXPECT_EQ(controls.lr, 0.5);  // the warm start's own
  learner.before_step(7, controls);
  const nn::Objective objective{p.network, p.loss, p.data.inputs, p.data.targets};
  const auto g = nn::gradient(objective);
  const double expected = (g.dot(g) / g.dot(nn::hessian(objective)->apply(g))).item<double>();
  EXPECT_NEAR(controls.lr, expected, 1e-10 * expected);
  EXPECT_EQ(controls.momentum, 0.7);
}

TEST(Learner, MomentumMayBeFixedAndGaussNewtonTaken) {
  auto p = problem();
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone,
                          {.batch = 8, .ggn = true, .momentum = 0.5});
  Controls controls;
  learner.before_step(1, controls);
  EXPECT_EQ(controls.momentum, 0.5);
  // For a model linear in its parameters both matrices are the same.
  SpectralLearner hessian(p.network, p.loss, p.data, alone, {.batch = 8});
  Controls other;
  hessian.before_step(1, other);
  EXPECT_NEAR(controls.lr, other.lr, 1e-9);
}

TEST(Learner, ResumesFromItsState) {
  auto p = problem();
  dist::ProcessGroup alone;
  SpectralLearner learner(p.network, p.loss, p.data, alone, {.batch = 8});
  Controls controls;
  for (int64_t step = 1; step <= 5; ++step) learner.before_step(step, controls);
  SpectralLearner resumed(p.network, p.loss, p.data, alone, {.batch = 8});
  resumed.load_state_dict(learner.state_dict());
  Controls again;
  for (int64_t step = 6; step <= 10; ++step) {
    learner.before_step(step, controls);
    resumed.before_step(step, again);
    EXPECT_EQ(controls.lr, again.lr);
    EXPECT_EQ(controls.momentum, again.momentum);
  }
  EXPECT_THROW(resumed.load_state_dict({}), DataError);
  EXPECT_THROW(resumed.load_state_dict({{"learner", torch::zeros({3})}}), DataError);
}

TEST(Learner, TrainsWithoutAKnob) {
  auto p = problem();
  dist::ProcessGroup alone;
  Sgd sgd(p.network.parameter_values(), {.lr = 1, .momentum = 0.5});
  SpectralLearner learner(p.network, p.loss, p.data, alone, {.batch = 8});
  const double before = evaluate(p.network, p.loss, p.data, alone).loss;
  train({p.network, p.loss, p.data, sgd, alone, &learner}, {.batch = 8, .steps = 60, .lr = 1});
  EXPECT_LT(evaluate(p.network, p.loss, p.data, alone).loss, 0.9 * before);
}

TEST(Learner, RefusesWhatCannotBe) {
  auto p = problem();
  dist::ProcessGroup alone;
  const auto make = [&](const LearnerOptions& options) {
    SpectralLearner(p.network, p.loss, p.data, alone, options);
  };
  EXPECT_THROW(make({.batch = 49}), InvalidArgument);
  EXPECT_THROW(make({.batch = 0}), InvalidArgument);
  EXPECT_THROW(make({.batch = 8, .sample = 49}), InvalidArgument);
  EXPECT_THROW(make({.batch = 8, .steps = 0}), InvalidArgument);
  EXPECT_THROW(make({.batch = 8, .momentum = 1.5}), InvalidArgument);
  EXPECT_THROW(make({.batch = 8, .safety = 0}), InvalidArgument);
  EXPECT_THROW(SpectralLearner(p.network, p.loss, {}, alone), InvalidArgument);
}

TEST(Ranks, DISABLED_AgreeOnTheLearnersChoice) {
  auto p = problem();
  auto group = dist::ProcessGroup::from_environment();
  // Only rank 0's data count.
  if (group.rank() > 0) p.data.inputs = p.data.inputs * 3;
  SpectralLearner learner(p.network, p.loss, p.data, group, {.batch = 8});
  Controls controls;
  learner.before_step(1, controls);
  auto mine = torch::tensor({controls.lr, controls.momentum.value()}, torch::kFloat64);
  const auto all = group.all_gather(mine);
  EXPECT_TRUE(torch::equal(all[0], all[1]));
}

TEST(Ranks, RankZeroDecidesForAll) {
  for (const auto pid : test::start_ranks(2, "Ranks.DISABLED_AgreeOnTheLearnersChoice"))
    EXPECT_EQ(test::finish(pid), 0);
}

TEST(VarianceDamping, FollowsItsRule) {
  VarianceDamping damping({.base = 0.1, .gap = 10});
  EXPECT_TRUE(damping.due(1));
  EXPECT_FALSE(damping.due(10));
  EXPECT_TRUE(damping.due(11));
  EXPECT_DOUBLE_EQ(damping.update(2), 0.7 * 0.1 + 0.3 * 2.1);
  EXPECT_DOUBLE_EQ(damping.lr_factor(), 1 + damping.damping());
  const double before = damping.damping();
  EXPECT_EQ(damping.update(std::numeric_limits<double>::infinity()), before);
  damping.set_damping(0.4);
  EXPECT_DOUBLE_EQ(damping.update(0), 0.7 * 0.4 + 0.3 * 0.1);
  EXPECT_THROW(VarianceDamping({.base = 0}), InvalidArgument);
}

TEST(LanczosPreconditioned, InvertsTheCurvatureItHasSeen) {
  const auto H = torch::diag(torch::tensor({-4., 0.5, 1., 9., 20.}, torch::kFloat64));
  const auto run = lanczos(DenseOperator(H), {.steps = 5, .seed = 1});
  const auto g = RandomStream(2).normal({5}, torch::kFloat64);
  // All of the space was seen: exactly (|H| + beta)^-1 g.
  const auto expected = g / (H.diagonal().abs() + 3);
  EXPECT_LT((lanczos_preconditioned(run, g, 3) - expected).abs().max().item<double>(), 1e-10);
  EXPECT_THROW(lanczos_preconditioned(run, torch::zeros({4}, torch::kFloat64)), InvalidArgument);
  EXPECT_THROW(lanczos_preconditioned(run, g, 0), InvalidArgument);
}

}  // namespace
}  // namespace ritz::optim
