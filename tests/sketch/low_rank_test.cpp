// The range finder, the randomised singular value decomposition and the Nystrom approximation.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/sketch/nystrom.h"
#include "ritz/sketch/range_finder.h"

namespace {

using ritz::DenseOperator;
using ritz::Tensor;

double norm2(const Tensor& A) {
  return at::linalg_matrix_norm(A, 2).item<double>();
}
double epsilon(const Tensor& A) {
  return c10::toRealValueType(A.scalar_type()) == at::kDouble ? 2.3e-16 : 1.2e-7;
}
Tensor random_basis(int64_t n, int64_t k, at::ScalarType type = at::kDouble) {
  ritz::RandomStream random(2, static_cast<uint64_t>(n));
  return std::get<0>(at::linalg_qr(random.normal({n, k}, type)));
}
// m x n with the given singular values.
Tensor with_singular_values(int64_t m, int64_t n, const Tensor& s, at::ScalarType type) {
  const auto wide = c10::isComplexType(type) ? at::kComplexDouble : at::kDouble;
  const auto k = s.size(0);
  return (random_basis(m, k, wide) * s).matmul(random_basis(n, k, wide).mH()).to(type);
}
const double kTop = 9;
Tensor rank6() {
  return at::tensor({kTop, 7., 5., 3., 2., 1.}, at::kDouble);
}

class LowRank : public testing::TestWithParam<at::ScalarType> {};
INSTANTIATE_TEST_SUITE_P(Types, LowRank,
                         testing::Values(at::kFloat, at::kDouble, at::kComplexDouble));

TEST_P(LowRank, IsFoundExactlyByTheSvd) {
  for (const auto& [m, n] : {std::pair<int64_t, int64_t>{41, 23}, {23, 41}}) {
    const auto A = with_singular_values(m, n, rank6(), GetParam());
    const auto svd =
        ritz::randomized_svd(DenseOperator(A), {.rank = 6, .oversampling = 3, .error_probes = 4});
    const double tolerance = kTop * 41 * epsilon(A);
    EXPECT_LT((svd.S.to(at::kDouble) - rank6()).abs().max().item<double>(), tolerance);
    EXPECT_LT(norm2((svd.U * svd.S).matmul(svd.V.mH()) - A), tolerance);
    EXPECT_LT(*svd.error_bound, 100 * tolerance);
    EXPECT_EQ(svd.products, 9 + 4 + 9);
  }
}

TEST_P(LowRank, IsFoundExactlyByNystrom) {
  const auto square = with_singular_values(37, 37, rank6(), GetParam());
  const auto A = square.matmul(square.mH());
  const auto nys = ritz::nystrom(DenseOperator(A), {.rank = 9, .oversampling = 2});
  const double tolerance = kTop * kTop * 37 * epsilon(A);
  const auto top = nys.eigenvalues.narrow(0, 0, 6).to(at::kDouble);
  EXPECT_LT((top - rank6().square()).abs().max().item<double>(), tolerance);
  EXPECT_LT(nys.eigenvalues[6].item<double>(), tolerance);
  const auto F = nys.factor();
  EXPECT_LT(norm2(F.matmul(F.mH()) - A), tolerance);
  const auto gram = nys.U.mH().matmul(nys.U);
  EXPECT_LT((gram - at::eye(9, A.options())).abs().max().item<double>(), 100 * epsilon(A));
  EXPECT_EQ(nys.products, 11);
}

TEST(RangeFinder, ErrorIsWithinHalkosBoundAndItsOwn) {
  const auto s = at::pow(at::arange(1, 61, at::kDouble), -1.0);
  const auto A = with_singular_values(80, 60, s, at::kDouble);
  const DenseOperator op(A);
  const int64_t k = 10, p = 5, runs = 40;
  double mean_square = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const auto basis = ritz::range_finder(
        op, {.rank = k, .oversampling = p, .error_probes = 6, .seed = static_cast<uint64_t>(run)});
    EXPECT_EQ(basis.Q.size(1), k + p);
    const auto rest = A - basis.Q.matmul(basis.Q.t().matmul(A));
    mean_square += rest.square().sum().item<double>() / static_cast<double>(runs);
    EXPECT_LE(norm2(rest), *basis.error_bound) << "fails with probability 1e-6";
    EXPECT_GT(norm2(rest), s[k + p].item<double>() * (1 - 1e-12)) << "better than the svd";
  }
  const double tail = s.narrow(0, k, 60 - k).square().sum().item<double>();
  EXPECT_LT(mean_square, (1 + static_cast<double>(k) / (p - 1)) * tail);
}

