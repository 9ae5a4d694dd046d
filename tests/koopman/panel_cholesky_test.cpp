#include "ritz/koopman/detail/panel_cholesky.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "tests/koopman/systems.h"

namespace ritz::koopman::detail {
namespace {

using namespace koopman::tests;

double* numbers(const Tensor& x) {
  return reinterpret_cast<double*>(x.data_ptr<c10::complex<double>>());
}

std::vector<double> panels_of(const PanelLayout& layout, const Tensor& X, double pad) {
  std::vector<double> values(static_cast<size_t>(layout.size()));
  to_panels(layout, numbers(X.contiguous()), pad, values.data());
  return values;
}

Tensor positive(int64_t n, uint64_t stream) {
  const Tensor A = normal({n, n}, stream, torch::kComplexDouble);
  return A.mH().matmul(A) + torch::eye(n, torch::kComplexDouble);
}

TEST(PanelCholesky, FactorsAndSolvesEveryOrderAroundAPanel) {
  for (const int64_t n : {1, 3, 11, 12, 13, 25, 60, 97}) {
    const PanelLayout layout(n);
    const Tensor H = positive(n, static_cast<uint64_t>(n));
    std::vector<double> C = panels_of(layout, H, 1);
    ASSERT_TRUE(factor(layout, C.data()));
    const Tensor expected = at::linalg_cholesky(H);
    double error = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k <= i; ++k) {
        const auto value = expected[i][k].item<c10::complex<double>>();
        const double* at = C.data() + PanelLayout::at(i, k);
        error = std::max(error, std::hypot(at[0] - value.real(), at[1] - value.imag()));
      }
    }
    EXPECT_LT(error, 1e-13 * static_cast<double>(n + 10)) << n;
    Tensor x = torch::zeros({layout.padded()}, torch::kComplexDouble);
    const Tensor b = normal({n}, 99, torch::kComplexDouble);
    x.slice(0, 0, n).copy_(b);
    solve(layout, C.data(), numbers(x));
    EXPECT_LT(difference(H.matmul(x.slice(0, 0, n)), b), 1e-11) << n;
    if (layout.padded() > n) {
      EXPECT_EQ(x.slice(0, n).abs().max().item<double>(), 0);
    }
  }
}

TEST(PanelCholesky, TheShiftedNormalMatrixIsItsFormula) {
  const int64_t n = 17;
  const PanelLayout layout(n);
  const Tensor A = normal({n, n}, 1, torch::kComplexDouble);
  const Tensor L = positive(n, 2);
  const c10::complex<double> z(0.3, -0.7), i(0, 1);
  const Tensor H = L - z * A.mH() - std::conj(z) * A +
                   (z * std::conj(z)).real() * torch::eye(n, torch::kComplexDouble);
  const auto l = panels_of(layout, L, 1), p = panels_of(layout, A + A.mH(), 0);
  const auto q = panels_of(layout, (A - A.mH()) * i, 0), h = panels_of(layout, H, 1);
  std::vector<double> out(l.size());
  shifted_normal_matrix(layout, l.data(), p.data(), q.data(), z.real(), z.imag(), out.data());
  for (size_t k = 0; k < out.size(); ++k) EXPECT_NEAR(out[k], h[k], 1e-13);
}

TEST(PanelCholesky, AMatrixThatIsNotPositiveIsRefused) {
  const PanelLayout layout(20);
  Tensor H = positive(20, 3);
  H[15][15] = -1;
  std::vector<double> C = panels_of(layout, H, 1);
  EXPECT_FALSE(factor(layout, C.data()));
  H[15][15] = std::numeric_limits<double>::quiet_NaN();
  C = panels_of(layout, H, 1);
  EXPECT_FALSE(factor(layout, C.data()));
}

TEST(PanelCholesky, SumsAndProductsOfVectors) {
  const Tensor a = normal({37}, 4, torch::kComplexDouble),
               b = normal({37}, 5, torch::kComplexDouble);
  double result[2];
  dot(numbers(a), numbers(b), 37, result);
  const auto expected = (a.conj() * b).sum().item<c10::complex<double>>();
  EXPECT_NEAR(result[0], expected.real(), 1e-13);
  EXPECT_NEAR(result[1], expected.imag(), 1e-13);
  Tensor y = b.clone();
  axpy(0.5, -2, numbers(a), numbers(y), 37);
  EXPECT_LT(difference(y, b + c10::complex<double>(0.5, -2) * a), 1e-14);
}

}  // namespace
}  // namespace ritz::koopman::detail
