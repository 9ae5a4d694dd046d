#include "ritz/optim/kronecker/factor.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

class Factor : public testing::TestWithParam<at::ScalarType> {
 protected:
  Tensor normal(at::IntArrayRef shape) {
    return random_.normal(shape, at::TensorOptions(GetParam()));
  }
  double eps() const { return GetParam() == at::kFloat ? 1.2e-7 : 2.2e-16; }
  /// |a - b| / |b| in Frobenius' norm.
  static double difference(const Tensor& a, const Tensor& b) {
    return ((a - b).norm() / b.norm()).item<double>();
  }
  /// A well-conditioned second moment, whole.
  Tensor moment(int64_t d) {
    const Tensor X = normal({2 * d, d});
    return X.t().mm(X) / (2 * d);
  }

 private:
  ritz::RandomStream random_{5, ritz::stream_id("test/factor")};
};

// Orders around the panel's 128 columns, and odd ones.
constexpr int64_t kOrders[] = {1, 7, 127, 128, 129, 301};

TEST_P(Factor, GramKeepsAndAddsInTheLowerTriangle) {
  for (const int64_t d : kOrders) {
    const Tensor X = normal({37, d}), start = moment(d), M = start.tril();
    add_gram(M, X, 0.95, 0.05 / 37);
    const Tensor expected = (0.95 * start + 0.05 / 37 * X.t().mm(X)).tril();
    EXPECT_LT(difference(M.tril(), expected), 20 * eps()) << d;
  }
}

TEST_P(Factor, CholeskyTimesItsTransposeIsTheDampedMatrix) {
  for (const int64_t d : kOrders) {
    const Tensor M = moment(d), L = at::zeros_like(M);
    // What stands above the diagonal must not matter.
    EXPECT_EQ(damped_cholesky(M.tril() + at::ones_like(M).triu(1), 0.1, L), 0.1);
    EXPECT_TRUE(at::equal(L, L.tril()));
    EXPECT_LT(difference(L.mm(L.t()), M + 0.1 * at::eye(d, M.options())),
              10 * eps() * std::sqrt(d));
  }
}

TEST_P(Factor, DivideColumnsIsDivideRowsTransposed) {
  const Tensor M = moment(130), L = at::zeros_like(M), X = normal({130, 9});
  damped_cholesky(M, 0.5, L);
  EXPECT_LT(difference(divide_columns(L, X), divide_rows(X.t(), L).t()), 50 * eps());
}

TEST_P(Factor, DivideRowsSolvesFromTheRight) {
  for (const int64_t d : kOrders) {
    const Tensor M = moment(d), L = at::zeros_like(M), X = normal({9, d});
    damped_cholesky(M, 0.5, L);
    const Tensor back = divide_rows(X, L).mm(M + 0.5 * at::eye(d, M.options()));
    EXPECT_LT(difference(back, X), 50 * eps() * std::sqrt(d)) << d;
  }
}

TEST_P(Factor, RaisesDampingWhereRoundingMadeTheMatrixIndefinite) {
  const int64_t d = 50;
  const Tensor M = 3 * at::ones({d, d}, normal({1}).options()), L = at::zeros_like(M);
  const double used = damped_cholesky(M - 1e-3 * at::eye(d, M.options()), 0, L);
  EXPECT_GT(used, 1e-3);
  EXPECT_LT(used, 0.1);
  EXPECT_TRUE(at::isfinite(L).all().item<bool>());
}

TEST_P(Factor, RefusesAMatrixThatIsNotFinite) {
  const Tensor M = at::eye(3, normal({1}).options());
  M[1][1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(damped_cholesky(M, 1e-3, at::zeros_like(M)), ritz::NotConverged);
}

// (G kron A + damping I)^-1 as a dense matrix against the eigenvectors' form.
TEST_P(Factor, EigenDivisionInvertsTheDampedKroneckerProduct) {
  const int64_t o = 5, i = 4;
  const Tensor Mg = moment(o), Ma = moment(i), X = normal({o, i});
  const Tensor K = at::kron(Mg, Ma) + 0.03 * at::eye(o * i, Mg.options());
  const Tensor expected = at::linalg_solve(K, X.reshape({-1, 1})).view({o, i});
  const Tensor found = divide_by_eigen(X, eigen_factor(Mg.tril()), eigen_factor(Ma.tril()), 0.03);
  EXPECT_LT(difference(found, expected), 500 * eps());
}

TEST_P(Factor, EigenDivisionOfRowsEqualsThatOfTheirProduct) {
  const Tensor G = normal({6, 31}), A = normal({6, 17});
  const auto g = eigen_factor(moment(31)), a = eigen_factor(moment(17));
  EXPECT_LT(difference(divide_by_eigen(G, A, 0.25, g, a, 0.1),
                       divide_by_eigen(0.25 * G.t().mm(A), g, a, 0.1)),
            100 * eps());
}

TEST_P(Factor, EigenvaluesBelowZeroAreZero) {
  const Tensor M = at::eye(2, normal({1}).options());
  M[1][1] = -1e-3;
  EXPECT_EQ(eigen_factor(M).d.min().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Kronecker, Factor, testing::Values(at::kFloat, at::kDouble),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

}  // namespace
