// Hutchinson, Hutch++ and XTrace against matrices whose traces are known.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"
#include "ritz/sketch/hutchinson.h"
#include "ritz/sketch/hutchpp.h"
#include "ritz/sketch/xtrace.h"

namespace {

using ritz::ProbeKind;
using ritz::Tensor;

// A symmetric matrix with given eigenvalues in a random basis.
Tensor with_spectrum(const Tensor& values) {
  ritz::RandomStream random(1, 99);
  const auto n = values.size(0);
  const auto Q = std::get<0>(at::linalg_qr(random.normal({n, n}, at::kDouble)));
  return (Q * values.to(at::kDouble)).matmul(Q.t()).to(values.scalar_type());
}
Tensor decaying(int64_t n) {
  return at::pow(at::arange(1, n + 1, at::kDouble), -2.0);
}
// Eigenvalues 1..rank: the trace of rank 7 is 28.
Tensor low_rank(int64_t n, int64_t rank, at::ScalarType type) {
  return with_spectrum(
      at::cat({at::arange(1, rank + 1, at::kDouble), at::zeros({n - rank}, at::kDouble)}).to(type));
}

TEST(Hutchinson, IsUnbiasedWithItsTheoreticalVariance) {
  const int64_t runs = 4000;
  const auto A = with_spectrum(decaying(33));
  const ritz::DenseOperator op(A);
  const double all = A.square().sum().item<double>();
  const double diagonal = A.diagonal().square().sum().item<double>();
  for (const auto kind : {ProbeKind::rademacher, ProbeKind::gaussian}) {
    const auto t =
        ritz::hutchinson_trace(op, {.probes = runs, .block = 500, .kind = kind, .seed = 3});
    const double variance = kind == ProbeKind::rademacher ? 2 * (all - diagonal) : 2 * all;
    EXPECT_NEAR(t.value, A.trace().item<double>(), 5 * std::sqrt(variance / runs));
    // The sample variance of samples with kurtosis below 15 deviates by sqrt(14 / runs) relatively.
    EXPECT_NEAR(std::pow(*t.standard_error, 2) * runs / variance, 1, 5 * std::sqrt(14.0 / runs));
    EXPECT_EQ(t.products, runs);
  }
}

TEST(Hutchinson, IsExactForDiagonalsAndDoesNotDependOnBlocks) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const ritz::DiagonalOperator D(at::arange(1, 32, at::TensorOptions(type)));
    const auto t = ritz::hutchinson_trace(D, {.probes = 3});
    EXPECT_EQ(t.value, 496);
    EXPECT_EQ(*t.standard_error, 0);
    const auto d = ritz::hutchinson_diagonal(D, {.probes = 3});
    EXPECT_TRUE(d.value.equal(D.diagonal()));
    EXPECT_EQ(d.standard_error.max().item<double>(), 0);
  }
  const ritz::DenseOperator A(with_spectrum(decaying(31)));
  const auto whole = ritz::hutchinson_trace(A, {.probes = 20});
  const auto parts = ritz::hutchinson_trace(A, {.probes = 20, .block = 7});
  EXPECT_NEAR(whole.value, parts.value, 1e-13);
  EXPECT_FALSE(ritz::hutchinson_trace(A, {.probes = 1}).standard_error.has_value());
}

TEST(HutchinsonDiagonal, LiesWithinItsStandardErrors) {
  const auto A = with_spectrum(decaying(200));
  const ritz::DenseOperator op(A);
  for (const auto kind : {ProbeKind::rademacher, ProbeKind::gaussian}) {
    const auto d =
        ritz::hutchinson_diagonal(op, {.probes = 400, .block = 64, .kind = kind, .seed = 4});
    const auto z = (d.value - A.diagonal()) / d.standard_error;
    // 200 nearly standard normal numbers, correlated: none beyond 5, mean square near 1.
    EXPECT_LT(z.abs().max().item<double>(), 5);
    EXPECT_NEAR(z.square().mean().item<double>(), 1, 0.6);
  }
  EXPECT_FALSE(ritz::hutchinson_diagonal(op, {.probes = 1}).standard_error.defined());
}

TEST(Hutchpp, IsExactWhereTheSubspaceHoldsTheRange) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const ritz::DenseOperator A(low_rank(61, 7, type));
    const auto t = ritz::hutchpp_trace(A, {.products = 24});
    const double eps = type == at::kFloat ? 1.2e-7 : 2.3e-16;
    EXPECT_NEAR(t.value, 28, 28 * 61 * eps);
    EXPECT_LT(*t.standard_error, 28 * 61 * eps);
    EXPECT_EQ(t.products, 24);
  }
}

