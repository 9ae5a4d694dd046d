// The kernel residual for few snapshots, and the knee that says how many modes to keep.
#include "ritz/koopman/adjoint_modes.h"

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
    const auto mu =
        std::conj(std::complex<double>(modes.eigenvalues[j].item<c10::complex<double>>()));
    const auto form = [&](const Tensor& A) { return torch::vdot(a, A.to(kComplexDouble).mv(a)); };
    const Tensor cross = form(p.A1.t()) * c10::complex<double>(std::conj(mu));
    const double square = torch::real(form(p.L1)).item<double>() -
                          2 * torch::real(cross).item<double>() +
                          std::norm(mu) * torch::real(form(p.G1)).item<double>();
    EXPECT_NEAR(modes.residuals[j].item<double>(),
                std::sqrt(square / torch::real(form(p.G1)).item<double>()), 1e-9);
  }
  EXPECT_LE(largest(p.K.to(kComplexDouble).mm(modes.right) - modes.right * modes.eigenvalues),
            1e-11);
  EXPECT_LE(largest(modes.left.mH().mm(p.K.to(kComplexDouble)) -
                    modes.eigenvalues.unsqueeze(1) * modes.left.mH()),
            1e-12);
  EXPECT_TRUE((modes.residuals.diff() >= 0).all().item<bool>());
}

TEST(AdjointModes, ExactPairsComeFirst) {
  // Two features move by themselves, the images of the others leave what is seen.
  const Tensor K = torch::diag(torch::tensor({.9, .8, .5, .4}, kFloat64));
  const Tensor L = torch::diag(torch::tensor({.81 + 1e-4, .64, .7, .9}, kFloat64));
  const auto modes = adjoint_modes(K, L);
  const double exact[] = {0, .01, std::sqrt(.45), std::sqrt(.74)};
  for (int64_t j = 0; j < 4; ++j) EXPECT_NEAR(modes.residuals[j].item<double>(), exact[j], 1e-8);
  EXPECT_NEAR(torch::real(modes.eigenvalues[0]).item<double>(), .8, 1e-14);
}

TEST(AdjointModes, RealDataHasConjugatePairsAndComplexDataWorks) {
  const auto p = linear(12, 30, 1);
  const auto modes = adjoint_modes(p.K, p.L);
  EXPECT_NEAR(torch::imag(modes.eigenvalues).sum().item<double>(), 0, 1e-12);
  // A unitary change of basis leaves eigenvalues and residuals.
  const Tensor Q = std::get<0>(torch::linalg_qr(
      RandomStream(1, stream_id("tests/adjoint/basis")).normal({12, 12}, kComplexDouble)));
  const auto turned = adjoint_modes(Q.mH().mm(p.K.to(kComplexDouble)).mm(Q),
                                    Q.mH().mm(p.L.to(kComplexDouble)).mm(Q));
  EXPECT_LT(largest(turned.residuals - modes.residuals), 1e-10);
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
  modes.eigenvalues = torch::complex(torch::tensor({1., .9, .5, .5, .2, .1}, kFloat64),
                                     torch::tensor({0., 0., .4, -.4, 0., 0.}, kFloat64));
  const int64_t plain = knee(modes.residuals);
  EXPECT_EQ(kept_modes(modes), plain == 3 ? 4 : plain);
  // Split in the pair for certain: a corner between its two.
  modes.residuals = torch::tensor({0., .01, .02, .32, .62, .92}, kFloat64);
  EXPECT_EQ(knee(modes.residuals), 3);
  EXPECT_EQ(kept_modes(modes), 4);
}

TEST(AdjointModes, RefusesWhatDoesNotFit) {
  const Tensor I = torch::eye(3, kFloat64);
  EXPECT_THROW(adjoint_modes(I, torch::eye(2, kFloat64)), InvalidArgument);
  EXPECT_THROW(adjoint_modes(I.slice(0, 1), I), InvalidArgument);
  EXPECT_THROW(adjoint_modes(I * std::nan(""), I), InvalidArgument);
  EXPECT_THROW(knee(torch::full({5}, std::nan(""), kFloat64)), InvalidArgument);
}

}  // namespace
}  // namespace ritz::koopman
