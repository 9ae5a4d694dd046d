#include "ritz/optim/batch_scaling/theory.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::optim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The eigenvalues of diag(spectrum) + noise whose entries have variance s^2 / P.
torch::Tensor with_wigner_noise(const torch::Tensor& spectrum, double s, uint64_t seed) {
  const int64_t P = spectrum.size(0);
  RandomStream random(seed, stream_id("theory-test"));
  const auto G = random.normal({P, P}, torch::kFloat64);
  return torch::linalg_eigvalsh(torch::diag(spectrum) +
                                (G + G.t()) * (s / std::sqrt(2.0 * static_cast<double>(P))));
}

TEST(EffectiveBatch, IsTheBatchTimesTheFinitePopulationCorrection) {
  EXPECT_DOUBLE_EQ(effective_batch(10, 40), 1 / (1 / 10. - 1 / 40.));
  EXPECT_DOUBLE_EQ(effective_batch(1, 2), 2);
  EXPECT_EQ(effective_batch(40, 40), kInfinity);
  EXPECT_EQ(effective_batch(40, 40, true), 40);
  EXPECT_EQ(effective_batch(80, 40, true), 80);
}

TEST(EffectiveBatch, RefusesSizesThatNoBatchHas) {
  EXPECT_THROW(effective_batch(0, 10), InvalidArgument);
  EXPECT_THROW(effective_batch(11, 10), InvalidArgument);
  EXPECT_THROW(effective_batch(0, 10, true), InvalidArgument);
  EXPECT_THROW(effective_batch(1, 0), InvalidArgument);
}

TEST(TheoremH, BranchesMeetAtTheThreshold) {
  const double s = 3;
  const auto above = wigner_top(s * (1 + 1e-9), s), below = wigner_top(s * (1 - 1e-9), s);
  EXPECT_TRUE(above.separated);
  EXPECT_FALSE(below.separated);
  EXPECT_NEAR(above.value, below.value, 1e-12);  // both are stationary there: second order in 1e-9
  EXPECT_DOUBLE_EQ(below.value, 2 * s);
  EXPECT_NEAR(above.overlap, 0, 1e-8);
}

TEST(TheoremH, LargeBatchesSeeTheFullHessian) {
  EXPECT_DOUBLE_EQ(wigner_top(5, 0).value, 5);
  EXPECT_DOUBLE_EQ(wigner_top(5, 0).overlap, 1);
  // B = N: b is infinite, s = sqrt(P sigma^2 / b) exactly 0.
  EXPECT_EQ(wigner_top(5, std::sqrt(1e6 / effective_batch(100, 100))).value, 5);
  EXPECT_EQ(wigner_bottom(-2, std::sqrt(1e6 / effective_batch(100, 100))).value, -2);
}

TEST(TheoremH, IsSymmetricUnderASignFlip) {
  for (const double lambda : {-7., -1., 0., 0.5, 3., 40.})
    for (const double s : {0.1, 1., 5.}) {
      EXPECT_EQ(wigner_top(lambda, s).value, -wigner_bottom(-lambda, s).value);
      EXPECT_EQ(wigner_top(lambda, s).overlap, wigner_bottom(-lambda, s).overlap);
    }
}

TEST(TheoremH, TheBatchNeverSeesLessThanTheFullHessian) {
  for (const double lambda : {0.1, 1., 10.})
    for (double s = 0.01; s < 100; s *= 1.3) EXPECT_GE(wigner_top(lambda, s).value, lambda);
}

// P = 700: an outlier fluctuates by s sqrt(2 / P) sqrt(overlap) < 5 % of s, an edge by P^(-2/3) of
// s = 1.3 %; 3 % of the value (at least 2 s) is beyond what these seeds can miss by chance alone.
TEST(TheoremH, PredictsNoisyMatrices) {
  const int64_t P = 700;
  auto spectrum = torch::zeros({P}, torch::kFloat64);
  spectrum[0] = 20;
  spectrum[1] = -15;
  for (const double s : {2., 8., 30.}) {
    const auto observed = with_wigner_noise(spectrum, s, 3);
    EXPECT_NEAR(observed[-1].item<double>() / wigner_top(20, s).value, 1, 0.03) << s;
    EXPECT_NEAR(observed[0].item<double>() / wigner_bottom(-15, s).value, 1, 0.03) << s;
  }
}

TEST(TheoremH, PredictsTheOverlapOfEigenvectors) {
  const int64_t P = 500;
  const double lambda = 10, s = 5;
  double overlap = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    RandomStream random(seed, stream_id("theory-test/overlap"));
    const auto G = random.normal({P, P}, torch::kFloat64);
    auto H = (G + G.t()) * (s / std::sqrt(2.0 * P));
    H[0][0] += lambda;
    const auto [values, vectors] = torch::linalg_eigh(H);
    overlap += std::pow(vectors[0][-1].item<double>(), 2) / 4;
  }
  EXPECT_NEAR(overlap, wigner_top(lambda, s).overlap, 0.03);
}

TEST(GeneralBulk, ReducesToTheoremHForABulkAtZero) {
  const Bulk zero{{0.}, {1.}};
  for (const double lambda : {-3., 0.5, 4.})
    for (const double s : {0.2, 1., 6.}) {
      const auto general = wigner_top(lambda, s, zero), plain = wigner_top(lambda, s);
      EXPECT_NEAR(general.value, plain.value, 1e-12 * std::max(1., plain.value));
      EXPECT_NEAR(general.overlap, plain.overlap, 1e-12);
      EXPECT_EQ(general.separated, plain.separated);
    }
}