TEST(RangeFinder, PowerIterationsApproachTheBestSubspace) {
  const auto s = at::pow(at::arange(1, 61, at::kDouble), -0.5);
  const auto A = with_singular_values(60, 60, s, at::kDouble);
  std::vector<double> errors;
  for (const int64_t q : {0, 1, 10}) {
    const auto basis =
        ritz::range_finder(DenseOperator(A), {.rank = 8, .oversampling = 4, .power_iterations = q});
    EXPECT_EQ(basis.products, 12 * (1 + 2 * q));
    errors.push_back(norm2(A - basis.Q.matmul(basis.Q.t().matmul(A))));
  }
  EXPECT_LT(errors[1], errors[0]);
  EXPECT_LT(errors[2], errors[1]);
  EXPECT_LT(errors[2], s[8].item<double>()) << "the best rank 8, once oversampling is converged";
}

TEST(Nystrom, NeverExceedsTheOperatorAndIsWithinItsExpectedError) {
  const auto s = at::pow(at::arange(1, 61, at::kDouble), -2.0);
  const auto Q = random_basis(60, 60);
  const auto A = (Q * s).matmul(Q.t());
  const auto tail = [&](int64_t k) { return s.narrow(0, k, 60 - k).sum().item<double>(); };
  const int64_t runs = 20;
  double mean = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const auto F =
        ritz::nystrom(DenseOperator(A),
                      {.rank = 20, .oversampling = 0, .seed = static_cast<uint64_t>(run)})
            .factor();
    const auto rest = A - F.matmul(F.t());
    EXPECT_GT(at::linalg_eigvalsh(rest).min().item<double>(), -1e-14);
    const double trace = rest.trace().item<double>();
    EXPECT_GT(trace, tail(20));
    mean += trace / static_cast<double>(runs);
  }
  // Tropp et al. 2017, Theorem 4.1: (1 + k / (20 - k - 1)) tail(k) for every k < 19.
  EXPECT_LT(mean, (1 + 10.0 / 9) * tail(10));
}

TEST(Nystrom, PreconditionerCollapsesTheCondition) {
  const auto s =
      at::cat({at::tensor({1e4, 1e3, 1e2}, at::kDouble), at::full({40}, 1e-3, at::kDouble)});
  const auto Q = random_basis(43, 43);
  const auto A = (Q * s).matmul(Q.t());
  const double mu = 1e-2;
  const auto M = ritz::nystrom_preconditioner(ritz::nystrom(DenseOperator(A), {.rank = 6}), mu);
  const auto shifted = A + mu * at::eye(43, at::kDouble);
  const auto values = at::real(at::linalg_eigvals(ritz::to_dense(*M).matmul(shifted)));
  // (1e-3 + mu) / mu = 1.1
  EXPECT_LT((values.max() / values.min()).item<double>(), 1.11);
}

TEST(Nystrom, RefusesAnIndefiniteOperatorAndTakesTheZeroOne) {
  const auto A = at::diag(at::tensor({3., 2., -1., 1., 0.5}, at::kDouble));
  EXPECT_THROW(ritz::nystrom(DenseOperator(A), {.rank = 3}), ritz::InvalidArgument);
  const auto zero = ritz::nystrom(DenseOperator(at::zeros({5, 5}, at::kFloat)), {.rank = 3});
  EXPECT_LT(zero.eigenvalues.max().item<double>(), 1e-30);
}

TEST(LowRankMethods, NameWhatIsWrong) {
  const DenseOperator wide(at::zeros({3, 4}, at::kDouble));
  EXPECT_THROW(ritz::range_finder(wide, {.rank = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::range_finder(wide, {.oversampling = -1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::nystrom(wide), ritz::InvalidArgument);
  const auto nys = ritz::nystrom(DenseOperator(at::eye(4, at::kDouble)));
  EXPECT_THROW(ritz::nystrom_preconditioner(nys, 0), ritz::InvalidArgument);
}

}  // namespace
