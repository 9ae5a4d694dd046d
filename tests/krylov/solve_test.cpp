// CG, MINRES, LSQR and Arnoldi against dense solutions and known iteration counts.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/krylov/arnoldi.h"
#include "ritz/krylov/cg.h"
#include "ritz/krylov/lsqr.h"
#include "ritz/krylov/minres.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"
#include "ritz/linop/function_operator.h"

namespace {

using ritz::Stop;
using ritz::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t index, c10::ScalarType dtype = torch::kDouble) {
  ritz::RandomStream random(6, ritz::stream_id("tests/solve", index));
  return random.normal(shape, torch::kFloat64).to(dtype);
}

Tensor rotation(int64_t n, uint64_t index) {
  return std::get<0>(at::linalg_qr(normal({n, n}, index)));
}

// A symmetric matrix with these eigenvalues.
Tensor with_spectrum(const Tensor& d, uint64_t index = 0) {
  const auto Q = rotation(d.size(0), index);
  const auto A = (Q * d).mm(Q.t());
  return (A + A.t()) / 2;
}

double error(const Tensor& a, const Tensor& b) {
  return (a - b).norm().item<double>();
}

TEST(Cg, SolvesLikeTheDenseSolverForBlocksInEitherPrecision) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const auto A = with_spectrum(torch::linspace(1, 20, 51, torch::kDouble)).to(dtype);
    const auto B = normal({51, 3}, 1, dtype);
    const double rtol = dtype == torch::kFloat ? 1e-5 : 1e-12;
    const auto run = ritz::cg(ritz::DenseOperator(A), B, {.rtol = rtol});
    ASSERT_TRUE(run.converged);
    EXPECT_EQ(run.x.sizes(), B.sizes());
    for (int64_t j = 0; j < 3; ++j) {
      const auto column = ritz::cg(ritz::DenseOperator(A), B.select(1, j), {.rtol = rtol});
      EXPECT_EQ(column.residuals[0].size(), run.residuals[static_cast<size_t>(j)].size());
      const auto residual = error(A.mv(column.x), B.select(1, j));
      EXPECT_LE(residual, 2 * rtol * B.select(1, j).norm().item<double>());
      EXPECT_LE(error(run.x.select(1, j), column.x), 10 * rtol);
    }
  }
}

TEST(Cg, TakesAsManyStepsAsThereAreDistinctEigenvalues) {
  auto d = torch::ones({60}, torch::kDouble);
  d.slice(0, 20, 40).fill_(3);
  d.slice(0, 40).fill_(7);
  const ritz::DenseOperator A(with_spectrum(d));
  EXPECT_EQ(ritz::cg(A, normal({60}, 2), {.rtol = 1e-10}).iterations, 3);
  const ritz::DiagonalOperator I(torch::ones({5}, torch::kDouble));
  EXPECT_EQ(ritz::cg(I, torch::ones({5}, torch::kDouble)).iterations, 1);
}

TEST(Cg, ErrorFallsAtLeastAsFastAsTheConditionNumberPromises) {
  const double kappa = 100;
  const auto A = with_spectrum(torch::linspace(1, kappa, 200, torch::kDouble));
  const auto b = normal({200}, 3);
  const auto exact = at::linalg_solve(A, b);
  const auto energy = [&](const Tensor& x) {
    const auto e = x - exact;
    return std::sqrt(e.dot(A.mv(e)).item<double>());
  };
  const double rate = (std::sqrt(kappa) - 1) / (std::sqrt(kappa) + 1);
  for (const int64_t steps : {5, 20, 40}) {
    const auto run = ritz::cg(ritz::DenseOperator(A), b, {.rtol = 0, .max_iterations = steps});
    EXPECT_LE(energy(run.x), 2 * std::pow(rate, steps) * energy(torch::zeros_like(b)));
  }
}

TEST(Cg, PreconditionerWithTheInverseNeedsOneStep) {
  const auto d = torch::linspace(1, 1e4, 80, torch::kDouble);
  const ritz::LowRankDiagonalOperator A(d, normal({80, 3}, 4));
  const auto inverse = A.inverse();
  const auto b = normal({80}, 5);
  const auto run = ritz::cg(A, b, {.rtol = 1e-9, .preconditioner = &inverse});
  ASSERT_TRUE(run.converged);
  EXPECT_LE(run.iterations, 2);
  const ritz::DiagonalOperator jacobi(1 / d);
  const auto better = ritz::cg(A, b, {.rtol = 1e-9, .preconditioner = &jacobi});
  const auto plain = ritz::cg(A, b, {.rtol = 1e-9});
  EXPECT_LT(better.iterations, 30);
  EXPECT_GT(plain.iterations, 2 * better.iterations);
  EXPECT_LE(error(A.apply(better.x), b), 2e-9 * b.norm().item<double>());
}

