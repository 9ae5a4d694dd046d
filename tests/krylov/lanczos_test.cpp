#include "ritz/krylov/lanczos.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/algebra.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"
#include "ritz/linop/function_operator.h"

namespace {

using ritz::BasisStore;
using ritz::Tensor;

Tensor normal(at::IntArrayRef shape, c10::ScalarType dtype = torch::kDouble, uint64_t index = 0) {
  ritz::RandomStream random(5, ritz::stream_id("tests/lanczos", index));
  return random.normal(shape, torch::kFloat64).to(dtype);
}

Tensor symmetric(int64_t n, c10::ScalarType dtype = torch::kDouble, uint64_t index = 0) {
  const auto A = normal({n, n}, torch::kDouble, index);
  return ((A + A.t()) / std::sqrt(8.0 * static_cast<double>(n))).to(dtype);
}

Tensor dense(const ritz::Tridiagonal& T) {
  auto A = torch::diag(torch::tensor(T.alpha, torch::kFloat64));
  const auto beta = torch::tensor(T.beta, torch::kFloat64);
  return T.beta.empty() ? A : A + torch::diag(beta, 1) + torch::diag(beta, -1);
}

double orthogonality(const Tensor& Q) {
  const auto wide = Q.to(torch::kDouble);
  return (wide.mm(wide.t()) - torch::eye(Q.size(0), torch::kDouble)).abs().max().item<double>();
}

TEST(Lanczos, FullRunOnADiagonalFindsTheSpectrum) {
  for (const int64_t n : {1, 2, 7, 60}) {
    const ritz::DiagonalOperator A(torch::arange(1, n + 1, torch::kFloat64));
    const auto run = ritz::lanczos(A, {.steps = n});
    const auto values = ritz::eigh_tridiagonal(run.T[0]).values;
    ASSERT_EQ(values.size(), static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(values[static_cast<size_t>(i)] / static_cast<double>(i + 1), 1, 1e-8);
    }
    EXPECT_LE(orthogonality(run.basis[0].narrow(0, 0, n)), 1e-12);
  }
}

TEST(Lanczos, StaysOrthogonalInSinglePrecision) {
  const ritz::DiagonalOperator A(torch::arange(1, 301, torch::kFloat32));
  const auto run = ritz::lanczos(A, {.steps = 300});
  EXPECT_LE(orthogonality(run.basis[0].narrow(0, 0, run.T[0].order())), 1e-5);
}

TEST(Lanczos, SatisfiesItsInvariantForEveryProbeAndDtype) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const auto A = symmetric(101, dtype);
    const auto run = ritz::lanczos(ritz::DenseOperator(A), {.steps = 23, .probes = 3});
    const double eps = dtype == torch::kFloat ? 1.2e-7 : 2.3e-16;
    for (int64_t l = 0; l < 3; ++l) {
      const auto& T = run.T[static_cast<size_t>(l)];
      const auto Q = run.basis[l].narrow(0, 0, 23).t().to(torch::kDouble);
      auto right = Q.mm(dense(T));
      right.select(1, 22) += T.tail * run.basis[l][23].to(torch::kDouble);
      const auto gap = A.to(torch::kDouble).mm(Q) - right;
      EXPECT_LE(gap.abs().max().item<double>(), 10 * eps) << l;  // |A| is about 1
      EXPECT_LE(orthogonality(run.basis[l]), 20 * eps);
    }
    EXPECT_EQ(run.products, 69);
  }
}

TEST(Lanczos, ProbesInLockstepEqualProbesAlone) {
  const ritz::DenseOperator A(symmetric(57));
  const auto together = ritz::lanczos(A, {.steps = 20, .probes = 3, .seed = 9});
  for (int64_t l = 0; l < 3; ++l) {
    const auto alone = ritz::lanczos(A, {.steps = 20, .seed = 9, .first_probe = l});
    for (size_t j = 0; j < 20; ++j) {
      EXPECT_NEAR(together.T[static_cast<size_t>(l)].alpha[j], alone.T[0].alpha[j], 1e-9);
    }
  }
  const auto other = ritz::lanczos(A, {.steps = 1, .seed = 10});
  EXPECT_GT(std::abs(other.T[0].alpha[0] - together.T[0].alpha[0]), 1e-6);
}

