#include "ritz/optim/batch_scaling/rules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"

namespace ritz::optim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

NoiseModel model_of(double lambda_1, double c, Theory theory = Theory::wigner) {
  return model_from_fit(theory, lambda_1, -0.5, 1000, {.c = c});
}

TEST(Fit, RecoversItsConstantAndSaysHowWellItFits) {
  const auto exact = fit_excess({{8, 5 / 8.}, {32, 5 / 32.}, {100, 0.05}});
  EXPECT_NEAR(exact.c, 5, 1e-12);
  EXPECT_NEAR(exact.r2.value(), 1, 1e-12);
  const auto rough = fit_excess({{8, 0.9}, {32, 0.3}});
  EXPECT_NEAR(rough.c, (0.9 / 8 + 0.3 / 32) / (1 / 64. + 1 / 1024.), 1e-12);
  EXPECT_LT(rough.r2.value(), 1);
  EXPECT_FALSE(fit_excess({{8, 1.0}}).r2.has_value());
}

TEST(Fit, TheFullDataSaysNothing) {
  EXPECT_DOUBLE_EQ(fit_excess({{8, 1.0}, {kInfinity, 0.3}}).c, 8);
  EXPECT_THROW(fit_excess({{kInfinity, 0.0}}), InvalidArgument);
  EXPECT_THROW(fit_excess({}), InvalidArgument);
  EXPECT_THROW(fit_excess({{0, 1.0}}), InvalidArgument);
}

TEST(Model, EstimatorsAgreeOnWignerNoise) {
  const double P_sigma2 = 40, lambda = 8;
  const auto fit = model_from_fit(Theory::wigner, lambda, -3, 10, {.c = P_sigma2 / lambda});
  const auto directional = model_from_directional(Theory::wigner, lambda, -3, 10, P_sigma2);
  const auto frobenius = model_from_frobenius(Theory::wigner, lambda, -3, 10, P_sigma2);
  for (const double b : {0.5, 2., 50.}) {
    EXPECT_DOUBLE_EQ(fit.top(b).value, wigner_top(lambda, std::sqrt(P_sigma2 / b)).value);
    EXPECT_DOUBLE_EQ(fit.top(b).value, directional.top(b).value);
    EXPECT_DOUBLE_EQ(fit.top(b).value, frobenius.top(b).value);
    EXPECT_DOUBLE_EQ(fit.bottom(b).value, wigner_bottom(-3, std::sqrt(P_sigma2 / b)).value);
  }
  EXPECT_DOUBLE_EQ(fit.critical_batch(), P_sigma2 / (lambda * lambda));
  EXPECT_DOUBLE_EQ(fit.threshold_batch(), fit.critical_batch());
}

TEST(Model, WishartNoiseIsInvertedFromItsExcess) {
  const double ell = 9, sigma2 = 0.02;
  const int64_t P = 500;
  const double c = ell * P * sigma2 / (ell - sigma2);
  const auto fit = model_from_fit(Theory::wishart, ell, 0, P, {.c = c});
  EXPECT_NEAR(fit.bulk_scale(), sigma2, 1e-15);
  EXPECT_NEAR(fit.top(20).value, ell + c / 20, 1e-12);
  // v = P sigma^4 for Gaussian samples of variance sigma^2 (P large).
  const auto frobenius = model_from_frobenius(Theory::wishart, ell, 0, P, P * sigma2 * sigma2);
  EXPECT_NEAR(frobenius.c, c, 1e-12 * c);
  // At its threshold the spike meets the bulk's edge.
  const double b = fit.threshold_batch();
  EXPECT_NEAR(ell, sigma2 * (1 + std::sqrt(P / b)), 1e-12);
}

TEST(Model, ParsesItsNames) {
  for (const auto theory : {Theory::wigner, Theory::wishart})
    EXPECT_EQ(parse_theory(theory_name(theory)), theory);
  for (const auto e : {NoiseEstimator::fit, NoiseEstimator::directional, NoiseEstimator::frobenius})
    EXPECT_EQ(parse_estimator(estimator_name(e)), e);
  EXPECT_THROW(parse_theory("semicircle"), InvalidArgument);
  EXPECT_THROW(parse_estimator(""), InvalidArgument);
}