TEST(Cg, NoticesOperatorsThatAreNotPositiveDefinite) {
  const ritz::DiagonalOperator A(torch::tensor({1., -1., 2.}, torch::kDouble));
  const auto b = torch::tensor({0., 1., 0.}, torch::kDouble);
  const auto run = ritz::cg(A, b);
  EXPECT_FALSE(run.converged);
  EXPECT_EQ(run.stop[0], Stop::not_positive_definite);
  EXPECT_THROW(ritz::cg(A, b, {.require_converged = true}), ritz::NotConverged);
  // The other column of a block goes on.
  const auto block = torch::stack({b, torch::tensor({2., 0., 6.}, torch::kDouble)}, 1);
  const auto both = ritz::cg(A, block);
  EXPECT_EQ(both.stop[1], Stop::converged);
  EXPECT_NEAR(both.x[2][1].item<double>(), 3, 1e-6);
}

TEST(Cg, SolvesConsistentSingularSystemsAndStartsWhereAsked) {
  auto d = torch::linspace(0, 5, 30, torch::kDouble);
  const auto A = with_spectrum(d);
  const ritz::DenseOperator op(A);
  const auto b = A.mv(normal({30}, 6));
  const auto run = ritz::cg(op, b, {.rtol = 1e-10});
  ASSERT_TRUE(run.converged);
  EXPECT_LE(error(A.mv(run.x), b), 1e-9 * b.norm().item<double>());
  EXPECT_EQ(ritz::cg(op, b, {.rtol = 1e-9, .x0 = run.x}).iterations, 0);
  EXPECT_EQ(ritz::cg(op, torch::zeros_like(b)).iterations, 0);
}

TEST(Minres, SolvesIndefiniteSystemsForBlocksInEitherPrecision) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    auto d = torch::linspace(-5, 9, 50, torch::kDouble) + 0.1;
    const auto A = with_spectrum(d).to(dtype);
    const auto B = normal({50, 3}, 7, dtype);
    const double rtol = dtype == torch::kFloat ? 1e-4 : 1e-10;
    const auto run = ritz::minres(ritz::DenseOperator(A), B, {.rtol = rtol});
    ASSERT_TRUE(run.converged);
    EXPECT_LE(error(A.mm(run.x), B), 2 * rtol * B.norm().item<double>());
    for (const auto& history : run.residuals) {
      for (size_t i = 1; i < history.size(); ++i) EXPECT_LE(history[i], history[i - 1] * 1.000001);
    }
  }
}

TEST(Minres, MinimisesTheResidualOverTheKrylovSpace) {
  const auto A = with_spectrum(torch::linspace(-3, 4, 40, torch::kDouble) + 0.03);
  const auto b = normal({40}, 8);
  for (const int64_t steps : {1, 2, 5, 9}) {
    const auto run = ritz::minres(ritz::DenseOperator(A), b, {.rtol = 0, .max_iterations = steps});
    std::vector<Tensor> powers{b / b.norm()};
    for (int64_t i = 1; i < steps; ++i) {
      auto next = A.mv(powers.back());
      for (const auto& q : powers) next = next - q * q.dot(next);
      for (const auto& q : powers) next = next - q * q.dot(next);
      powers.push_back(next / next.norm());
    }
    const auto AK = A.mm(torch::stack(powers, 1));
    const auto Q = std::get<0>(at::linalg_qr(AK));
    const double best = (b - Q.mv(Q.t().mv(b))).norm().item<double>();
    EXPECT_NEAR(error(A.mv(run.x), b), best, 1e-10);
    EXPECT_NEAR(run.residuals[0].back(), best, 1e-10);
  }
}

TEST(Minres, EndsAsSingularWithALeastSquaresSolution) {
  auto d = torch::linspace(-4, 6, 30, torch::kDouble) + 0.05;
  d.slice(0, 0, 3).zero_();
  const auto A = with_spectrum(d);
  const auto b = normal({30}, 9);
  const auto run = ritz::minres(ritz::DenseOperator(A), b, {.rtol = 1e-12});
  EXPECT_FALSE(run.converged);
  EXPECT_EQ(run.stop[0], Stop::singular);
  // sqrt(eps) |A| |r|
  EXPECT_LE(A.mv(A.mv(run.x) - b).norm().item<double>(), 2e-7);
  // A consistent one converges; b in the null space alone is singular at once.
  EXPECT_TRUE(ritz::minres(ritz::DenseOperator(A), A.mv(b), {.rtol = 1e-8}).converged);
  const ritz::DiagonalOperator zero(torch::zeros({4}, torch::kDouble));
  const auto nothing = ritz::minres(zero, torch::ones({4}, torch::kDouble));
  EXPECT_EQ(nothing.stop[0], Stop::singular);
  EXPECT_EQ(nothing.x.abs().max().item<double>(), 0);
}

