#include "ritz/koopman/pseudospectrum.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

#include "ritz/base/threads.h"
#include "ritz/koopman/certified_spectrum.h"
#include "ritz/koopman/edmd.h"
#include "tests/koopman/systems.h"

namespace ritz::koopman {
namespace {

using namespace tests;

Reduction standard_map(int64_t N, int64_t M = 4000) {
  return reduce(*fourier_dictionary(2, N, 2 * std::numbers::pi), standard_map_pairs(M, 1));
}

Reduction radial(int64_t N, const Tensor& transform = {}) {
  const Tensor x = normal({600, 2}, 2);
  const Tensor y = torch::stack({0.9 * x.select(1, 0) - 0.3 * x.select(1, 1).sin(),
                                 0.4 * x.select(1, 0) + 0.8 * x.select(1, 1)},
                                1);
  Tensor psi_x = (*rbf_dictionary(normal({N, 2}, 3), 1.5))(x);
  Tensor psi_y = (*rbf_dictionary(normal({N, 2}, 3), 1.5))(y);
  if (transform.defined()) {
    psi_x = psi_x.matmul(transform);
    psi_y = psi_y.matmul(transform);
  }
  return reduce(*linear_dictionary(psi_x.size(1)), pairs(psi_x, psi_y));
}

Tensor some_points(int64_t count, uint64_t stream = 4) {
  return 1.2 * normal({count}, stream, torch::kComplexDouble);
}

TEST(Pseudospectrum, AgreesWithSingularValuesAtEveryPoint) {
  for (const Reduction& r : {standard_map(49), radial(61)}) {
    const Tensor z =
        grid_points({.x0 = -1.2, .x1 = 1.2, .y0 = -0.4, .y1 = 1.2, .spacing = 0.2}).points;
    const Sweep sweep = pseudospectrum(r, z), exact = pseudospectrum_exact(r, z);
    EXPECT_LT(difference(sweep.tau, exact.tau), 1e-6);
    EXPECT_GE((sweep.tau - exact.tau).min().item<double>(), -1e-13);  // never below the minimum
    EXPECT_LT(sweep.exact, sweep.points / 2);
    EXPECT_GT(sweep.solves, 0);
  }
}

TEST(Pseudospectrum, OfARotationIsTheDistanceToItsEigenvalues) {
  // A permutation with cycles of 19 and 11: the minimiser at one point is an eigenvector at all.
  const Tensor x = torch::eye(30, torch::kFloat64).repeat({2, 1});
  const Tensor cycle = torch::cat(
      {x.slice(1, 18, 19), x.slice(1, 0, 18), x.slice(1, 29, 30), x.slice(1, 19, 29)}, 1);
  const Reduction r = reduce(*linear_dictionary(30), pairs(x, cycle));
  const Tensor values = edmd(r).values;
  const Tensor z = grid_points({.spacing = 0.15}).points;
  const Tensor distance = (z.unsqueeze(1) - values.unsqueeze(0)).abs().amin(1);
  EXPECT_LT(difference(pseudospectrum(r, z).tau, distance), 1e-6);
  const Sweep at_values = pseudospectrum(r, values);
  EXPECT_LT(at_values.tau.max().item<double>(), 1e-12);
  EXPECT_GT(at_values.exact, 0);
}

TEST(Pseudospectrum, MinimisersHaveTheResidualTau) {
  const Reduction r = standard_map(25);
  const Tensor z = some_points(11);
  for (const Sweep& s :
       {pseudospectrum(r, z, {.vectors = true}), pseudospectrum_exact(r, z, true)}) {
    EXPECT_LT(difference(residuals(r, z, r.coefficients(s.vectors)), s.tau), 1e-12);
  }
  const Reduction real = radial(40);
  const Sweep s = pseudospectrum(real, z, {.vectors = true});
  EXPECT_LT(difference(residuals(real, z, real.coefficients(s.vectors)), s.tau), 1e-10);
}

TEST(Pseudospectrum, RealDataAreComputedForOneHalfPlane) {
  const Tensor z = grid_points({.spacing = 0.4}).points;  // 7 x 7, symmetric
  const Sweep s = pseudospectrum(radial(30), z);
  EXPECT_EQ(s.points, 28);
  EXPECT_TRUE(s.tau.view({7, 7}).equal(s.tau.view({7, 7}).flip(1)));
  EXPECT_EQ(pseudospectrum(standard_map(25), z).points, 49);
}

TEST(Pseudospectrum, TauFallsWhenFunctionsAreAdded) {
  const Tensor z = some_points(20);
  Tensor last = torch::full({20}, 1e9, torch::kFloat64);
  for (const int64_t N : {9, 25, 49}) {
    const Tensor tau = pseudospectrum(standard_map(N), z).tau;
    EXPECT_LE((tau - last).max().item<double>(), 1e-10);
    last = tau;
  }
}

TEST(Pseudospectrum, TauIsOneLipschitz) {
  const Reduction r = radial(40);
  const Tensor z = some_points(60), tau = pseudospectrum(r, z).tau;
  const Tensor rise = (tau.unsqueeze(1) - tau.unsqueeze(0)).abs();
  const Tensor run = (z.unsqueeze(1) - z.unsqueeze(0)).abs();
  EXPECT_LE((rise - run).max().item<double>(), 1e-9);
}

TEST(Pseudospectrum, NeitherScalesNorBasisChangeTau) {
  const Tensor z = some_points(15), tau = pseudospectrum(radial(30), z).tau;
  // Lanczos stops at a tenth of the sweep's tolerance of 1e-6.
  const Tensor scales = torch::logspace(-6, 6, 30, 10, torch::kFloat64).diag();
  EXPECT_LT(difference(pseudospectrum(radial(30, scales), z).tau, tau), 1e-7);
  const Tensor basis = random_unitary(30, 5, torch::kFloat64);
  EXPECT_LT(difference(pseudospectrum(radial(30, basis), z).tau, tau), 1e-7);
}

TEST(Pseudospectrum, OfTheDoublingMapIsKnown) {
  // K e_k = e_2k, and 64 nodes integrate every product of the waves -8..8 and their images exactly:
  // L = G = I. The constants are an eigenfunction at 1; no isometry has tau below |1 - |z||.
  const Tensor nodes = torch::arange(64, torch::kFloat64).unsqueeze(1) / 64;
  const Reduction r = reduce(*fourier_dictionary(1, 17, 1), pairs(nodes, 2 * nodes));
  EXPECT_LT(isometry_defect(r), 1e-13);
  EXPECT_LT(difference(r.gram().G, torch::eye(17, torch::kComplexDouble)), 1e-14);
  const Tensor z = torch::cat({torch::tensor({0., 1.}), some_points(30)});
  const Tensor tau = pseudospectrum(r, z).tau;
  EXPECT_NEAR(tau[0].item<double>(), 1, 1e-12);
  EXPECT_NEAR(tau[1].item<double>(), 0, 1e-12);
  EXPECT_GE((tau - (1 - z.abs()).abs()).min().item<double>(), -1e-12);
}

TEST(Pseudospectrum, ThreadsDoNotChangeABit) {
  const Reduction r = radial(40);
  const Tensor z = some_points(100);
  const int before = threads();
  set_threads(1);
  const Tensor one = pseudospectrum(r, z).tau;
  set_threads(3);
  const Tensor three = pseudospectrum(r, z).tau;
  set_threads(before);
  EXPECT_TRUE(one.equal(three));
}

TEST(Pseudospectrum, AsManyFunctionsAsPairsAreRefused) {
  const Reduction r = reduce(*linear_dictionary(9), trajectories(normal({8, 9}, 6)));
  EXPECT_THROW(pseudospectrum(r, some_points(2)), InvalidArgument);
  EXPECT_THROW(grid_points({.spacing = 0}), InvalidArgument);
  EXPECT_THROW(grid_points({.x0 = 1, .x1 = 0}), InvalidArgument);
  EXPECT_THROW(grid_points({.spacing = 1e-5}), InvalidArgument);
  EXPECT_EQ(pseudospectrum(radial(20), torch::empty({0})).tau.size(0), 0);
}

TEST(Grid, HoldsConjugatesAndBothEndsExactly) {
  const GridPoints g = grid_points({.spacing = 0.1});
  EXPECT_EQ(g.nx, 25);
  EXPECT_EQ(g.ny, 25);
  const Tensor im = at::imag(g.points).view({25, 25});
  EXPECT_TRUE(im.equal(-im.flip(1)));
  EXPECT_EQ(im[0][12].item<double>(), 0);
  EXPECT_EQ(at::real(g.points)[624].item<double>(), 1.2);
}

/// A diagonal unitary operator on `n` sites and the certificate from a grid.
TEST(CertifiedSpectrum, IsNeverViolatedByTwoHundredUnitaryOperators) {
  const Grid grid{.x0 = -1.2, .x1 = 1.2, .y0 = -1.2, .y1 = 1.2, .spacing = 0.15};
  for (uint64_t k = 0; k < 200; ++k) {
    const int64_t n = 3 + static_cast<int64_t>(k % 7);
    const Tensor angles = RandomStream(7, k).uniform({n}, torch::kFloat64, -3.14, 3.14);
    const Tensor values = at::polar(torch::ones_like(angles), angles);
    const Tensor x = torch::eye(n, torch::kComplexDouble).repeat({4, 1});
    // Functions that mix all but the last site: a dictionary that is not invariant.
    const Tensor mix = normal({n - 1, n}, 100 + k, torch::kComplexDouble);
    const Reduction r = reduce(*linear_dictionary(n, mix), pairs(x, x * values));
    const CertifiedSpectrum s = certified_spectrum(r, grid);
    ASSERT_FALSE(s.violated) << k;
    const Tensor gap = (s.points.unsqueeze(1) - values.unsqueeze(0)).abs().amin(1);
    EXPECT_LE((gap - s.distances).max().item<double>(), 1e-10) << k;
    EXPECT_LE(gap.max().item<double>(), s.certificate + 1e-10) << k;
  }
}

TEST(CertifiedSpectrum, FindsEveryEigenvalueOfAnInvariantDictionary) {
  const Tensor angles = torch::tensor({-2., -0.5, 0.3, 1.4, 3.}, torch::kFloat64);
  const Tensor values = at::polar(torch::ones_like(angles), angles);
  const Tensor x = torch::eye(5, torch::kComplexDouble).repeat({2, 1});
  const Reduction r = reduce(*linear_dictionary(5), pairs(x, x * values));
  const double h = 0.05;
  const CertifiedSpectrum s = certified_spectrum(r, {.spacing = h});
  const Tensor gap = (s.points.unsqueeze(1) - values.unsqueeze(0)).abs();
  // The best grid point near an eigenvalue is at most h / sqrt(2) from it.
  EXPECT_LE(gap.amin(0).max().item<double>(), h / std::sqrt(2.));
  EXPECT_LE(s.certificate, 2 * h);
}

TEST(CertifiedSpectrum, IsRefusedWhereTheMeasureIsNotPreserved) {
  const Reduction r = reduce(*fourier_dictionary(1, 9, 1), logistic_pairs(2000, 8));
  const CertifiedSpectrum s = certified_spectrum(r, {.spacing = 0.3});
  EXPECT_TRUE(s.violated);
  EXPECT_FALSE(s.points.defined());
  EXPECT_GT(s.defect, s.threshold);
}

TEST(CertifiedSpectrum, PruningKeepsWhatIsNearTheCircleAndTrue) {
  using C = c10::complex<double>;
  const Tensor values = torch::tensor({C(1, 0), C(0.5, 0), C(0, 1)});
  const Tensor residuals = torch::tensor({0.01, 0.01, 0.5}, torch::kFloat64);
  EXPECT_EQ(prune(values, residuals, 0.05, true).size(0), 1);
  EXPECT_EQ(prune(values, residuals, 0.05, false).size(0), 2);
}

TEST(CertifiedSpectrum, SelectionTakesTheLeastWithinItsRadius) {
  // Three points in a row: the middle one's radius reaches both ends.
  const Grid line{.x0 = 0, .x1 = 2, .y0 = 0, .y1 = 0, .spacing = 1};
  const auto chosen = [&](double a, double b, double c) {
    return select_spectrum(line, torch::tensor({a, b, c}, torch::kFloat64));
  };
  EXPECT_TRUE(chosen(.5, .9, .2).equal(torch::tensor({0, 2})));
  EXPECT_TRUE(chosen(.5, .1, .2).equal(torch::tensor({1})));
  EXPECT_TRUE(chosen(3., 2., 1.).equal(torch::empty({0}, torch::kInt64)));
}

}  // namespace
}  // namespace ritz::koopman