TEST(Rules, MaximalRateGrowsWithTheBatchUpToTheFullData) {
  for (const auto theory : {Theory::wigner, Theory::wishart}) {
    const auto model = model_of(4, 30, theory);
    double last = 0;
    for (double b = 0.25; b < 1e6; b *= 2) {
      const double rate = max_learning_rate(model, b).value();
      EXPECT_GT(rate, last);
      EXPECT_LE(rate, 2 / model.lambda_1);
      last = rate;
    }
    EXPECT_DOUBLE_EQ(max_learning_rate(model, kInfinity).value(), 0.5);
  }
}

TEST(Rules, ScaleAsTheTheoryHasIt) {
  const auto model = model_of(4, 400);  // b_crit = 100
  const auto rate = [&](double b) { return max_learning_rate(model, b).value(); };
  EXPECT_NEAR(rate(8) / rate(2), 2, 1e-12);  // below: square root
  EXPECT_NEAR(rate(200), 2 / (4 + 400 / 200.), 1e-12);
  EXPECT_NEAR(max_learning_rate(model, 200, 0.9).value(), 1.9 * rate(200), 1e-12);
  EXPECT_NEAR(spectral_rule(model, {.lr = 0.1, .b = 200}, 400).value(), 0.1 * 6 / 5, 1e-12);
  EXPECT_DOUBLE_EQ(linear_rule(0.1, 32, 128), 0.4);
  EXPECT_DOUBLE_EQ(sqrt_rule(0.1, 32, 128), 0.2);
  EXPECT_DOUBLE_EQ(noise_scale_rule(0.5, 96, 32), 0.125);
  EXPECT_NEAR(adaptive_max_learning_rate(model, 1e-2, 25).value(), 1e-2 * 5 / 40, 1e-15);
}

TEST(Rules, DampingFollowsItsLaw) {
  const auto model = model_of(4, 400);
  // alpha = 2: alpha / 2 (lambda + c / b) - lambda = c / b, which is the law.
  EXPECT_NEAR(min_damping(model, 2, 200), 2, 1e-12);
  EXPECT_NEAR(damping_law(model, 2, 200), 2, 1e-12);
  EXPECT_EQ(min_damping(model, 0.01, 200), 0);
  EXPECT_EQ(min_damping(model, 0.01, 200, 1e-6), 1e-6);
  EXPECT_NEAR(damping_law(model, 1, 400), 0.5, 1e-12);
}

TEST(Rules, WithoutPositiveCurvatureThereIsNone) {
  const auto model = model_of(-1, 3);
  EXPECT_FALSE(model.positive_curvature());
  EXPECT_FALSE(max_learning_rate(model, 10).has_value());
  EXPECT_FALSE(spectral_rule(model, {.lr = 0.1, .b = 10}, 20).has_value());
  EXPECT_FALSE(adaptive_max_learning_rate(model, 0.1, 10).has_value());
  const auto rules = batch_rules(model, {1, 10}, {.samples = 100});
  EXPECT_FALSE(rules[0].lr_sgd.has_value());
  EXPECT_FALSE(rules[1].damping_min.has_value());
  EXPECT_TRUE(std::isnan(model.top(10).value));
}

TEST(Rules, TableStartsFromTheTunedPoint) {
  const auto model = model_of(4, 400);
  const auto rules = batch_rules(model, {25, 50, 100}, {.samples = 100, .lr = 0.3, .at_batch = 50});
  EXPECT_DOUBLE_EQ(rules[1].lr_sgd.value(), 0.3);
  EXPECT_DOUBLE_EQ(rules[1].lr_adam.value(), 0.3);
  EXPECT_NEAR(rules[0].lr_adam.value(), 0.3 / std::sqrt(2), 1e-15);
  EXPECT_EQ(rules[2].b, kInfinity);
  EXPECT_NEAR(rules[2].lr_sgd.value(), 0.3 * model.top(100).value / 4, 1e-12);
  EXPECT_NEAR(rules[0].damping_law.value(), rules[0].lr_sgd.value() * 400 / (2 * rules[0].b),
              1e-12);
  EXPECT_FALSE(batch_rules(model, {25}, {.samples = 100})[0].lr_adam.has_value());
  EXPECT_THROW(batch_rules(model, {101}, {.samples = 100}), InvalidArgument);
  EXPECT_THROW(batch_rules(model, {5}, {.samples = 100, .lr = 0.1, .at_batch = 0}),
               InvalidArgument);
}

}  // namespace
}  // namespace ritz::optim