// The edge of the free sum is the least value of h(z) = z + s^2 sum_k w_k / (z - t_k) beyond the
// last node: found here by looking everywhere, on a grid whose step costs less than 1e-8 of s.
TEST(GeneralBulk, EdgeIsTheLeastValueOfH) {
  const Bulk bulk{{-2, 0.5, 1}, {0.5, 0.3, 0.2}};
  for (const double s : {0.3, 2.}) {
    double least = std::numeric_limits<double>::infinity();
    for (int i = 1; i <= 200000; ++i) {
      const double z = 1 + 1.5e-5 * s * i;
      double h = z;
      for (size_t k = 0; k < 3; ++k) h += s * s * bulk.weights[k] / (z - bulk.nodes[k]);
      least = std::min(least, h);
    }
    EXPECT_NEAR(wigner_top(0, s, bulk).value, least, 1e-8 * s);
    const Bulk mirrored{{2, -0.5, -1}, bulk.weights};
    EXPECT_NEAR(wigner_bottom(0, s, mirrored).value, -least, 1e-8 * s);
  }
}

TEST(GeneralBulk, PredictsNoisyMatricesWithABroadBulkWhereABulkAtZeroFails) {
  const int64_t P = 500;
  auto spectrum = torch::linspace(-4, 6, P, torch::kFloat64);
  spectrum[-1] = 14;
  const auto nodes = spectrum.slice(0, 0, -1).contiguous();
  Bulk bulk;
  bulk.nodes.assign(nodes.data_ptr<double>(), nodes.data_ptr<double>() + P - 1);
  bulk.weights.assign(P - 1, 1. / (P - 1));
  for (const double s : {3., 5., 16.}) {
    const double observed = with_wigner_noise(spectrum, s, 5)[-1].item<double>();
    EXPECT_NEAR(observed / wigner_top(14, s, bulk).value, 1, 0.03) << s;
  }
  // At s = 16 the outlier is swallowed and the edge lies well beyond a bare semicircle's.
  EXPECT_FALSE(wigner_top(14, 16, bulk).separated);
  EXPECT_GT(wigner_top(14, 16, bulk).value, 1.04 * wigner_top(14, 16).value);
}

TEST(GeneralBulk, LeavesOutTheOutliersOwnNodes) {
  SpectralQuadrature q;
  q.dimension = 10;
  q.probes = {{{-3, -0.1, 0.2, 5}, {0.1, 0.4, 0.3, 0.2}, {}},
              {{-3.001, 0, 4.999}, {0.2, 0.7, 0.1}, {}}};
  const auto bulk = bulk_of(q, {5, -3});
  EXPECT_EQ(bulk.nodes, (std::vector<double>{-0.1, 0.2, 0}));
  EXPECT_NEAR(bulk.weights[0] + bulk.weights[1] + bulk.weights[2], 1, 1e-15);
  EXPECT_NEAR(bulk.weights[2] / bulk.weights[0], 7. / 4, 1e-12);
  q.probes = {{{-3, 5}, {0.5, 0.5}, {}}};
  EXPECT_THROW(bulk_of(q, {5, -3}), InvalidArgument);
}

TEST(TheoremG, BranchesMeetAtTheThreshold) {
  const double sigma2 = 0.7, q = 4, threshold = sigma2 * (1 + std::sqrt(q));
  EXPECT_NEAR(wishart_top(threshold * (1 + 1e-9), sigma2, q).value,
              wishart_top(threshold * (1 - 1e-9), sigma2, q).value, 1e-12);
  EXPECT_NEAR(wishart_top(threshold * (1 + 1e-9), sigma2, q).overlap, 0, 1e-8);
  EXPECT_EQ(wishart_top(10, sigma2, 0).value, 10);  // b infinite
  EXPECT_EQ(wishart_top(10, 0, 5).value, 10);       // no noise
}

// Covariance of B Gaussian samples whose population has one spike: P = 400, 6 % is four deviations
// ell sqrt(2 / B) of the spike at B = 1600 averaged over 6 draws, and edges converge faster.
TEST(TheoremG, PredictsSampleCovariances) {
  const int64_t P = 400;
  const double ell = 12;
  for (const int64_t B : {100, 400, 1600}) {
    const double q = static_cast<double>(P) / static_cast<double>(B);
    double top = 0, overlap = 0, bottom = 0;
    for (uint64_t seed = 0; seed < 6; ++seed) {
      RandomStream random(seed, stream_id("theory-test/wishart", B));
      auto X = random.normal({B, P}, torch::kFloat64);
      X.select(1, 0) *= std::sqrt(ell);
      const auto [values, vectors] = torch::linalg_eigh(X.t().mm(X) / B);
      top += values[-1].item<double>() / 6;
      bottom += values[0].item<double>() / 6;
      overlap += std::pow(vectors[0][-1].item<double>(), 2) / 6;
    }
    EXPECT_NEAR(top / wishart_top(ell, 1, q).value, 1, 0.06) << B;
    EXPECT_NEAR(overlap, wishart_top(ell, 1, q).overlap, 0.03) << B;
    EXPECT_NEAR(bottom, wishart_bottom(1, q).value, 0.03) << B;
  }
}

TEST(Densities, IntegrateToOne) {
  double semicircle = 0, tall = 0, wide = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double t = 20.0 * (i + 0.5) / n;
    semicircle += 20.0 / n * semicircle_density(t - 10, 2.5);
    tall += 20.0 / n * marchenko_pastur_density(t, 1.3, 0.4);
    wide += 20.0 / n * marchenko_pastur_density(t, 1.3, 2.5);
  }
  EXPECT_NEAR(semicircle, 1, 1e-5);
  EXPECT_NEAR(tall, 1, 1e-4);
  EXPECT_NEAR(wide, 1 / 2.5, 1e-4);  // the rest is an atom at 0
}

}  // namespace
}  // namespace ritz::optim
