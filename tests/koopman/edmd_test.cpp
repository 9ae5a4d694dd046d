#include "ritz/koopman/edmd.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

#include "ritz/koopman/holdout.h"
#include "ritz/koopman/pseudospectrum.h"
#include "tests/koopman/systems.h"

namespace ritz::koopman {
namespace {

using namespace tests;

Tensor sorted_real(const Tensor& values) {
  return std::get<0>(at::real(values).sort());
}

/// Largest distance from a value of one set to the nearest of the other.
double apart(const Tensor& a, const Tensor& b) {
  const Tensor gap = (a.unsqueeze(1) - b.unsqueeze(0)).abs();
  return std::max(gap.amin(1).max().item<double>(), gap.amin(0).max().item<double>());
}

TEST(Edmd, LinearFunctionsOfALinearMapGiveItsEigenvaluesWithoutResidual) {
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kComplexDouble}) {
    const Tensor B = normal({4, 4}, 1) / 2;
    const Snapshots s = linear_pairs(B, 50, 0, 2, type);
    const Eigenpairs e = edmd(reduce(*linear_dictionary(4), s));
    const double tolerance = type == torch::kFloat32 ? 1e-5 : 1e-12;
    EXPECT_LT(apart(e.values, at::linalg_eigvals(B)), tolerance);
    EXPECT_LT(e.residuals.max().item<double>(), tolerance);
  }
}

TEST(Edmd, PolynomialsOfAScalarContractionGiveThePowersOfItsRate) {
  const Tensor x = normal({40, 1}, 3);
  const Eigenpairs e = edmd(reduce(*polynomial_dictionary(1, 4), pairs(x, 0.5 * x)));
  EXPECT_LT(difference(sorted_real(e.values), torch::tensor({.125, .25, .5, 1.}, torch::kFloat64)),
            1e-10);
}

TEST(Edmd, TheResidualsFormsAgreeAndTheQuadraticOneHasAFloor) {
  const Snapshots s = standard_map_pairs(400, 4);
  const Reduction r = reduce(*fourier_dictionary(2, 21, 2 * std::numbers::pi), s);
  const Eigenpairs e = edmd(r);
  EXPECT_LT(difference(e.residuals, residuals(r, e.values, e.vectors)), 1e-12);
  // Where the residual is above 1e-4 eight digits of its square are good.
  const Tensor quadratic = residuals_quadratic(r.gram(), e.values, e.vectors);
  EXPECT_LT(difference(at::where(e.residuals > 1e-4, quadratic, e.residuals), e.residuals), 1e-9);
  // And by its definition, from the data.
  const auto d = fourier_dictionary(2, 21, 2 * std::numbers::pi);
  const Tensor gx = (*d)(s.x()).matmul(e.vectors), gy = (*d)(s.y()).matmul(e.vectors);
  const Tensor by_definition = (gy - gx * e.values).norm(2, 0) / gx.norm(2, 0);
  EXPECT_LT(difference(by_definition, e.residuals), 1e-11);
  EXPECT_LT(difference(gx.norm(2, 0) / 20, torch::ones({21}, torch::kFloat64)), 1e-12);

  const Tensor B = normal({3, 3}, 5);
  const Reduction exact = reduce(*linear_dictionary(3), linear_pairs(B, 30));
  const Eigenpairs pairs = edmd(exact);
  EXPECT_LT(pairs.residuals.max().item<double>(), 1e-13);
  EXPECT_LT(residuals_quadratic(exact.gram(), pairs.values, pairs.vectors).max().item<double>(),
            1e-6);
}

TEST(Edmd, AnEigenpairsResidualIsAtLeastTau) {
  const Reduction r =
      reduce(*fourier_dictionary(2, 21, 2 * std::numbers::pi), standard_map_pairs(300, 6));
  const Eigenpairs e = edmd(r);
  const Tensor tau = pseudospectrum(r, e.values).tau;
  EXPECT_GE((e.residuals - tau).min().item<double>(), -1e-12);
}

TEST(Edmd, ModesPutTheStatesTogetherAgain) {
  const Tensor B = normal({3, 3}, 7) / 2;
  const Snapshots s = linear_pairs(B, 30);
  const auto dictionary = linear_dictionary(3);
  const Reduction r = reduce(*dictionary, s);
  const Eigenpairs e = edmd(r);
  const Tensor phi = (*dictionary)(s.x()).to(torch::kComplexDouble).matmul(e.vectors);
  for (const bool exact : {false, true}) {
    const Tensor modes = koopman_modes(*dictionary, s, r, e, exact);
    EXPECT_LT(difference(phi.matmul(modes), s.x()), 1e-12);
    EXPECT_LT(difference((phi * e.values).matmul(modes), s.y()), 1e-12);
  }
}

