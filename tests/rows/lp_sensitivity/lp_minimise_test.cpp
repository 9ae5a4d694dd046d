// Norm minimisation under one constraint, and regression.
#include "ritz/rows/lp_sensitivity/lp_minimise.h"

#include <gtest/gtest.h>

#include "ritz/base/error.h"
#include "ritz/rows/lp_sensitivity/detail/kernels.h"
#include "tests/rows/lp_sensitivity/oracle.h"

namespace ritz::tests {
namespace {

using rows::lp_minimise;
using rows::lp_regression;

TEST(LpKernels, WeightedGramAndProductsEqualTheirTensorForms) {
  for (const auto& [m, k] :
       {std::pair<int64_t, int64_t>{1, 1}, {7, 3}, {8, 4}, {301, 9}, {777, 22}}) {
    const auto D = gaussian(m, k, 3);
    const int64_t stride = (m + 7) / 8 * 8, count = (k + 3) / 4 * 4;
    auto padded = torch::zeros({count, stride}, torch::kFloat64);
    padded.slice(0, 0, k).slice(1, 0, m).copy_(D.t());
    auto w = torch::zeros({stride}, torch::kFloat64);
    w.slice(0, 0, m).copy_(gaussian(m, 1, 4).abs().squeeze(1));
    auto G = torch::empty({count, count}, torch::kFloat64);
    const rows::detail::Columns columns{padded.data_ptr<double>(), stride, count};
    rows::detail::weighted_gram(columns, w.data_ptr<double>(), G.data_ptr<double>());
    const auto expected = D.t().mm(D * w.slice(0, 0, m).unsqueeze(1));
    const double tolerance = 1e-15 * static_cast<double>(m + 8);
    EXPECT_LT((G.slice(0, 0, k).slice(1, 0, k) - expected).abs().max().item<double>(),
              tolerance * expected.abs().max().item<double>());
    auto x = torch::zeros({count}, torch::kFloat64);
    x.slice(0, 0, k).copy_(gaussian(k, 1, 5).squeeze(1));
    auto y = torch::empty({stride}, torch::kFloat64), g = torch::empty({count}, torch::kFloat64);
    rows::detail::multiply(columns, x.data_ptr<double>(), y.data_ptr<double>());
    EXPECT_LT((y.slice(0, 0, m) - D.mv(x.slice(0, 0, k))).abs().max().item<double>(), 1e-13);
    rows::detail::multiply_transposed(columns, w.data_ptr<double>(), g.data_ptr<double>());
    EXPECT_LT((g.slice(0, 0, k) - D.t().mv(w.slice(0, 0, m))).abs().max().item<double>(),
              tolerance * 10);
  }
}

TEST(LpMinimise, LeastL1NormIsThatOfTheBestVertex) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const auto D = heavy_rows(13, 3, seed);
    const auto found = lp_minimise(D, D[static_cast<int64_t>(seed)], {.p = 1});
    EXPECT_TRUE(found.converged);
    EXPECT_NEAR(found.value, l1_by_vertices(D, D[static_cast<int64_t>(seed)]), 1e-8 * found.value);
    EXPECT_NEAR(found.value, norm_p(D.mv(found.x), 1), 1e-12 * found.value);
  }
}

TEST(LpMinimise, EveryExponentAgreesWithASearchInOneUnknown) {
  for (const double p : {1.0, 1.01, 1.1, 1.3, 1.5, 1.9, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 30.0}) {
    const auto D = heavy_rows(41, 2, 11);
    const auto found = lp_minimise(D, D[5], {.p = p});
    EXPECT_TRUE(found.converged) << p << " gap " << found.gap;
    EXPECT_NEAR(found.value, by_golden_section(D, D[5], p), 1e-8 * found.value) << p;
    EXPECT_NEAR(D[5].dot(found.x).item<double>(), 1, 1e-11) << p;
  }
}

TEST(LpMinimise, GapIsProvenForEveryExponentAndShape) {
  for (const double p : {1.0, 1.02, 1.2, 1.34, 1.36, 1.5, 1.8, 3.0, 5.0, 12.0})
    for (const auto& [n, d] : {std::pair<int64_t, int64_t>{9, 8}, {60, 5}, {501, 17}}) {
      const auto D = heavy_rows(n, d, static_cast<uint64_t>(n));
      const auto found = lp_minimise(D, D[n - 1], {.p = p});
      EXPECT_TRUE(found.converged) << p << " " << n << "x" << d;
      EXPECT_LE(found.gap, 1e-9) << p << " " << n << "x" << d << " steps " << found.steps;
      EXPECT_LE(found.lower_bound, found.value * (1 + 1e-14));
      EXPECT_LE(found.steps, 45) << p << " " << n << "x" << d;
    }
}