TEST(Lanczos, StopsAfterRankPlusOneStepsWithTheExactSpectrum) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    for (const int64_t rank : {1, 2, 3, 8}) {
      const auto Q = std::get<0>(at::linalg_qr(normal({90, rank})));
      const auto d = torch::arange(1, rank + 1, torch::kDouble);
      const ritz::DenseOperator A((Q * d).mm(Q.t()).to(dtype));
      const auto run = ritz::lanczos(A, {.steps = 50});
      const auto& T = run.T[0];
      // The operator's own rounding, eps |A| in the null space, grows by
      // prod(lambda_i) / prod(beta_j) over the run (4e3 at rank 8): where that is above the
      // threshold one more step is taken, whose node has a weight of its square.
      EXPECT_LE(T.order(), rank + (rank <= 2 ? 1 : 2));
      const auto eigen = ritz::eigh_tridiagonal(T);
      const double tolerance = (dtype == torch::kFloat ? 1e-5 : 1e-13) * static_cast<double>(rank);
      for (size_t i = 0; i < static_cast<size_t>(rank); ++i) {
        EXPECT_NEAR(eigen.values[eigen.values.size() - 1 - i],
                    static_cast<double>(rank) - static_cast<double>(i), tolerance);
      }
      EXPECT_FALSE(run.basis.isnan().any().item<bool>());
      EXPECT_EQ(run.basis[0].slice(0, T.order()).abs().max().item<double>(), 0);
    }
  }
}

TEST(Lanczos, GoesOnWithTheOthersWhereOneProbeStops) {
  const ritz::DiagonalOperator A(torch::arange(1, 41, torch::kFloat64));
  auto start = torch::zeros({40, 3}, torch::kFloat64);
  start[0][0] = 1;                             // an eigenvector: one step
  start.slice(0, 0, 4).select(1, 1).fill_(1);  // four of them: four steps
  start.select(1, 2).fill_(1);
  const auto run = ritz::lanczos(A, {.steps = 9, .start_vectors = start});
  EXPECT_EQ(run.T[0].order(), 1);
  EXPECT_EQ(run.T[1].order(), 4);
  EXPECT_EQ(run.T[2].order(), 9);
  EXPECT_EQ(run.T[0].alpha[0], 1);
  const auto alone = ritz::lanczos(A, {.steps = 9, .start_vectors = start.select(1, 2)});
  for (size_t j = 0; j < 9; ++j) EXPECT_NEAR(run.T[2].alpha[j], alone.T[0].alpha[j], 1e-10);
}

TEST(Lanczos, ZeroOperatorAndOneDimensionWork) {
  const ritz::DiagonalOperator zero(torch::zeros({9}));
  const auto run = ritz::lanczos(zero);
  EXPECT_EQ(run.T[0].order(), 1);
  EXPECT_EQ(run.T[0].alpha[0], 0);
  const ritz::DiagonalOperator one(torch::full({1}, -2.5, torch::kFloat64));
  EXPECT_EQ(ritz::lanczos(one).T[0].alpha[0], -2.5);
}

TEST(Lanczos, ShiftMovesNodesOnly) {
  const auto A = std::make_shared<ritz::DenseOperator>(symmetric(80));
  const auto plain = ritz::eigh_tridiagonal(ritz::lanczos(*A, {.steps = 12}).T[0]);
  const auto moved =
      ritz::eigh_tridiagonal(ritz::lanczos(*ritz::shifted(A, 3), {.steps = 12}).T[0]);
  for (size_t k = 0; k < 12; ++k) {
    EXPECT_NEAR(moved.values[k], plain.values[k] + 3, 1e-12);
    EXPECT_NEAR(moved.first[k] * moved.first[k], plain.first[k] * plain.first[k], 1e-11);
  }
}

TEST(Lanczos, OperatorsThatReturnTheirArgumentAreSafe) {
  const ritz::SymmetricFunctionOperator A(30, torch::kFloat64, [](const Tensor& x) { return x; });
  const auto run = ritz::lanczos(A, {.steps = 5, .probes = 2});
  for (const auto& T : run.T) {
    EXPECT_EQ(T.order(), 1);
    EXPECT_NEAR(T.alpha[0], 1, 1e-15);
  }
}

