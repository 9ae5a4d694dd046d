// The knee of sorted residuals, and what the residuals of few snapshots are.
#include "ritz/koopman/knee.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::koopman {
namespace {

using torch::kComplexDouble;
using torch::kFloat64;

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

struct Problem {
  Tensor K, L, G1, A1, L1, T;
};
/// The matrices of a linear kernel on few snapshots of x -> x F, many features.
Problem linear(int64_t M, int64_t d, uint64_t index = 0) {
  RandomStream random(12, stream_id("tests/adjoint", index));
  const Tensor F = random.normal({d, d}, kFloat64) / std::sqrt(static_cast<double>(d));
  const Tensor X = random.normal({M, d}, kFloat64), Y = X.mm(F);
  Problem p;
  p.G1 = X.mm(X.t());
  p.A1 = Y.mm(X.t());
  p.L1 = Y.mm(Y.t());
  const auto [w, U] = torch::linalg_eigh(p.G1);
  p.T = U / w.sqrt();
  p.K = p.T.t().mm(p.A1).mm(p.T);
  p.L = p.T.t().mm(p.L1).mm(p.T);
  return p;
}

TEST(AdjointModes, ResidualIsTheKernelSpacesNorm) {
  const auto p = linear(13, 40);
  const auto modes = adjoint_modes(p.K, p.L);
  for (int64_t j = 0; j < 13; ++j) {
    // f = sum_i a_i k_{x_i}; ||K^* f - conj(lambda) f||^2 by the Gram matrices of all sections.
    const Tensor u = modes.left.select(1, j), a = p.T.to(kComplexDouble).mv(u);
    const auto mu = std::conj(std::complex<double>(modes.values[j].item<c10::complex<double>>()));
    const auto form = [&](const Tensor& A) { return torch::vdot(a, A.to(kComplexDouble).mv(a)); };
    const Tensor cross = form(p.A1.t()) * c10::complex<double>(std::conj(mu));
    const double square = torch::real(form(p.L1)).item<double>() -
                          2 * torch::real(cross).item<double>() +
                          std::norm(mu) * torch::real(form(p.G1)).item<double>();
    EXPECT_NEAR(modes.residuals[j].item<double>(),
                std::sqrt(square / torch::real(form(p.G1)).item<double>()), 1e-9);
  }
  EXPECT_LE(largest(p.K.to(kComplexDouble).mm(modes.right) - modes.right * modes.values), 1e-11);
  EXPECT_LE(largest(modes.left.mH().mm(p.K.to(kComplexDouble)) -
                    modes.values.unsqueeze(1) * modes.left.mH()),
            1e-12);
  EXPECT_TRUE((modes.residuals.diff() >= 0).all().item<bool>());
}

TEST(Knee, FindsTheCornerOfTwoLinesExactly) {
  for (int64_t corner = 1; corner < 29; ++corner) {
    const Tensor k = torch::arange(30, kFloat64);
    const auto c = static_cast<double>(corner);
    const Tensor v = torch::where(k <= c, 0.01 * k, 0.01 * c + 0.3 * (k - c));
    EXPECT_EQ(knee(v), corner + 1);
  }
  EXPECT_EQ(knee(torch::tensor({1., 2.}, kFloat64)), 2);
}

TEST(Knee, KeepsComplexPairsWhole) {
  AdjointModes modes;
  modes.residuals = torch::tensor({.01, .02, .03, .03, .5, .9}, kFloat64);
  modes.values = torch::complex(torch::tensor({1., .9, .5, .5, .2, .1}, kFloat64),
                                torch::tensor({0., 0., .4, -.4, 0., 0.}, kFloat64));
  const int64_t plain = knee(modes.residuals);
  EXPECT_EQ(kept_modes(modes), plain == 3 ? 4 : plain);
  // Split in the pair for certain: a corner between its two.
  modes.residuals = torch::tensor({0., .01, .02, .32, .62, .92}, kFloat64);
  EXPECT_EQ(knee(modes.residuals), 3);
  EXPECT_EQ(kept_modes(modes), 4);
}

TEST(Knee, RefusesWhatDoesNotFit) {
  EXPECT_THROW(knee(torch::full({5}, std::nan(""), kFloat64)), InvalidArgument);
  EXPECT_THROW(knee(torch::ones({2, 2}, kFloat64)), InvalidArgument);
}

}  // namespace
}  // namespace ritz::koopman