TEST(LpMinimise, DualResidualVanishesForExponentsAboveOne) {
  const auto D = heavy_rows(200, 6, 2);
  for (const double p : {1.5, 1.8, 2.5, 4.0, 6.0}) {
    // A residual near zero is known to rounding, and its power p - 1 to rounding's power.
    const double bound = std::max(1e-8, 10 * std::pow(2.2e-16, p - 1));
    EXPECT_LT(lp_minimise(D, D[3], {.p = p, .tolerance = 1e-15}).dual_residual, bound) << p;
  }
}

TEST(LpMinimise, LowerBoundHoldsForEveryFeasiblePoint) {
  const auto D = heavy_rows(80, 4, 8);
  for (const double p : {1.0, 1.2, 1.7, 3.0, 6.0}) {
    const auto found = lp_minimise(D, D[0], {.p = p});
    RandomStream random(1, 2);
    for (int i = 0; i < 200; ++i) {
      auto x = found.x + 0.1 * random.normal({4}, torch::kFloat64) * found.x.abs().max();
      x /= D[0].dot(x);
      EXPECT_GE(norm_p(D.mv(x), p), found.lower_bound);
    }
  }
}

TEST(LpMinimise, ScalesAndRankDeficiencyChangeNothing) {
  const auto D = heavy_rows(50, 3, 5);
  const auto T = torch::tensor({{1e150, 0., 0., 1e150}, {0., 1e-150, 0., 0.}, {0., 0., 1., 0.}},
                               torch::kFloat64);
  for (const double p : {1.0, 1.5, 4.0}) {
    const double plain = lp_minimise(D, D[7], {.p = p}).value;
    const auto wild = D.mm(T);
    const auto found = lp_minimise(wild, wild[7], {.p = p});
    EXPECT_TRUE(found.feasible);
    EXPECT_NEAR(found.value, plain, 1e-8 * plain) << p;
    EXPECT_NEAR(norm_p(wild.mv(found.x), p), plain, 1e-8 * plain) << p;
  }
}

TEST(LpMinimise, ConstraintOutsideTheRowSpaceIsInfeasibleForNoDirectionCostsAnything) {
  auto D = torch::zeros({6, 3}, torch::kFloat64);
  D.slice(1, 0, 2).copy_(gaussian(6, 2, 1));
  const auto found = lp_minimise(D, torch::tensor({0., 0., 1.}, torch::kFloat64), {.p = 1});
  EXPECT_FALSE(found.feasible);
}

TEST(LpMinimise, Float32RowsGiveFloat32Points) {
  const auto D = heavy_rows(60, 4, 3).to(torch::kFloat32);
  const auto found = lp_minimise(D, D[2], {.p = 1});
  EXPECT_EQ(found.x.scalar_type(), torch::kFloat32);
  EXPECT_LE(found.gap, 1e-9);
}

TEST(LpRegression, MedianIsTheL1FitOfAConstant) {
  const auto A = torch::ones({9, 1}, torch::kFloat64);
  const auto b = torch::tensor({5., 1., 7., 1e6, 2., 3., -4., 8., 6.}, torch::kFloat64);
  const auto fit = lp_regression(A, b, {.p = 1});
  EXPECT_NEAR(fit.solution[0].item<double>(), 5, 1e-4);  // gap 1e-9 of an objective of 1e6
  EXPECT_LE(fit.gap, 1e-9);
}

TEST(LpRegression, L2FitIsLeastSquaresAndLargePTendsToTheMidrange) {
  const auto A = gaussian(40, 3, 1), b = gaussian(40, 1, 2).squeeze(1);
  const auto least = std::get<0>(torch::linalg_lstsq(A, b.unsqueeze(1))).squeeze(1);
  EXPECT_LT((lp_regression(A, b, {.p = 2}).solution - least).abs().max().item<double>(), 1e-12);
  const auto constant = torch::ones({5, 1}, torch::kFloat64);
  const auto values = torch::tensor({0., 1., 2., 3., 10.}, torch::kFloat64);
  const double mid = lp_regression(constant, values, {.p = 200}).solution[0].item<double>();
  EXPECT_NEAR(mid, 5, 0.1);
}