TEST(Minres, PreconditionerShortensAndExactBreakdownEnds) {
  const auto d = torch::linspace(1, 1e4, 90, torch::kDouble);
  const auto sign = torch::where(torch::arange(90) % 2 == 0, 1., -1.).to(torch::kDouble);
  const ritz::DiagonalOperator A(d * sign), M(1 / d);
  const auto b = normal({90}, 10);
  const auto run = ritz::minres(A, b, {.rtol = 1e-10, .preconditioner = &M});
  ASSERT_TRUE(run.converged);
  EXPECT_EQ(run.iterations, 2);  // M A has the eigenvalues 1 and -1
  EXPECT_LE(error(A.apply(run.x), b), 1e-7 * b.norm().item<double>());
  EXPECT_EQ(ritz::minres(A, torch::zeros_like(b)).iterations, 0);
}

TEST(Lsqr, SolvesTallAndWideSystemsInEitherPrecision) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const double tolerance = dtype == torch::kFloat ? 1e-6 : 1e-13;
    const auto A = normal({61, 17}, 11, dtype), B = normal({61, 3}, 12, dtype);
    const auto tall = ritz::lsqr(ritz::DenseOperator(A), B, {.atol = tolerance, .btol = tolerance});
    ASSERT_TRUE(tall.converged);
    EXPECT_EQ(tall.stop[0], Stop::least_squares);
    const auto exact = at::linalg_pinv(A).mm(B);
    EXPECT_LE(error(tall.x, exact), 100 * tolerance);
    EXPECT_NEAR(tall.residuals[1].back(), error(A.mm(exact).select(1, 1), B.select(1, 1)), 1e-5);
    // Wide: the solution of least norm.
    const auto wide = ritz::lsqr(ritz::DenseOperator(A.t()), B.slice(0, 0, 17),
                                 {.atol = tolerance, .btol = tolerance});
    EXPECT_EQ(wide.stop[0], Stop::converged);
    EXPECT_LE(error(wide.x, at::linalg_pinv(A.t()).mm(B.slice(0, 0, 17))), 100 * tolerance);
  }
}

TEST(Lsqr, DampedSolutionsAreTikhonovs) {
  const auto A = normal({30, 12}, 13), b = normal({30}, 14);
  const double damp = 1.7;
  const auto run =
      ritz::lsqr(ritz::DenseOperator(A), b, {.atol = 1e-13, .btol = 1e-13, .damp = damp});
  const auto normal_matrix = A.t().mm(A) + damp * damp * torch::eye(12, torch::kDouble);
  const auto exact = at::linalg_solve(normal_matrix, A.t().mv(b));
  ASSERT_TRUE(run.converged);
  EXPECT_LE(error(run.x, exact), 1e-11);
  const double augmented = std::sqrt(std::pow(error(A.mv(exact), b), 2) +
                                     std::pow(damp * exact.norm().item<double>(), 2));
  EXPECT_NEAR(run.residuals[0].back(), augmented, 1e-10);
}

TEST(Lsqr, StopsAtTheConditionLimitAndHandlesTrivialSystems) {
  const ritz::DiagonalOperator A(torch::logspace(0, -9, 40, 10., torch::kDouble));
  const auto run =
      ritz::lsqr(A, torch::ones({40}, torch::kDouble), {.atol = 0, .btol = 0, .conlim = 1e3});
  EXPECT_EQ(run.stop[0], Stop::condition_limit);
  EXPECT_FALSE(run.converged);
  EXPECT_GE(run.condition[0], 1e3);
  EXPECT_THROW(ritz::lsqr(A, torch::ones({40}, torch::kDouble),
                          {.max_iterations = 1, .require_converged = true}),
               ritz::NotConverged);
  // b orthogonal to the range, and b = 0.
  const ritz::DenseOperator tall(torch::tensor({{1.}, {0.}}, torch::kDouble));
  const auto outside = ritz::lsqr(tall, torch::tensor({0., 1.}, torch::kDouble));
  EXPECT_EQ(outside.stop[0], Stop::least_squares);
  EXPECT_EQ(outside.x[0].item<double>(), 0);
  EXPECT_TRUE(ritz::lsqr(tall, torch::zeros({2}, torch::kDouble)).converged);
  // A breakdown (beta = 0 after one step) leaves the exact solution.
  const auto exact = ritz::lsqr(tall, torch::tensor({3., 0.}, torch::kDouble));
  EXPECT_EQ(exact.iterations, 1);
  EXPECT_NEAR(exact.x[0].item<double>(), 3, 1e-15);
}

