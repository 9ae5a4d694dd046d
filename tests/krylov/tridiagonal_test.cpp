#include "ritz/krylov/tridiagonal.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using ritz::Tensor;
using ritz::Tridiagonal;

Tridiagonal random_tridiagonal(int64_t m, uint64_t seed) {
  ritz::RandomStream random(seed, ritz::stream_id("tests/tridiagonal"));
  const auto numbers = random.normal({2, m}, torch::kFloat64);
  Tridiagonal T;
  for (int64_t i = 0; i < m; ++i) {
    T.alpha.push_back(numbers[0][i].item<double>());
    if (i + 1 < m) T.beta.push_back(numbers[1][i].item<double>());
  }
  return T;
}

Tensor dense(const Tridiagonal& T) {
  auto A = torch::diag(torch::tensor(T.alpha, torch::kFloat64));
  const auto beta = torch::tensor(T.beta, torch::kFloat64);
  return A + torch::diag(beta, 1) + torch::diag(beta, -1);
}

TEST(Tridiagonal, AgreesWithTheDenseSolver) {
  for (const int64_t m : {1, 2, 3, 17, 100}) {
    const auto T = random_tridiagonal(m, static_cast<uint64_t>(m));
    const auto A = dense(T);
    const auto eigen = ritz::eigh_tridiagonal(T, true);
    const auto expected = at::linalg_eigvalsh(A);
    const auto values = torch::tensor(eigen.values, torch::kFloat64);
    const auto U = torch::tensor(eigen.vectors, torch::kFloat64).reshape({m, m});
    const double scale = 1e-15 * static_cast<double>(m) * 10;
    EXPECT_LE((values - expected).abs().max().item<double>(), scale);
    EXPECT_LE((A.mm(U) - U * values).abs().max().item<double>(), scale);
    EXPECT_LE((U.t().mm(U) - torch::eye(m, torch::kFloat64)).abs().max().item<double>(), scale);
  }
}

TEST(Tridiagonal, FirstAndLastRowsNeedNoOtherVectors) {
  const auto T = random_tridiagonal(41, 5);
  const auto all = ritz::eigh_tridiagonal(T, true), ends = ritz::eigh_tridiagonal(T);
  EXPECT_TRUE(ends.vectors.empty());
  for (size_t k = 0; k < 41; ++k) {
    EXPECT_EQ(all.values[k], ends.values[k]);
    EXPECT_EQ(all.vectors[k], ends.first[k]);
    EXPECT_EQ(all.vectors[40 * 41 + k], ends.last[k]);
  }
}

TEST(Tridiagonal, HandlesZerosAndWideScales) {
  const auto zero = ritz::eigh_tridiagonal({{0, 0, 0}, {0, 0}, 0});
  EXPECT_EQ(zero.values, (std::vector<double>{0, 0, 0}));
  // Graded: 1e150 to 1e-150; each value keeps its own accuracy where the matrix is graded
  // downwards.
  const auto graded = ritz::eigh_tridiagonal({{1e150, 1, 1e-150}, {1e70, 1e-80}, 0});
  for (const double value : graded.values) EXPECT_TRUE(std::isfinite(value));
  EXPECT_NEAR(graded.values[2] / 1e150, 1, 1e-14);
}

TEST(Tridiagonal, RejectsNanAndWrongLengths) {
  EXPECT_THROW(ritz::eigh_tridiagonal({}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::eigh_tridiagonal({{1, std::nan("")}, {1}, 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::eigh_tridiagonal({{1, 2}, {1, 1}, 0}), ritz::InvalidArgument);
}

}  // namespace