TEST(Edmd, HankelMatricesOfTwoTonesGiveTheirFrequencies) {
  const Tensor t = torch::arange(200, torch::kFloat64);
  const Snapshots s = trajectories((0.3 * t).cos() + 0.5 * (1.1 * t).sin());
  const Lift lift = make_lift({.name = "delay", .size = 4}, s);
  const Eigenpairs e = edmd(reduce(*lift.functions, lift.prepare(s)));
  const Tensor angles = std::get<0>(e.values.angle().sort());
  EXPECT_LT(difference(angles, torch::tensor({-1.1, -.3, .3, 1.1}, torch::kFloat64)), 1e-9);
  EXPECT_LT(e.residuals.max().item<double>(), 1e-9);
}

TEST(UnitaryEigen, MultipleEigenvaluesGetAnOrthonormalBasis) {
  const int64_t n = 24;
  for (const auto type : {torch::kFloat64, torch::kComplexDouble}) {
    // A permutation of cycles 12, 6, 6: many eigenvalues several times.
    Tensor O = torch::zeros({n, n}, torch::kFloat64);
    for (const auto& [begin, length] : {std::pair(0, 12), {12, 6}, {18, 6}}) {
      for (int64_t k = 0; k < length; ++k) O[begin + (k + 1) % length][begin + k] = 1;
    }
    const Tensor Z = random_unitary(n, 8, type);
    const Tensor U = Z.matmul(O.to(type)).matmul(Z.mH());
    const UnitaryEigen e = unitary_eigen(U);
    const Tensor eye = torch::eye(n, torch::kComplexDouble);
    EXPECT_LT(difference(e.vectors.mH().matmul(e.vectors), eye), 1e-13);
    const Tensor values = at::polar(torch::ones_like(e.angles), e.angles);
    EXPECT_LT(difference(U.to(torch::kComplexDouble).matmul(e.vectors), e.vectors * values), 1e-12);
    EXPECT_LT((values.pow(12) - 1).abs().max().item<double>(), 1e-11);
  }
  EXPECT_NEAR(unitary_eigen(-torch::eye(1, torch::kFloat64)).angles[0].item<double>(),
              std::numbers::pi, 1e-15);
}

TEST(MpEdmd, ThePolarFactorIsUnitaryAndKeepsTheEnergy) {
  const auto dictionary = fourier_dictionary(2, 25, 2 * std::numbers::pi);
  const Reduction r = reduce(*dictionary, standard_map_pairs(500, 9));
  const Tensor O = measure_preserving_matrix(r), eye = torch::eye(25, torch::kComplexDouble);
  EXPECT_LT(difference(O.mH().matmul(O), eye), 1e-13);
  const Eigenpairs e = mpedmd(r);
  EXPECT_LT((e.values.abs() - 1).abs().max().item<double>(), 1e-15);
  // K = R^{-1} O R is a G-isometry, and its eigenvectors are G-orthonormal.
  const Tensor G = r.gram().G;
  const Tensor K = r.coefficients(O.matmul(r.R));
  EXPECT_LT(difference(K.mH().matmul(G).matmul(K), G), 1e-12);
  EXPECT_LT(difference(e.vectors.mH().matmul(G).matmul(e.vectors), eye), 1e-12);
  EXPECT_LT(difference(K.matmul(e.vectors), e.vectors * e.values), 1e-10);
  // From Gram matrices, as published: SVD of G^{-1/2} A^* G^{-1/2}.
  const auto [g, V] = at::linalg_eigh(G);
  const Tensor root = V.matmul(g.rsqrt().unsqueeze(1) * V.mH());
  const auto [u1, s, u2] = at::linalg_svd(root.matmul(r.gram().A.mH()).matmul(root));
  const Tensor published = root.matmul(u2.mH()).matmul(u1.mH()).matmul(root.inverse());
  EXPECT_LT(difference(published, K), 1e-11);
}

TEST(MpEdmd, IsEdmdWhereTheFunctionsAreInvariantAndTheMeasureKept) {
  const Tensor Q = random_unitary(5, 10, torch::kFloat64);
  const Tensor x = normal({40, 5}, 11);
  const Snapshots s = pairs(x, x.matmul(Q.t()));
  // The sample itself has to be invariant: its second moments are, after whitening.
  const Reduction r =
      reduce(*linear_dictionary(5),
             pairs(torch::eye(5, torch::kFloat64).repeat({3, 1}), Q.t().repeat({3, 1})));
  EXPECT_LT(difference(measure_preserving_matrix(r), r.A), 1e-13);
  EXPECT_LT(apart(mpedmd(r).values, edmd(r).values), 1e-12);
  EXPECT_GT(difference(measure_preserving_matrix(reduce(*linear_dictionary(5), s)),
                       reduce(*linear_dictionary(5), s).A),
            1e-3);
}

