#include "studies/generators/design_functions.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"

namespace ritz::studies {
namespace {

TEST(DesignFunctions, DiffusionOfConstantConductivityIsTorsion) {
  // -Laplace u = 1 in the unit square: the integral of u is 0.0351442537 (Timoshenko). Errors of
  // the finite volumes are of second order: 4 times less on twice as many.
  const Tensor centre = torch::zeros({1, 2}, torch::kFloat64);
  const double exact = 0.0351442537;
  const double coarse = diffusion_mean(centre, 16)[0].item<double>() - exact;
  const double fine = diffusion_mean(centre, 32)[0].item<double>() - exact;
  EXPECT_LT(std::abs(fine), 2e-4);
  EXPECT_NEAR(coarse / fine, 4, 0.2);
}

TEST(DesignFunctions, DiffusionKnowsLeftFromRightOnlyBySymmetry) {
  const Tensor x = torch::tensor({{0.7, 0.4}, {-0.7, 0.4}, {0.7, -0.4}}, torch::kFloat64);
  const Tensor mean = diffusion_mean(x, 20);
  EXPECT_NEAR(mean[0].item<double>(), mean[1].item<double>(), 1e-10);  // mirrored
  EXPECT_GT(std::abs((mean[0] - mean[2]).item<double>()), 1e-4);
}

TEST(DesignFunctions, HaveTheirFormulas) {
  const Tensor x = torch::tensor({{0.5}}, torch::kFloat64);
  EXPECT_NEAR(design_function("bump")(x)[0].item<double>(), std::exp(-0.0625), 1e-15);
  EXPECT_NEAR(design_function("runge")(x)[0].item<double>(), 1 / 2.25, 1e-15);
  EXPECT_NEAR(design_function("exponential")(x.repeat({1, 3}))[0].item<double>(), std::exp(-1.5),
              1e-15);
  for (const auto& name : design_function_names()) EXPECT_NO_THROW(design_function(name));
  EXPECT_THROW(design_function("runge")(x.repeat({1, 2})), InvalidArgument);
  EXPECT_THROW(diffusion_mean(x, 8), InvalidArgument);
  EXPECT_THROW(design_function("hat"), InvalidArgument);
}

}  // namespace
}  // namespace ritz::studies