TEST(LpRegression, WeightsCountRowsTwice) {
  const auto A = heavy_rows(30, 3, 4), b = gaussian(30, 1, 5).squeeze(1);
  auto w = torch::ones({30}, torch::kFloat64);
  w[4] = 3;
  const auto again = torch::tensor({4, 4}, torch::kInt64);
  for (const double p : {1.0, 1.5, 4.0}) {
    const auto weighted = lp_regression(A, b, {.p = p}, w);
    const auto repeated = lp_regression(torch::cat({A, A.index_select(0, again)}),
                                        torch::cat({b, b.index_select(0, again)}), {.p = p});
    EXPECT_NEAR(weighted.objective, repeated.objective, 1e-8 * repeated.objective) << p;
  }
}

TEST(LpRegression, RecoversAPlantedFitThroughFortyPercentOfOutliers) {
  const auto A = gaussian(200, 5, 6), x = gaussian(5, 1, 7).squeeze(1);
  auto b = A.mv(x);
  b.slice(0, 0, 80) += 1e3 * gaussian(80, 1, 8).squeeze(1).abs();
  const auto fit = lp_regression(A, b, {.p = 1});
  EXPECT_LT((fit.solution - x).abs().max().item<double>(), 1e-5);
}

TEST(LpRegression, ExactFitsAndZeroTargetsHaveNoObjective) {
  const auto A = gaussian(20, 3, 9), x = gaussian(3, 1, 10).squeeze(1);
  for (const double p : {1.0, 1.5, 3.0}) {
    const auto fit = lp_regression(A, A.mv(x), {.p = p});
    EXPECT_LT(fit.objective, 1e-9);
    EXPECT_LT((fit.solution - x).abs().max().item<double>(), 1e-9);
    EXPECT_EQ(lp_regression(A, torch::zeros({20}, torch::kFloat64), {.p = p}).objective, 0);
  }
}

TEST(LpRegression, HugeAndTinyScalesGiveTheSameFit) {
  const auto A = heavy_rows(60, 3, 12), b = gaussian(60, 1, 13).squeeze(1);
  for (const double p : {1.0, 1.5, 6.0}) {
    const auto plain = lp_regression(A, b, {.p = p});
    const auto huge = lp_regression(A * 1e150, b * 1e150, {.p = p});
    const auto tiny = lp_regression(A * 1e-150, b * 1e-150, {.p = p});
    EXPECT_NEAR(huge.objective / 1e150, plain.objective, 1e-8 * plain.objective) << p;
    EXPECT_NEAR(tiny.objective / 1e-150, plain.objective, 1e-8 * plain.objective) << p;
  }
}

TEST(LpRegression, ResidualNormOverPanelsIsTheNorm) {
  const auto A = gaussian(20011, 7, 1), x = gaussian(7, 1, 2).squeeze(1);
  const auto b = gaussian(20011, 1, 3).squeeze(1);
  for (const double p : {1.0, 1.5, 6.0})
    EXPECT_NEAR(rows::lp_residual_norm(A, x, b, p), norm_p(A.mv(x) - b, p),
                1e-10 * norm_p(A.mv(x) - b, p));
  EXPECT_NEAR(rows::lp_residual_norm(A * 1e200, x, {}, 6) / 1e200, norm_p(A.mv(x), 6), 1e-8);
}

TEST(LpMinimise, RefusesWhatCannotBe) {
  const auto D = gaussian(10, 3, 1);
  EXPECT_THROW(lp_minimise(D, D[0], {.p = 0.5}), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, D[0], {.p = INFINITY}), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, D[0], {.p = NAN}), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, D[0], {.tolerance = 0}), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, D[0].slice(0, 0, 2)), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, torch::zeros({3}, torch::kFloat64)), InvalidArgument);
  EXPECT_THROW(lp_minimise(D, D[0].to(torch::kFloat32)), InvalidArgument);
  const auto b = D.select(1, 0);
  EXPECT_THROW(lp_regression(D, b.slice(0, 0, 9)), InvalidArgument);
  EXPECT_THROW(lp_regression(D, b, {}, torch::zeros({10}, torch::kFloat64)), InvalidArgument);
  auto bad = D.clone();
  bad[4][1] = NAN;
  try {
    lp_minimise(bad, D[0]);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("row 4, column 1"), std::string::npos);
  }
}

}  // namespace
}  // namespace ritz::tests
