#include "ritz/optim/batch_scaling.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/nn/models.h"

namespace ritz::optim {
namespace {

nn::Objective objective_of(int64_t N, torch::Dtype dtype = torch::kFloat64) {
  RandomStream random(6, stream_id("scaling-test"));
  const auto X = random.normal({N, 5}, dtype);
  return {nn::make_network("mlp:5-4-3:tanh", {.input_shape = {5}, .tensor = dtype, .seed = 3}),
          {},
          X,
          random.integers({N}, 0, 3)};
}

TEST(MeasureScaling, PutsItsPartsTogether) {
  const auto objective = objective_of(96);
  const auto result = measure_scaling(
      objective, {.batch_sizes = {4}, .fit_at = {16, 24}, .spectra = {.batches = 12, .steps = 39}});
  const auto H = to_dense(*nn::hessian(objective));
  const auto values = torch::linalg_eigvalsh((H + H.t()) / 2);
  EXPECT_NEAR(result.model.lambda_1, values[-1].item<double>(), 1e-3 * result.model.lambda_1);
  ASSERT_EQ(result.batches.size(), 3u);
  EXPECT_EQ(result.batches[0].batch, 4);
  EXPECT_EQ(result.batches[2].batch, 24);
  std::vector<ExcessPoint> points;
  for (int i : {1, 2})
    points.push_back({result.batches[i].b, result.batches[i].lambda_1 - result.model.lambda_1});
  EXPECT_DOUBLE_EQ(result.model.c, fit_excess(points).c);
  EXPECT_EQ(result.model.theory, Theory::wigner);
  EXPECT_GT(result.batches[0].lambda_1, result.batches[2].lambda_1);
}

TEST(MeasureScaling, DefaultsSuitSmallData) {
  const auto result = measure_scaling(objective_of(40), {.spectra = {.batches = 3}});
  EXPECT_EQ(result.fit_at, (std::vector<int64_t>{5, 10}));
}

TEST(MeasureScaling, TakesWishartNoiseForGaussNewton) {
  for (const auto kind : {CurvatureKind::ggn, CurvatureKind::fisher}) {
    const auto result = measure_scaling(objective_of(40, torch::kFloat32),
                                        {.batch_sizes = {8},
                                         .estimator = NoiseEstimator::directional,
                                         .kind = kind,
                                         .full = {.tolerance = 1e-2},
                                         .spectra = {.batches = 3}});
    EXPECT_EQ(result.model.theory, Theory::wishart);
    EXPECT_GT(result.model.c, 0);
    EXPECT_GE(result.model.bottom(8).value, 0);
  }
}

// Directional noise is the second-order term of what the fit measures: the same to within a factor.
TEST(MeasureScaling, EstimatorsAgreeOnTheOrderOfMagnitude) {
  const auto objective = objective_of(400);
  const auto fit =
      measure_scaling(objective, {.fit_at = {100}, .spectra = {.batches = 64, .steps = 39}});
  const auto directional = measure_scaling(objective, {.estimator = NoiseEstimator::directional});
  EXPECT_GT(fit.model.c / directional.model.c, 1 / 3.);
  EXPECT_LT(fit.model.c / directional.model.c, 3);
}

TEST(MeasureScaling, RefusesWhatCannotBe) {
  const auto objective = objective_of(20);
  EXPECT_THROW(measure_scaling(objective, {.batch_sizes = {21}}), InvalidArgument);
  EXPECT_THROW(measure_scaling(objective, {.batch_sizes = {0}}), InvalidArgument);
  EXPECT_THROW(measure_scaling(objective, {.fit_at = {21}}), InvalidArgument);
  EXPECT_THROW(measure_scaling(objective, {.spectra = {.steps = 0}}), InvalidArgument);
  EXPECT_THROW(measure_scaling(objective, {.full = {.max_steps = 0}}), InvalidArgument);
  auto sum = objective;
  sum.loss.mean = false;
  EXPECT_THROW(measure_scaling(sum), InvalidArgument);
  EXPECT_THROW(measure_scaling({objective.network, {}, {}, {}}), InvalidArgument);
  EXPECT_THROW(measure_scaling(nn::subset(objective, torch::arange(0))), InvalidArgument);
}

}  // namespace
}  // namespace ritz::optim