TEST(Xtrace, IsExactWhereTheSubspaceHoldsTheRange) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const ritz::DenseOperator A(low_rank(61, 7, type));
    const double eps = type == at::kFloat ? 1.2e-7 : 2.3e-16;
    for (const int64_t products : {16, 20, 40}) {  // rank 7 < m = 8, 10, 20
      const auto t = ritz::xtrace(A, {.products = products});
      EXPECT_NEAR(t.value, 28, 28 * 61 * eps) << products;
      EXPECT_EQ(t.products, products);
    }
  }
}

TEST(TraceMethods, SurviveZeroAndSmallOperators) {
  const ritz::DenseOperator zero(at::zeros({9, 9}, at::kDouble));
  EXPECT_EQ(ritz::hutchpp_trace(zero, {.products = 9}).value, 0);
  EXPECT_EQ(ritz::xtrace(zero, {.products = 8}).value, 0);
  const auto A = with_spectrum(decaying(5));
  const double trace = A.trace().item<double>();
  const ritz::DenseOperator small(A);
  // More products than dimensions: everything is seen, nothing estimated.
  EXPECT_NEAR(ritz::hutchpp_trace(small, {.products = 30}).value, trace, 1e-14);
  EXPECT_NEAR(ritz::xtrace(small, {.products = 30}).value, trace, 1e-14);
  EXPECT_EQ(ritz::xtrace(small, {.products = 30}).products, 10);
}

struct Spread {
  double mean = 0, variance = 0;
  double estimated = 0;  // mean of the squared standard errors
};
template <typename Method>
Spread spread(const Method& method, int64_t runs) {
  std::vector<double> values;
  Spread s;
  const auto count = static_cast<double>(runs);
  for (int64_t run = 0; run < runs; ++run) {
    const ritz::TraceEstimate t = method(static_cast<uint64_t>(run));
    values.push_back(t.value);
    s.mean += t.value / count;
    s.estimated += std::pow(t.standard_error.value(), 2) / count;
  }
  for (const double v : values) s.variance += std::pow(v - s.mean, 2) / (count - 1);
  return s;
}

// Eigenvalues k^-2: the part beyond 16 holds 1e-4 of |A|_F^2, so both methods gain more than a
// factor 100 in variance; all stay unbiased, and report errors of the right size.
TEST(TraceMethods, BeatHutchinsonOnDecayingSpectraAtTheSameProducts) {
  const int64_t runs = 100;
  const auto A = with_spectrum(decaying(150));
  const ritz::DenseOperator op(A);
  const auto plain = spread(
      [&](uint64_t seed) { return ritz::hutchinson_trace(op, {.probes = 48, .seed = seed}); },
      runs);
  const auto plus = spread(
      [&](uint64_t seed) { return ritz::hutchpp_trace(op, {.products = 48, .seed = seed}); }, runs);
  const auto cross =
      spread([&](uint64_t seed) { return ritz::xtrace(op, {.products = 48, .seed = seed}); }, runs);
  for (const auto& s : {plain, plus, cross}) {
    EXPECT_NEAR(s.mean, A.trace().item<double>(),
                5 * std::sqrt(s.variance / static_cast<double>(runs)));
    EXPECT_GT(s.estimated, s.variance / 3);
    EXPECT_LT(s.estimated, s.variance * 3);
  }
  EXPECT_LT(100 * plus.variance, plain.variance);
  EXPECT_LT(2 * cross.variance, plus.variance);
}

// Not symmetric, not definite, m close to n: only the algebra holds the estimate together.
TEST(Xtrace, IsUnbiasedForAnyMatrix) {
  ritz::RandomStream random(5);
  const auto A = random.normal({23, 23}, at::kDouble);
  const ritz::DenseOperator op(A);
  const auto s =
      spread([&](uint64_t seed) { return ritz::xtrace(op, {.products = 20, .seed = seed}); }, 500);
  EXPECT_NEAR(s.mean, A.trace().item<double>(), 5 * std::sqrt(s.variance / 500));
}

TEST(TraceMethods, NameWhatIsWrong) {
  const ritz::DenseOperator wide(at::zeros({3, 4}, at::kDouble)), square(at::eye(4, at::kDouble));
  EXPECT_THROW(ritz::hutchinson_trace(wide), ritz::InvalidArgument);
  EXPECT_THROW(ritz::hutchpp_trace(wide), ritz::InvalidArgument);
  EXPECT_THROW(ritz::xtrace(wide), ritz::InvalidArgument);
  EXPECT_THROW(ritz::hutchinson_trace(square, {.probes = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::hutchinson_diagonal(square, {.block = -1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::hutchpp_trace(square, {.products = 2}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::xtrace(square, {.products = 3}), ritz::InvalidArgument);
  const ritz::DenseOperator bad(at::full({4, 4}, std::nan(""), at::kDouble));
  EXPECT_THROW(ritz::hutchinson_trace(bad), ritz::InvalidArgument);
}

}  // namespace