TEST(Lanczos, RoundedBasisStaysNearlyOrthogonalAndNoneShowsGhosts) {
  // One large eigenvalue converges at once: without reorthogonalisation copies of it come back.
  auto d = torch::linspace(0, 1, 2000, torch::kFloat32);
  d[-1] = 20;
  const ritz::DiagonalOperator A(d);
  const auto count = [](const ritz::LanczosResult& run) {
    int found = 0;
    for (const double value : ritz::eigh_tridiagonal(run.T[0]).values) found += value > 19;
    return found;
  };
  const auto full = ritz::lanczos(A, {.steps = 60});
  const auto none = ritz::lanczos(A, {.steps = 60, .store = BasisStore::none});
  EXPECT_EQ(count(full), 1);
  EXPECT_GT(count(none), 1);
  EXPECT_TRUE(none.may_have_ghosts());
  EXPECT_FALSE(none.basis.defined());
  for (const auto store : {BasisStore::bfloat16, BasisStore::float16}) {
    const auto run = ritz::lanczos(A, {.steps = 60, .store = store});
    EXPECT_EQ(count(run), 1);
    EXPECT_EQ(run.basis.element_size(), 2);
    // Entries of Q Q^T are off by the rounding of two unit vectors: 2^-9, with random signs.
    EXPECT_LE(orthogonality(run.basis[0]), 6e-3);
    const auto a = ritz::eigh_tridiagonal(run.T[0]), b = ritz::eigh_tridiagonal(full.T[0]);
    EXPECT_NEAR(a.values.back(), b.values.back(), 1e-4);
    EXPECT_NEAR(a.values.front(), b.values.front(), 1e-4);
  }
}

TEST(Lanczos, TakesHermitianOperators) {
  const auto G = torch::complex(normal({40, 40}), normal({40, 40}, torch::kDouble, 1));
  const auto A = G + G.mH();
  const auto run = ritz::lanczos(ritz::DenseOperator(A), {.steps = 40});
  const auto expected = at::linalg_eigvalsh(A);
  const auto values = ritz::eigh_tridiagonal(run.T[0]).values;
  for (int64_t i = 0; i < 40; ++i) {
    EXPECT_NEAR(values[static_cast<size_t>(i)], expected[i].item<double>(), 1e-11);
  }
  const auto top = ritz::ritz_pairs(run, {.largest = 1}).largest;
  const auto v = top.vectors[0];
  EXPECT_LE((A.mv(v) - top.values[0] * v).norm().item<double>(), 1e-10);
}

TEST(RitzPairs, HaveHonestBoundsAndOrthonormalVectors) {
  const auto A = symmetric(200);
  const auto run = ritz::lanczos(ritz::DenseOperator(A), {.steps = 40});
  const auto pairs = ritz::ritz_pairs(run, {.largest = 3, .smallest = 2});
  EXPECT_EQ(pairs.smallest.values.size(0), 2);
  EXPECT_LT(pairs.smallest.values[0].item<double>(), pairs.smallest.values[1].item<double>());
  EXPECT_LE(orthogonality(pairs.largest.vectors), 1e-12);
  for (int64_t i = 0; i < 3; ++i) {
    const auto v = pairs.largest.vectors[i];
    const auto residual = (A.mv(v) - pairs.largest.values[i] * v).norm().item<double>();
    EXPECT_NEAR(residual, pairs.largest.residual_bounds[static_cast<size_t>(i)], 1e-12);
  }
}

TEST(RitzPairs, DropGhostsWithoutABasis) {
  auto d = torch::linspace(0, 1, 2000, torch::kFloat32);
  d[-1] = 20;
  d[-2] = 10;
  const ritz::DiagonalOperator A(d);
  const auto run = ritz::lanczos(A, {.steps = 80, .store = BasisStore::none});
  const auto top = ritz::ritz_pairs(run, {.largest = 3}).largest;
  EXPECT_FALSE(top.vectors.defined());
  EXPECT_NEAR(top.values[0].item<double>(), 20, 1e-4);
  EXPECT_NEAR(top.values[1].item<double>(), 10, 1e-4);
  EXPECT_LT(top.values[2].item<double>(), 1.01);
}

TEST(Lanczos, RejectsBadOptionsAndBadProducts) {
  const ritz::DiagonalOperator A(torch::ones({4}));
  EXPECT_THROW(ritz::lanczos(A, {.steps = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::lanczos(A, {.probes = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::lanczos(A, {.start_vectors = torch::ones({5})}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::lanczos(A, {.start_vectors = torch::zeros({4})}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::lanczos(A, {.start_vectors = torch::ones({4}, torch::kDouble)}),
               ritz::InvalidArgument);
  EXPECT_THROW(ritz::lanczos(ritz::DenseOperator(torch::ones({3, 4}))), ritz::InvalidArgument);
  const ritz::DiagonalOperator bad(torch::full({4}, std::nanf("")));
  EXPECT_THROW(ritz::lanczos(bad), ritz::NotConverged);
  EXPECT_THROW(ritz::ritz_pairs(ritz::lanczos(A), {.largest = 1, .probe = 1}),
               ritz::InvalidArgument);
}

}  // namespace
