#include "ritz/sketch/diagonal.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"

namespace {

using at::Tensor;

Tensor symmetric(int64_t n, at::ScalarType dtype = at::kDouble) {
  ritz::RandomStream random(3, ritz::stream_id("test/matrix"));
  const Tensor A = random.normal({n, n}, at::TensorOptions(dtype));
  return A + A.t();
}

TEST(Diagonal, ExactModeIsTheMatrixs) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const Tensor A = symmetric(131, dtype);
    const auto d =
        ritz::estimate_diagonal(ritz::DenseOperator(A), {.exact = true, .blocks = {100, 30, 1}});
    EXPECT_TRUE(d.exact);
    EXPECT_TRUE(at::equal(d.diagonal, A.diag()));
    EXPECT_EQ(d.diagonal.scalar_type(), dtype);
    EXPECT_EQ(d.diagonal_se.abs().max().item<double>(), 0);
    EXPECT_NEAR(d.trace, A.trace().item<double>(), dtype == at::kFloat ? 1e-4 : 1e-12);
    EXPECT_NEAR(d.frobenius / A.norm().item<double>(), 1, dtype == at::kFloat ? 1e-6 : 1e-14);
    EXPECT_NEAR(d.block_means[1].item<double>(), A.diag().narrow(0, 100, 30).mean().item<double>(),
                1e-6);
  }
}

TEST(Diagonal, DiagonalOperatorHasNoError) {
  const Tensor d = at::linspace(-2, 5, 17, at::kDouble);
  const auto estimate = ritz::estimate_diagonal(ritz::DenseOperator(at::diag(d)), {.samples = 3});
  EXPECT_LT((estimate.diagonal - d).abs().max().item<double>(), 1e-15);
  EXPECT_EQ(estimate.diagonal_se.abs().max().item<double>(), 0);
  EXPECT_NEAR(estimate.frobenius, d.norm().item<double>(), 1e-13);
}

TEST(Diagonal, ErrorsAreThoseOfTheFormula) {
  const int64_t n = 40, samples = 4000;
  const Tensor A = symmetric(n);
  const auto d =
      ritz::estimate_diagonal(ritz::DenseOperator(A), {.samples = samples, .blocks = {10, 30}});
  const Tensor off = A - at::diag(A.diag());
  const Tensor sigma = (off.square().sum(1) / samples).sqrt();
  EXPECT_TRUE(((d.diagonal - A.diag()).abs() < 5 * sigma).all().item<bool>());
  EXPECT_LT((d.diagonal_se / sigma - 1).abs().max().item<double>(), 0.1);  // sd 1 / sqrt(2 samples)
  EXPECT_LT(std::abs(d.trace - A.trace().item<double>()), 5 * d.trace_se);
  // Var z^T A z = 2 |off|_F^2 for signs.
  const double expected = std::sqrt(2 * off.square().sum().item<double>() / samples);
  EXPECT_NEAR(d.trace_se / expected, 1, 0.1);
  EXPECT_LT(std::abs(d.frobenius - A.norm().item<double>()), 5 * d.frobenius_se);
  const double mean = A.diag().narrow(0, 0, 10).mean().item<double>();
  EXPECT_LT(std::abs(d.block_means[0].item<double>() - mean),
            5 * d.block_means_se[0].item<double>());
}

TEST(Diagonal, StopsOnceTheTraceIsKnown) {
  const Tensor A = symmetric(50) + 40 * at::eye(50, at::kDouble);
  const auto coarse =
      ritz::estimate_diagonal(ritz::DenseOperator(A), {.samples = 5000, .tolerance = 0.02});
  const auto fine =
      ritz::estimate_diagonal(ritz::DenseOperator(A), {.samples = 5000, .tolerance = 0.005});
  EXPECT_LT(coarse.samples, fine.samples);
  EXPECT_LT(fine.samples, 5000);
  EXPECT_LE(fine.trace_se, 0.005 * std::abs(fine.trace));
}

TEST(Diagonal, BlockingChangesRoundingAlone) {
  const ritz::DenseOperator A(symmetric(30));
  const auto a = ritz::estimate_diagonal(A, {.samples = 20, .block = 7});
  const auto b = ritz::estimate_diagonal(A, {.samples = 20, .block = 20});
  EXPECT_LT((a.diagonal - b.diagonal).abs().max().item<double>(), 1e-12);
  EXPECT_LT((a.diagonal_se - b.diagonal_se).abs().max().item<double>(), 1e-12);
}

TEST(Diagonal, BadInputIsNamed) {
  const ritz::DenseOperator A(symmetric(5));
  EXPECT_THROW(ritz::estimate_diagonal(A, {.samples = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::estimate_diagonal(A, {.tolerance = -1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::estimate_diagonal(A, {.blocks = {2, 2}}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::estimate_diagonal(ritz::DenseOperator(at::ones({3, 4}))),
               ritz::InvalidArgument);
  EXPECT_THROW(ritz::estimate_diagonal(ritz::DenseOperator(at::full({3, 3}, NAN))),
               ritz::InvalidArgument);
}

}  // namespace