TEST(MpEdmd, NoiseMovesEigenvaluesAlongTheCircleOnly) {
  const Tensor Q = random_unitary(6, 12, torch::kFloat64);
  const Reduction r = reduce(*linear_dictionary(6), linear_pairs(Q, 300, 0.5));
  EXPECT_LT((mpedmd(r).values.abs() - 1).abs().max().item<double>(), 1e-15);
  EXPECT_GT((edmd(r).values.abs() - 1).abs().max().item<double>(), 1e-3);
}

TEST(Holdout, TheResidualIsThatOfTheHeldOutPairsAndTheUpperValueAboveIt) {
  const auto dictionary = fourier_dictionary(2, 13, 2 * std::numbers::pi);
  const Reduction r = reduce(*dictionary, standard_map_pairs(600, 13));
  const Snapshots fresh = standard_map_pairs(301, 14);
  const Eigenpairs e = edmd(r);
  const HoldoutResiduals h =
      holdout_residuals(*dictionary, r.kept, fresh, e.values, e.vectors, {.block = 37});
  EXPECT_LT(difference(h.residuals, residuals(reduce(*dictionary, fresh), e.values, e.vectors)),
            1e-10);
  EXPECT_TRUE((h.upper >= h.residuals).all().item<bool>());
  EXPECT_EQ(h.blocks, 301);
  EXPECT_LT(((h.upper - h.residuals) / h.residuals.clamp_min(1e-3)).max().item<double>(), 0.5);
}

TEST(Holdout, TheUpperValueCoversTheTruthAboutAsOftenAsItSays) {
  // y = x/2 + noise: the residual of the linear function at 1/2 is noise / deviation, here 0.3.
  const auto dictionary = linear_dictionary(1);
  const Tensor half = torch::tensor({c10::complex<double>(0.5, 0)});
  const Tensor one = torch::ones({1, 1}, torch::kComplexDouble);
  int covered = 0;
  for (uint64_t k = 0; k < 200; ++k) {
    const Snapshots s = linear_pairs(torch::full({1, 1}, 0.5, torch::kFloat64), 400, 0.3, 5000 + k);
    const auto h = holdout_residuals(*dictionary, torch::zeros({1}, torch::kInt64), s, half, one,
                                     {.replicas = 300, .seed = k});
    covered += h.upper.item<double>() >= 0.3 ? 1 : 0;
  }
  // 190 of 200 expected; the binomial's deviation is 3.1 and the percentile bootstrap's own bias a
  // few more.
  EXPECT_GE(covered, 176);
  EXPECT_LT(covered, 200);
}

TEST(Holdout, BlocksFollowTheTrajectories) {
  const Tensor many = bootstrap_blocks(trajectories(normal({30, 5, 1}, 15)));
  EXPECT_EQ(many[-1].item<int64_t>(), 29);
  EXPECT_EQ(many[4].item<int64_t>(), 1);
  const Tensor one = bootstrap_blocks(trajectories(normal({101, 1}, 16)));
  EXPECT_EQ(one[-1].item<int64_t>(), 9);  // ten stretches of ten
  const Tensor two = bootstrap_blocks(trajectories(normal({2, 17, 1}, 17)));
  EXPECT_EQ(two[15].item<int64_t>(), 3);
  EXPECT_EQ(two[16].item<int64_t>(), 4);
}

TEST(Holdout, TwoNoisyCopiesSeparateVarianceFromResidual) {
  const Tensor x = normal({40000, 1}, 18);
  const Tensor truth = 0.5 * x;
  const auto noisy = [&](uint64_t stream) { return truth + 0.4 * normal({40000, 1}, stream); };
  const Tensor z = torch::tensor({c10::complex<double>(0.6, 0)});
  const Tensor one = torch::ones({1, 1}, torch::kComplexDouble);
  const auto free = variance_free_residuals(*linear_dictionary(1), x, noisy(19), noisy(20), z, one);
  EXPECT_NEAR(free.residuals.item<double>(), 0.1, 0.01);
  EXPECT_NEAR(free.spread.item<double>(), 0.4, 0.01);
  const Reduction biased = reduce(*linear_dictionary(1), pairs(x, noisy(19)));
  EXPECT_NEAR(residuals(biased, z, one).item<double>(), std::sqrt(0.01 + 0.16), 0.01);
}

}  // namespace
}  // namespace ritz::koopman