TEST(Solvers, TakeComplexSystems) {
  const auto G = torch::complex(normal({25, 25}, 15), normal({25, 25}, 16));
  const auto A = G.mm(G.mH()) / 25 + torch::eye(25, torch::kDouble);
  const auto b = torch::complex(normal({25}, 17), normal({25}, 18));
  const auto exact = at::linalg_solve(A, b);
  const ritz::DenseOperator op(A);
  EXPECT_LE(error(ritz::cg(op, b, {.rtol = 1e-12}).x, exact), 1e-10);
  EXPECT_LE(error(ritz::minres(op, b, {.rtol = 1e-12}).x, exact), 1e-10);
  EXPECT_LE(error(ritz::lsqr(op, b, {.atol = 1e-13, .btol = 1e-13}).x, exact), 1e-10);
}

TEST(Solvers, RejectWhatDoesNotFit) {
  const ritz::DiagonalOperator A(torch::ones({4}, torch::kDouble));
  const auto b = torch::ones({4}, torch::kDouble);
  EXPECT_THROW(ritz::cg(A, torch::ones({5}, torch::kDouble)), ritz::InvalidArgument);
  EXPECT_THROW(ritz::cg(A, torch::ones({4})), ritz::InvalidArgument);
  EXPECT_THROW(ritz::cg(A, torch::full({4}, std::nan(""), torch::kDouble)), ritz::InvalidArgument);
  EXPECT_THROW(ritz::cg(A, b, {.rtol = -1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::minres(ritz::DenseOperator(torch::ones({4, 5}, torch::kDouble)), b),
               ritz::InvalidArgument);
  EXPECT_THROW(ritz::lsqr(A, b, {.damp = -1}), ritz::InvalidArgument);
  const ritz::DiagonalOperator M(torch::ones({5}, torch::kDouble));
  EXPECT_THROW(ritz::cg(A, b, {.preconditioner = &M}), ritz::InvalidArgument);
  const ritz::DiagonalOperator bad(torch::full({4}, std::nan(""), torch::kDouble));
  EXPECT_THROW(ritz::cg(bad, b), ritz::NotConverged);
  EXPECT_THROW(ritz::minres(bad, b), ritz::NotConverged);
  EXPECT_THROW(ritz::lsqr(bad, b), ritz::NotConverged);
  const ritz::FunctionOperator one_way(4, 4, torch::kDouble, [](const Tensor& x) { return 2 * x; });
  EXPECT_THROW(ritz::lsqr(one_way, b), ritz::Unsupported);
}

TEST(Arnoldi, SatisfiesItsInvariantForRealAndComplexOperators) {
  const auto real = normal({43, 43}, 19);
  for (const auto& A : {real, torch::complex(real, normal({43, 43}, 20))}) {
    const auto run = ritz::arnoldi(ritz::DenseOperator(A), {.steps = 15});
    const auto Q = run.basis.t();  // [43, 16]
    EXPECT_FALSE(run.invariant);
    EXPECT_LE((A.mm(Q.narrow(1, 0, 15)) - Q.mm(run.hessenberg)).abs().max().item<double>(), 1e-12);
    const auto gram = Q.mH().mm(Q) - torch::eye(16, torch::kDouble);
    EXPECT_LE(gram.abs().max().item<double>(), 1e-14);
    EXPECT_EQ(run.hessenberg.tril(-2).abs().max().item<double>(), 0);
  }
}

TEST(Arnoldi, FindsAllEigenvaluesOfASmallOperatorAndStopsOnInvariantSpaces) {
  const auto A = normal({20, 20}, 21);
  const auto values = ritz::arnoldi(ritz::DenseOperator(A), {.steps = 50}).ritz_values();
  const auto exact = at::linalg_eigvals(A);
  ASSERT_EQ(values.size(0), 20);
  const auto distance = (values.unsqueeze(1) - exact).abs();
  EXPECT_LE(std::get<0>(distance.min(1)).max().item<double>(), 1e-10);
  // A cyclic shift of 6 elements inside 10: from one of them the space closes after 6 steps.
  auto shift = torch::zeros({10, 10}, torch::kDouble);
  for (int64_t i = 0; i < 6; ++i) shift[(i + 1) % 6][i] = 1;
  auto start = torch::zeros({10}, torch::kDouble);
  start[0] = 1;
  const auto run = ritz::arnoldi(ritz::DenseOperator(shift), {.steps = 9, .start = start});
  EXPECT_TRUE(run.invariant);
  EXPECT_EQ(run.hessenberg.sizes(), (std::vector<int64_t>{6, 6}));
  EXPECT_NEAR(run.ritz_values().abs().min().item<double>(), 1, 1e-13);
}

}  // namespace
