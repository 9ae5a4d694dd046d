#include "ritz/krylov/extreme_eigenpairs.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"

namespace {

using ritz::Tensor;

Tensor symmetric(int64_t n, c10::ScalarType dtype = torch::kDouble) {
  ritz::RandomStream random(8, ritz::stream_id("tests/extreme"));
  const auto A = random.normal({n, n}, torch::kFloat64);
  return ((A + A.t()) / std::sqrt(8.0 * static_cast<double>(n))).to(dtype);
}

void expect_values(const Tensor& found, std::vector<double> expected, double tolerance) {
  ASSERT_EQ(found.size(0), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found[static_cast<int64_t>(i)].item<double>(), expected[i], tolerance) << i;
  }
}

TEST(ExtremeEigenpairs, BothEndsOfADenseMatrixInEitherPrecision) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const auto A = symmetric(301, dtype);
    const auto exact = at::linalg_eigvalsh(A.to(torch::kDouble));
    const auto ends = ritz::extreme_eigenpairs(
        ritz::DenseOperator(A), {.largest = 4, .smallest = 3, .true_residuals = true});
    ASSERT_TRUE(ends.all_converged);
    EXPECT_GT(ends.restarts, 0);
    // |theta - lambda| <= residual^2 / gap, and residual / gap here is below 0.1
    const double tolerance = dtype == torch::kFloat ? 1e-4 : 1e-9;
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(ends.largest.values[i].item<double>(), exact[300 - i].item<double>(), tolerance);
    }
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(ends.smallest.values[i].item<double>(), exact[i].item<double>(), tolerance);
    }
    const double eps = dtype == torch::kFloat ? 1.2e-7 : 2.3e-16;
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(ends.largest.residuals[i], ends.largest.residual_bounds[i], 50 * eps);
    }
  }
}

TEST(ExtremeEigenpairs, FindRepeatedEigenvalues) {
  auto d = torch::linspace(0, 1, 100, torch::kFloat64);
  d.slice(0, 96).fill_(3);
  const ritz::DiagonalOperator A(d);
  const auto block = ritz::extreme_eigenpairs(A, {.largest = 5, .block = 4});
  ASSERT_TRUE(block.all_converged);
  expect_values(block.largest.values, {3, 3, 3, 3, d[95].item<double>()}, 1e-10);
  // The identity: every step leaves an invariant subspace.
  const ritz::DiagonalOperator I(torch::ones({7}, torch::kFloat64));
  const auto all = ritz::extreme_eigenpairs(I, {.largest = 4, .smallest = 3});
  ASSERT_TRUE(all.all_converged);
  expect_values(all.largest.values, {1, 1, 1, 1}, 1e-14);
  const auto V = torch::cat({all.largest.vectors, all.smallest.vectors});
  EXPECT_LE((V.mm(V.t()) - torch::eye(7, torch::kDouble)).abs().max().item<double>(), 1e-13);
}

TEST(ExtremeEigenpairs, WholeSpectrumAndOneDimension) {
  const auto A = symmetric(23);
  const auto all = ritz::extreme_eigenpairs(ritz::DenseOperator(A), {.largest = 23});
  ASSERT_TRUE(all.all_converged);
  const auto exact = at::linalg_eigvalsh(A).flip(0);
  EXPECT_LE((all.largest.values - exact).abs().max().item<double>(), 1e-13);
  const ritz::DiagonalOperator one(torch::full({1}, -2., torch::kFloat64));
  expect_values(ritz::extreme_eigenpairs(one).largest.values, {-2}, 1e-15);
}

TEST(ExtremeEigenpairs, SmallBasisNeedsRestartsAndFindsTheSame) {
  const ritz::DiagonalOperator A(torch::linspace(0, 1, 500, torch::kFloat64).pow(2));
  const auto tight = ritz::extreme_eigenpairs(
      A, {.largest = 2, .tolerance = 1e-6, .max_products = 2000, .max_basis = 10});
  ASSERT_TRUE(tight.all_converged);
  EXPECT_GT(tight.restarts, 10);
  EXPECT_NEAR(tight.largest.values[0].item<double>(), 1, 1e-9);
  const auto limited = ritz::extreme_eigenpairs(
      A, {.largest = 2, .tolerance = 1e-6, .max_products = 2000, .memory_limit = 11 * 500 * 8});
  EXPECT_EQ(limited.products, tight.products);
}

TEST(ExtremeEigenpairs, LowRankAndZeroOperators) {
  const auto u = torch::ones({50}, torch::kFloat64) / std::sqrt(50.0);
  const ritz::DenseOperator A(5 * torch::outer(u, u));
  const auto ends = ritz::extreme_eigenpairs(A, {.largest = 2, .smallest = 1});
  ASSERT_TRUE(ends.all_converged);
  expect_values(ends.largest.values, {5, 0}, 1e-13);
  const ritz::DiagonalOperator zero(torch::zeros({9}));
  const auto nothing = ritz::extreme_eigenpairs(zero, {.largest = 2});
  ASSERT_TRUE(nothing.all_converged);
  expect_values(nothing.largest.values, {0, 0}, 0);
}

TEST(ExtremeEigenpairs, TellWhatWasNotReached) {
  const ritz::DenseOperator A(symmetric(200));
  const auto early =
      ritz::extreme_eigenpairs(A, {.largest = 3, .tolerance = 1e-12, .max_products = 9});
  EXPECT_FALSE(early.all_converged);
  EXPECT_EQ(early.products, 9);
  EXPECT_EQ(early.largest.values.size(0), 3);
  EXPECT_FALSE(early.largest.converged[2]);
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.max_products = 3, .require_converged = true}),
               ritz::NotConverged);
}

TEST(ExtremeEigenpairs, TakesHermitianOperatorsAndStartVectors) {
  const auto re = symmetric(60), im = symmetric(60);
  const auto A = torch::complex(re, im.triu(1) - im.triu(1).t());
  const auto exact = at::linalg_eigvalsh(A);
  const auto ends =
      ritz::extreme_eigenpairs(ritz::DenseOperator(A), {.largest = 2, .max_basis = 20});
  ASSERT_TRUE(ends.all_converged);
  EXPECT_NEAR(ends.largest.values[1].item<double>(), exact[58].item<double>(), 1e-10);
  const auto again = ritz::extreme_eigenpairs(
      ritz::DenseOperator(A), {.largest = 1, .max_basis = 20, .start = ends.largest.vectors[0]});
  EXPECT_LE(again.products, 3);
}

TEST(ExtremeEigenpairs, RejectBadOptions) {
  const ritz::DiagonalOperator A(torch::ones({9}));
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.largest = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.largest = 10}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.max_basis = 1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.memory_limit = 10}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::extreme_eigenpairs(A, {.block = 10}), ritz::InvalidArgument);
  const ritz::DiagonalOperator bad(torch::full({4}, std::nanf("")));
  EXPECT_THROW(ritz::extreme_eigenpairs(bad), ritz::NotConverged);
}

}  // namespace
