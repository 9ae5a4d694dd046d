#include "ritz/sequence/hippo.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "tests/sequence/gradient_check.h"

namespace ritz::sequence {
namespace {

using test::largest_difference;

TEST(Hippo, MatrixIsLowerTriangularWithEigenvaluesMinusOneToMinusN) {
  for (const int64_t n : {1, 2, 7, 16}) {
    const Tensor A = hippo_matrix(n), B = hippo_input(n);
    EXPECT_EQ(A.triu(1).abs().max().item<double>(), 0);
    EXPECT_EQ(largest_difference(A.diagonal(), -torch::arange(1, n + 1, torch::kFloat64)), 0);
    if (n > 2) {
      EXPECT_DOUBLE_EQ(A[2][1].item<double>(), -std::sqrt(5.0) * std::sqrt(3.0));
    }
    // B^T B = n^2 and the transfer function's value at 0, B^T (-A)^-1 B = 1.
    EXPECT_NEAR(B.dot(B).item<double>(), static_cast<double>(n * n), 1e-12 * double(n * n));
    EXPECT_NEAR(B.dot(at::linalg_solve(-A, B)).item<double>(), 1, 1e-10);
  }
}

TEST(Hippo, NormalPartIsUnitarilyDiagonalWithExactPairs) {
  for (const int64_t n : {1, 2, 3, 8, 33, 64}) {
    const auto part = hippo_normal_part(n);
    const Tensor B = hippo_input(n), l = part.eigenvalues, V = part.V;
    const Tensor back = (V * l).mm(V.conj().t());
    const double scale = 1e-14 * double(n) * double(n);  // eps times the norm of A_n, about n^2/pi
    EXPECT_LE(torch::imag(back).abs().max().item<double>(), scale);
    EXPECT_LE(largest_difference(torch::real(back) - B.outer(B) / 2, hippo_matrix(n)), 4 * scale);
    EXPECT_LE(largest_difference(V.conj().t().mm(V), torch::eye(n, V.options())),
              1e-14 * double(n));
    EXPECT_EQ((torch::real(l) + 0.5).abs().max().item<double>(), 0);
    EXPECT_EQ(largest_difference(l.flip(0).conj(), l), 0);
    EXPECT_EQ(largest_difference(V.flip(1).conj(), V), 0);
  }
}

TEST(Hippo, ConjugateStorageKeepsHalfAndCountsARealEigenvalueOnce) {
  for (const int64_t n : {6, 7}) {
    const auto full = diagonal_hippo(n, {.storage = Storage::full});
    const auto half = diagonal_hippo(n);
    EXPECT_EQ(half.eigenvalues.size(0), (n + 1) / 2);
    EXPECT_EQ(half.weights.sum().item<double>(), double(n));
    EXPECT_EQ((half.weights == 1).sum().item<int64_t>(), n % 2);
    // The same real output for any real C and B: sum over all of C W (...) W^-1 B.
    const Tensor C = test::random_real({n}, 1).to(torch::kComplexDouble);
    const auto output = [&](const DiagonalSystem& system) {
      const Tensor terms = C.matmul(system.W) * system.B / (2.0 - system.eigenvalues);
      return (system.weights * torch::real(terms)).sum().item<double>();
    };
    EXPECT_NEAR(output(half), output(full), 1e-12);
  }
}

TEST(Hippo, DplrIsHippoInAnotherBasis) {
  for (const int64_t n : {5, 32}) {
    const auto s = dplr_hippo(n, Storage::full);
    const Tensor A = torch::diag(s.eigenvalues) - s.P.outer(s.P.conj());
    const Tensor back = s.V.mm(A).mm(s.V.conj().t());
    EXPECT_LE(largest_difference(torch::real(back), hippo_matrix(n)), 1e-14 * double(n * n * 4));
    EXPECT_LE(largest_difference(torch::real(s.V.matmul(s.B)), hippo_input(n)), 1e-12);
  }
}

TEST(Hippo, PublishedEigenvaluesOfS4dLinAndInv) {
  const Tensor lin = s4d_lin_eigenvalues(8), inv = s4d_inv_eigenvalues(8);
  EXPECT_EQ(lin.size(0), 4);
  EXPECT_DOUBLE_EQ(torch::imag(lin[3]).item<double>(), 3 * M_PI);
  EXPECT_DOUBLE_EQ(torch::imag(inv[0]).item<double>(), 8 / M_PI * 7);
  EXPECT_DOUBLE_EQ(torch::real(inv[2]).item<double>(), -0.5);
  EXPECT_THROW(s4d_lin_eigenvalues(7), InvalidArgument);
}

TEST(ConjugatePairs, RefusesEigenvaluesWithoutPartners) {
  const auto at = [](std::vector<double> re, std::vector<double> im) {
    return torch::complex(torch::tensor(re, torch::kFloat64), torch::tensor(im, torch::kFloat64));
  };
  EXPECT_THROW(pair_conjugates(at({-1, -1}, {2, 3})), InvalidArgument);
  EXPECT_THROW(pair_conjugates(at({-1, -1, -1}, {2, 2, -2})), InvalidArgument);
  EXPECT_THROW(pair_conjugates(at({-1}, {-2})), InvalidArgument);
  const auto kept = pair_conjugates(at({-3, -1, -2, -1}, {0, -5, 1e-12, 5}));
  EXPECT_TRUE(kept.weights.equal(torch::tensor({1., 1., 2.}, torch::kFloat64)));
  EXPECT_EQ(kept.index[2].item<int64_t>(), 3);
}

TEST(Hippo, RefusesNoStates) {
  EXPECT_THROW(hippo_matrix(0), InvalidArgument);
  EXPECT_THROW(diagonal_hippo(4, {.b_scale = 0}), InvalidArgument);
}

}  // namespace
}  // namespace ritz::sequence
