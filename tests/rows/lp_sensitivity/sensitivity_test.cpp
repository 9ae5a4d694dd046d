// Leverage, Lewis weights and sensitivities: the identities F1-F7, limits and bad input.
#include "ritz/rows/lp_sensitivity/sensitivity.h"

#include <gtest/gtest.h>

#include "ritz/base/error.h"
#include "ritz/rows/lp_sensitivity/lewis.h"
#include "tests/rows/lp_sensitivity/oracle.h"

namespace ritz::tests {
namespace {

using rows::leverage_scores;
using rows::lewis_weights;
using rows::lp_sensitivities;
using rows::row_basis;
using rows::SensitivityMethod;

double gap_between(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}
double total_of(const Tensor& a) {
  return a.sum().item<double>();
}

TEST(Leverage, EqualsTheDiagonalOfTheProjection) {
  const auto A = heavy_rows(137, 7, 1);
  const auto Q = std::get<0>(torch::linalg_qr(A));
  EXPECT_LT(gap_between(leverage_scores(A), Q.square().sum(1)), 1e-10);
  EXPECT_NEAR(total_of(leverage_scores(A)), 7, 1e-9);
  EXPECT_LT(gap_between(leverage_scores(A.to(torch::kFloat32)), Q.square().sum(1)), 1e-4);
}

TEST(RowBasis, SpansTheRowSpaceAtAnyConditionScaleAndRank) {
  const auto A = gaussian(300, 5, 2);
  const auto Q = std::get<0>(torch::linalg_qr(A));
  // Nearly dependent columns: condition 1e9, beyond what a Gram matrix can see.
  auto B = A.clone();
  B.select(1, 4).copy_(A.select(1, 0) + 1e-9 * A.select(1, 4));
  const auto near = row_basis(B);
  EXPECT_EQ(near.rank, 5);
  EXPECT_GT(near.condition, 1e8);
  EXPECT_LT(gap_between(leverage_scores(near), Q.square().sum(1)), 1e-6);
  // Exactly dependent, with an empty column and scales of 1e+-150.
  const auto C =
      torch::cat({A * 1e150, A.slice(1, 0, 2) * 1e-150, torch::zeros({300, 1}, A.options())}, 1);
  const auto wide = row_basis(C);
  EXPECT_EQ(wide.rank, 5);
  EXPECT_LT(gap_between(leverage_scores(wide), Q.square().sum(1)), 1e-10);
  EXPECT_LT(gap_between(wide.rows.mm(wide.back).slice(1, 0, 5) / 1e150, A), 1e-10);
  EXPECT_LT(outside_row_space(wide, C[3]).item<double>(), 1e-12);
  auto away = C[3].clone();
  away[7] = 1;
  EXPECT_GT(outside_row_space(wide, away).item<double>(), 1e-3);
  // More columns than rows.
  EXPECT_EQ(row_basis(gaussian(4, 9, 3)).rank, 4);
  EXPECT_NEAR(total_of(leverage_scores(gaussian(4, 9, 3))), 4, 1e-10);
}

TEST(Lewis, WeightsAreTheFixedPointForEveryExponent) {
  for (const double p : {1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 6.0, 10.0}) {
    for (const auto& A : {heavy_rows(400, 6, 3), gaussian(301, 5, 4)}) {
      const auto found = lewis_weights(A, {.p = p});
      ASSERT_TRUE(found.converged) << p << " residual " << found.residual;
      const auto w = found.weights;
      const auto tilted = A * w.pow(0.5 - 1 / p).unsqueeze(1);
      EXPECT_LT(gap_between(leverage_scores(tilted) / w, torch::ones_like(w)), 1e-7) << p;
      EXPECT_NEAR(total_of(w), static_cast<double>(A.size(1)), 1e-6) << p;
      EXPECT_LE(found.steps, p < 5 ? 25 : 60) << p;
    }
  }
}

TEST(Lewis, BlocksConvergeAtTheStatedRate) {
  // Block-diagonal data: each block's weights move by themselves, the slowest case. At p = 1 the
  // error shrinks threefold a step: 1e-8 within 20 and a few.
  auto A = torch::zeros({60, 3}, torch::kFloat64);
  for (int64_t j = 0; j < 3; ++j)
    A.slice(0, 20 * j, 20 * (j + 1))
        .select(1, j)
        .copy_(gaussian(20, 1, static_cast<uint64_t>(j)).squeeze(1).exp());
  const auto found = lewis_weights(A.mm(gaussian(3, 3, 9)), {.p = 1});
  EXPECT_TRUE(found.converged);
  EXPECT_LE(found.steps, 26);
  // In one dimension the weights are the shares of the l_p norm.
  for (int64_t j = 0; j < 3; ++j) {
    const auto column = A.slice(0, 20 * j, 20 * (j + 1)).select(1, j).abs();
    EXPECT_LT(gap_between(found.weights.slice(0, 20 * j, 20 * (j + 1)), column / column.sum()),
              1e-7);
  }
}

TEST(Lewis, RowsOfZerosHaveNoWeight) {
  auto A = gaussian(50, 3, 5);
  A[7].zero_();
  A[49].zero_();
  for (const double p : {1.0, 1.5, 4.0, 6.0}) {
    const auto w = lewis_weights(A, {.p = p}).weights;
    EXPECT_EQ(w[7].item<double>(), 0);
    EXPECT_NEAR(total_of(w), 3, 1e-6);
  }
}

class SensitivityOfExponent : public testing::TestWithParam<double> {};

TEST_P(SensitivityOfExponent, TotalsAndBoundsHold) {  // F1, F2, F3
  const double p = GetParam();
  const auto A = heavy_rows(90, 4, 6);
  const double d = 4, n = 90;
  const auto s = lp_sensitivities(A, {.p = p});
  EXPECT_EQ(s.method, SensitivityMethod::exact);
  EXPECT_EQ(s.unconverged, 0);
  EXPECT_LE(s.gap, 1e-8);
  const auto& sigma = s.sigma;
  const double slack = 1e-6;
  EXPECT_GE(s.total, std::min(d, std::pow(d, p / 2)) - slack);
  EXPECT_LE(s.total, std::max(d, std::pow(d, p / 2)) + slack);
  const auto w = lewis_weights(A, {.p = p}).weights, tau = leverage_scores(A);
  const auto below = [&](const Tensor& a, const Tensor& b) {
    return (a - b * (1 + slack)).max().item<double>() <= slack;
  };
  if (p <= 2) {
    EXPECT_TRUE(below(sigma, w));
    EXPECT_TRUE(below(w, std::pow(d, 1 - p / 2) * sigma));
    EXPECT_TRUE(below(sigma, tau.pow(p / 2)));
    EXPECT_TRUE(below(tau, std::pow(n, 2 / p - 1) * sigma.pow(2 / p)));
  } else {
    EXPECT_TRUE(below(w, sigma));
    EXPECT_TRUE(below(sigma, std::pow(d, p / 2 - 1) * w));
    EXPECT_TRUE(below(tau.pow(p / 2), sigma));
    EXPECT_TRUE(below(sigma, std::pow(n, p / 2 - 1) * tau.pow(p / 2)));
  }
  for (const auto method : {SensitivityMethod::lewis_bound, SensitivityMethod::leverage_bound})
    EXPECT_TRUE(below(sigma, lp_sensitivities(A, {.p = p, .method = method}).sigma));
}

TEST_P(SensitivityOfExponent, InvariantUnderColumnsButNotRowScales) {  // F6
  const double p = GetParam();
  const auto A = heavy_rows(60, 3, 7);
  const auto plain = lp_sensitivities(A, {.p = p}).sigma;
  EXPECT_LT(gap_between(lp_sensitivities(A.mm(gaussian(3, 3, 8)), {.p = p}).sigma, plain), 1e-7);
  auto scaled = A.clone();
  scaled[0] *= 5;
  EXPECT_GT(lp_sensitivities(scaled, {.p = p}).sigma[0].item<double>(),
            plain[0].item<double>() + 1e-3);
  const auto huge = A.mm(torch::diag(torch::tensor({1e150, 1., 1e-150}, torch::kFloat64)));
  EXPECT_LT(gap_between(lp_sensitivities(huge, {.p = p}).sigma, plain), 1e-7);
}

TEST_P(SensitivityOfExponent, CopiesShareAndIdentityRowsAreWhole) {  // F5
  const double p = GetParam();
  const auto I = torch::eye(5, torch::kFloat64);
  EXPECT_LT(gap_between(lp_sensitivities(I, {.p = p}).sigma, torch::ones({5}, I.options())), 1e-8);
  // k equal rows along a direction that nobody else has: 1 / k each.
  auto A = torch::zeros({12, 3}, torch::kFloat64);
  A.slice(0, 0, 8).slice(1, 0, 2).copy_(gaussian(8, 2, 1));
  A.slice(0, 8, 12).select(1, 2).fill_(0.3);
  const auto T = gaussian(3, 3, 2);
  const auto s = lp_sensitivities(A.mm(T), {.p = p}).sigma;
  for (int64_t i = 8; i < 12; ++i) EXPECT_NEAR(s[i].item<double>(), 0.25, 1e-8);
  // Splitting row 0 into three copies, scaled by 3^(-1/p), leaves every norm as it was.
  const auto copy = A.slice(0, 0, 1) * std::pow(3.0, -1 / p);
  const auto split =
      lp_sensitivities(torch::cat({copy, copy, copy, A.slice(0, 1)}).mm(T), {.p = p}).sigma;
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_NEAR(split[i].item<double>(), s[0].item<double>() / 3, 1e-8);
  EXPECT_LT(gap_between(split.slice(0, 3), s.slice(0, 1)), 1e-8);
}

TEST_P(SensitivityOfExponent, BlocksAreOnTheirOwn) {
  const double p = GetParam();
  const auto A = heavy_rows(30, 2, 3), B = heavy_rows(21, 3, 4);
  const auto both = torch::block_diag({A, B}).mm(gaussian(5, 5, 5));
  const auto expected =
      torch::cat({lp_sensitivities(A, {.p = p}).sigma, lp_sensitivities(B, {.p = p}).sigma});
  EXPECT_LT(gap_between(lp_sensitivities(both, {.p = p}).sigma, expected), 1e-7);
}

TEST_P(SensitivityOfExponent, WitnessesAttainTheirSensitivity) {
  const double p = GetParam();
  const auto A = heavy_rows(45, 3, 9);
  const auto s = lp_sensitivities(A, {.p = p, .witnesses = true});
  const auto Y = A.mm(s.witnesses.t()).abs().pow(p);  // column i: |A x_i|^p
  EXPECT_LT(gap_between(Y.diagonal() / Y.sum(0), s.sigma), 1e-9);
}

TEST_P(SensitivityOfExponent, SampledOnesAreWithinTheirFactor) {
  const double p = GetParam();
  const auto basis = row_basis(gaussian(3000, 4, 10));
  const auto some = torch::arange(0, 3000, 50);
  rows::SensitivityOptions options{.p = p, .method = SensitivityMethod::exact};
  const auto exact = lp_sensitivities_of(basis, some, options);
  options.method = SensitivityMethod::approximate;
  options.sample_rows = 1000;
  const auto rough = lp_sensitivities_of(basis, some, options);
  if (p != 2) {  // leverage scores need no sample
    EXPECT_EQ(rough.method, SensitivityMethod::approximate);
    EXPECT_LT(rough.sample_rows, 1200);
  }
  const auto ratio = rough.sigma / exact.sigma;
  EXPECT_GT(ratio.min().item<double>(), 0.6);
  EXPECT_LT(ratio.max().item<double>(), 1.6);
}

INSTANTIATE_TEST_SUITE_P(Exponents, SensitivityOfExponent,
                         testing::Values(1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0));

TEST(Sensitivity, TwoIsLeverageAndLewis) {
  const auto A = heavy_rows(40, 4, 2);
  const auto tau = leverage_scores(A);
  EXPECT_LT(gap_between(lp_sensitivities(A, {.p = 2}).sigma, tau), 1e-12);
  EXPECT_LT(gap_between(lp_sensitivities(A, {.p = 2, .witnesses = true}).sigma, tau), 1e-9);
  EXPECT_LT(gap_between(lewis_weights(A, {.p = 2}).weights, tau), 1e-12);
}

TEST(Sensitivity, LargestGrowsWithTheExponent) {  // F4
  const auto A = heavy_rows(80, 3, 11);
  double last = 0;
  for (const double p : {1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0}) {
    const double now = lp_sensitivities(A, {.p = p}).largest;
    EXPECT_GE(now, last - 1e-9) << p;
    last = now;
  }
}

TEST(Sensitivity, L1ValuesAreThoseOfTheBestVertices) {
  const auto A = heavy_rows(12, 3, 13);
  const auto s = lp_sensitivities(A, {.p = 1}).sigma;
  for (int64_t i = 0; i < 12; ++i)
    EXPECT_NEAR(s[i].item<double>(), 1 / l1_by_vertices(A, A[i]), 1e-8);
}

TEST(Sensitivity, TallGaussianTotalsTendToTheirClosedForm) {  // F7, d = 3
  const double d = 3;
  for (const double p : {1.0, 1.5, 4.0}) {
    const double law =
        std::exp(std::lgamma((d + p) / 2) - std::lgamma(d / 2) - std::lgamma((p + 1) / 2)) *
        std::sqrt(M_PI);
    const auto s = lp_sensitivities(
        gaussian(1000, 3, 21), {.p = p, .method = SensitivityMethod::exact, .tolerance = 1e-5});
    EXPECT_NEAR(s.total / law, 1, 0.06) << p;
  }
}

TEST(Sensitivity, LegendreRowsAreFarBelowTheGeneralBound) {
  const int64_t n = 400, d = 8;
  auto A = torch::ones({n, d}, torch::kFloat64);
  const auto x = torch::linspace(-1, 1, n, torch::kFloat64);
  A.select(1, 1).copy_(x);
  for (int64_t k = 2; k < d; ++k)
    A.select(1, k).copy_(
        ((2.0 * double(k) - 1) * x * A.select(1, k - 1) - (double(k) - 1) * A.select(1, k - 2)) /
        double(k));
  const auto s = lp_sensitivities(A, {.p = 4});
  EXPECT_LT(s.total, 2.5 * 8);
  EXPECT_GT(s.total, 8);
}

TEST(Sensitivity, BucketsBoundTheirRowsFromAboveButForRareDraws) {
  const auto A = heavy_rows(600, 3, 14);
  const auto exact = lp_sensitivities(A, {.p = 1}).sigma;
  const auto rough = lp_sensitivities(
      A, {.p = 1, .method = SensitivityMethod::bucketed, .sample_rows = 100000, .bucket = 8});
  // Ten draws, each good for a row with probability 1/2 or more.
  EXPECT_LE(rough.sigma.lt(exact * (1 - 1e-9)).sum().item<int64_t>(), 6);
  EXPECT_LT(rough.solves, 1000);
  EXPECT_LT(total_of(rough.sigma), 8 * total_of(exact) * 3);
}

TEST(Sensitivity, TotalFromAFewRowsIsWithinItsStandardErrors) {
  const auto A = heavy_rows(600, 5, 15);
  const auto basis = row_basis(A);
  for (const double p : {1.0, 4.0}) {
    const auto lewis = lewis_weights(basis, {.p = p}).weights;
    rows::SensitivityOptions options{.p = p, .method = SensitivityMethod::exact, .tolerance = 1e-6};
    const double truth = lp_sensitivities(basis, options).total;
    const auto guess = rows::total_sensitivity(basis, lewis, options, 100);
    EXPECT_GT(guess.standard_error, 0);
    EXPECT_LT(std::abs(guess.value - truth), 4 * guess.standard_error + 1e-6) << p;
    EXPECT_LT(guess.standard_error, 0.15 * truth) << p;
  }
}

TEST(Sensitivity, LargestIsFoundWithoutSolvingAllRows) {
  const auto A = heavy_rows(400, 4, 16);
  const auto basis = row_basis(A);
  for (const double p : {1.0, 1.5, 4.0}) {
    const auto lewis = lewis_weights(basis, {.p = p}).weights;
    const auto all = lp_sensitivities(basis, {.p = p});
    const auto most = rows::maximum_sensitivity(basis, lewis, {.p = p});
    EXPECT_NEAR(most.lower, all.largest, 1e-8) << p;
    EXPECT_GE(most.upper, all.largest - 1e-9) << p;
    EXPECT_EQ(most.row, all.sigma.argmax().item<int64_t>()) << p;
    EXPECT_LE(most.solves, 256) << p;
  }
}

TEST(Sensitivity, ZeroRowsAreZeroAndFloat32IsTakenAsItIs) {
  auto A = heavy_rows(40, 3, 17);
  A[5].zero_();
  const auto s = lp_sensitivities(A, {.p = 1});
  EXPECT_EQ(s.sigma[5].item<double>(), 0);
  const auto single = lp_sensitivities(A.to(torch::kFloat32), {.p = 1});
  EXPECT_EQ(single.sigma.scalar_type(), torch::kFloat64);
  EXPECT_LT(gap_between(single.sigma, s.sigma), 1e-4);
}

TEST(Sensitivity, RankDeficientAndShortMatricesUseTheRank) {
  const auto A = heavy_rows(30, 3, 18);
  const auto wide = A.mm(gaussian(3, 7, 1));
  const auto s = lp_sensitivities(wide, {.p = 1});
  EXPECT_EQ(s.rank, 3);
  EXPECT_LT(gap_between(s.sigma, lp_sensitivities(A, {.p = 1}).sigma), 1e-7);
  // Fewer rows than columns: independent rows are each all there is of a direction.
  EXPECT_LT(gap_between(lp_sensitivities(gaussian(4, 9, 2), {.p = 1.5}).sigma,
                        torch::ones({4}, torch::kFloat64)),
            1e-8);
}

TEST(Sensitivity, RefusesWhatCannotBe) {
  const auto A = gaussian(20, 3, 1);
  EXPECT_THROW(lp_sensitivities(A, {.p = 0.9}), InvalidArgument);
  EXPECT_THROW(lp_sensitivities(A, {.p = INFINITY}), InvalidArgument);
  EXPECT_THROW(lewis_weights(A, {.p = 0.5}), InvalidArgument);
  EXPECT_THROW(lp_sensitivities(torch::zeros({4, 2}, torch::kFloat64)), InvalidArgument);
  EXPECT_THROW(lp_sensitivities(torch::zeros({0, 2}, torch::kFloat64)), InvalidArgument);
  EXPECT_THROW(lp_sensitivities(A[0]), InvalidArgument);
  EXPECT_THROW(lp_sensitivities(A.to(torch::kInt64)), InvalidArgument);
  auto bad = A.clone();
  bad[11][2] = INFINITY;
  try {
    lp_sensitivities(bad);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("row 11, column 2"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace ritz::tests
