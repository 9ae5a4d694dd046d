#include "ritz/design/dpp.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/design/detail/variates.h"
#include "tests/design/statistics.h"

namespace ritz::design {
namespace {

using tests::ks_distance;
using tests::Mean;

constexpr double kSignificant = 1.95;  // ks_distance: one in 1000

std::vector<double> dpp(const Space& V, DppSampler sampler, uint64_t draw) {
  detail::Variates variates(11, stream_id("test/dpp", draw));
  std::vector<double> points(static_cast<size_t>(V.size() * V.dim()));
  detail::draw_dpp(V, sampler, variates, points.data());
  return points;
}

TEST(Dpp, TridiagonalAndRejectionSamplersAgree) {
  for (const std::string family :
       {"legendre", "hermite", "laguerre", "laguerre:1.5", "jacobi:0.5,-0.25", "jacobi:2,0"}) {
    const auto V = product_space({.family = family, .degree = 4});
    std::vector<std::vector<double>> fast(5), slow(5), gap(2);
    for (uint64_t draw = 0; draw < 1500; ++draw) {
      auto a = dpp(*V, DppSampler::tridiagonal, draw);
      auto b = dpp(*V, DppSampler::rejection, 10000 + draw);
      EXPECT_TRUE(std::is_sorted(a.begin(), a.end()));
      std::sort(b.begin(), b.end());
      for (size_t i = 0; i < 5; ++i) {
        fast[i].push_back(a[i]);
        slow[i].push_back(b[i]);
      }
      gap[0].push_back(a[3] - a[2]);
      gap[1].push_back(b[3] - b[2]);
    }
    for (size_t i = 0; i < 5; ++i)
      EXPECT_LT(ks_distance(fast[i], slow[i]), kSignificant) << family << " point " << i;
    EXPECT_LT(ks_distance(gap[0], gap[1]), kSignificant) << family;
  }
}

TEST(Dpp, ExpectedGramIsTheIdentity) {
  // E sum_i phi_a phi_b / k (x_i) = delta_ab: every point has the Christoffel density.
  for (const std::string family : {"legendre", "hermite", "trigonometric", "legendre,laguerre"}) {
    const int64_t dim = family.find(',') == std::string::npos ? 1 : 2;
    const auto V = product_space({.family = family, .dim = dim, .degree = 2});
    const int64_t m = V->size();
    std::vector<Mean> entries(static_cast<size_t>(m * m));
    for (uint64_t draw = 0; draw < 1500; ++draw) {
      const auto x = dpp(*V, DppSampler::rejection, draw);
      std::vector<double> phi(static_cast<size_t>(m * m)), gram(static_cast<size_t>(m * m), 0);
      V->evaluate(m, x.data(), phi.data());
      for (int64_t i = 0; i < m; ++i) {
        const double* row = phi.data() + i * m;
        double k = 0;
        for (int64_t a = 0; a < m; ++a) k += row[a] * row[a];
        for (int64_t a = 0; a < m; ++a)
          for (int64_t b = 0; b < m; ++b)
            gram[static_cast<size_t>(a * m + b)] += row[a] * row[b] / k;
      }
      for (size_t e = 0; e < gram.size(); ++e) entries[e].add(gram[e]);
    }
    for (int64_t a = 0; a < m; ++a)
      for (int64_t b = 0; b <= a; ++b)
        EXPECT_LT(std::abs(entries[static_cast<size_t>(a * m + b)].z(a == b ? 1 : 0)), 4.5)
            << family << ' ' << a << ' ' << b;
  }
}

TEST(Dpp, PairsHaveTheCorrelationOfTheKernel) {
  // Trigonometric, m = 3: K(x, y) = 1 + 2 cos 2 pi (x - y). Expected ordered pairs with difference
  // in a bin: int K(0, 0)^2 - K(t)^2 dt.
  const auto V = product_space({.family = "trigonometric", .degree = 1});
  constexpr int kBins = 12;
  std::vector<Mean> counts(kBins);
  for (uint64_t draw = 0; draw < 4000; ++draw) {
    const auto x = dpp(*V, DppSampler::rejection, draw);
    double seen[kBins] = {};
    for (size_t i = 0; i < 3; ++i)
      for (size_t j = 0; j < 3; ++j)
        if (i != j) ++seen[static_cast<int>(kBins * (x[i] - x[j] - std::floor(x[i] - x[j])))];
    for (int b = 0; b < kBins; ++b) counts[static_cast<size_t>(b)].add(seen[b]);
  }
  // 9 - (1 + 2 c)^2 = 6 - 4 c - 2 cos 4 pi t, c = cos 2 pi t
  const auto primitive = [](double t) {
    return 6 * t - 2 / M_PI * std::sin(2 * M_PI * t) - std::sin(4 * M_PI * t) / (2 * M_PI);
  };
  for (int b = 0; b < kBins; ++b) {
    const double expected =
        primitive((b + 1.0) / kBins) - primitive(static_cast<double>(b) / kBins);
    EXPECT_LT(std::abs(counts[static_cast<size_t>(b)].z(expected)), 4.5) << b;
  }
}

TEST(Dpp, SubsetsOfCandidatesHaveTheirDeterminants) {
  RandomStream random(3, stream_id("test/subsets"));
  const Tensor p = random.uniform({6}, torch::kFloat64, 0.2, 1);
  const CandidateSpace V(random.normal({6, 2}, torch::kFloat64), p, {.orthonormalise = true});
  const auto rotation = torch::tensor({{0.6, -0.8}, {0.8, 0.6}}, torch::kFloat64);
  const CandidateSpace rotated(V.phi().mm(rotation), p);
  const auto chi_square = [&](const CandidateSpace& space, DppSampler sampler) {
    constexpr int kDraws = 15000;
    std::vector<double> seen(36, 0);
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
      const auto x = dpp(space, sampler, draw);
      const auto [low, high] = std::minmax(x[0], x[1]);
      ++seen[static_cast<size_t>(6 * low + high)];
    }
    double chi = 0;
    for (int64_t i = 0; i < 6; ++i)
      for (int64_t j = i + 1; j < 6; ++j) {
        const Tensor pair = V.phi().index_select(0, torch::tensor({i, j}));
        const double det = torch::det(pair).item<double>();
        const double expected =
            kDraws * det * det * V.measure()[i].item<double>() * V.measure()[j].item<double>();
        const double miss = seen[static_cast<size_t>(6 * i + j)] - expected;
        chi += miss * miss / expected;
      }
    return chi;  // 14 degrees of freedom
  };
  EXPECT_LT(chi_square(V, DppSampler::rejection), 36.1);  // one in 1000
  EXPECT_LT(chi_square(V, DppSampler::conditional), 36.1);
  EXPECT_LT(chi_square(rotated, DppSampler::rejection), 36.1);
}

TEST(Dpp, OneFunctionIsOneDrawOfItsDensity) {
  const ProductSpace V(parse_families("legendre", 1), torch::tensor({{3}}, torch::kInt64));
  Mean second;
  for (uint64_t draw = 0; draw < 4000; ++draw)
    second.add(std::pow(dpp(V, DppSampler::automatic, draw)[0], 2));
  // s_3^2 + s_4^2 of Legendre's recurrence
  EXPECT_LT(std::abs(second.z(9 / 35. + 16 / 63.)), 4.5);
}

TEST(Dpp, InterpolationHasErrorVarianceOne) {
  // f = phi_m is orthogonal to V with norm 1: each interpolation coefficient has mean 0 and E c^2 =
  // 1 (Ermakov & Zolotukhin). c^2 has a tail of exponent 3/2, so its mean over K draws strays by
  // about K^{-1/3}.
  const int64_t m = 3;
  const auto V = product_space({.degree = m}), W = product_space({.degree = m - 1});
  double squares[3] = {};
  constexpr int kDraws = 30000;
  for (uint64_t draw = 0; draw < kDraws; ++draw) {
    const auto x = dpp(*W, DppSampler::tridiagonal, draw);
    double phi[12];
    V->evaluate(m, x.data(), phi);
    // Cramer's rule for the 3 x 3 system [phi_0 phi_1 phi_2] c = phi_3.
    const auto det = [&](int replaced) {
      double a[3][3];
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) a[i][j] = phi[4 * i + (j == replaced ? 3 : j)];
      return a[0][0] * (a[1][1] * a[2][2] - a[1][2] * a[2][1]) -
             a[0][1] * (a[1][0] * a[2][2] - a[1][2] * a[2][0]) +
             a[0][2] * (a[1][0] * a[2][1] - a[1][1] * a[2][0]);
    };
    const double whole = det(-1);
    for (int j = 0; j < 3; ++j) squares[j] += std::pow(det(j) / whole, 2) / kDraws;
  }
  for (const double square : squares) EXPECT_NEAR(square, 1, 0.15);
}

TEST(Dpp, ProposalsFollowTheHarmonicNumber) {
  const auto V = product_space({.dim = 2, .degree = 5});  // m = 21: 21 H_21 = 76.55
  Mean proposals;
  std::vector<double> x(42);
  for (uint64_t draw = 0; draw < 400; ++draw) {
    detail::Variates variates(2, stream_id("test/proposals", draw));
    proposals.add(
        static_cast<double>(detail::draw_dpp(*V, DppSampler::automatic, variates, x.data())));
  }
  double harmonic = 0;
  for (int k = 1; k <= 21; ++k) harmonic += 1.0 / k;
  EXPECT_LT(std::abs(proposals.z(21 * harmonic)), 4.5);
}

TEST(Dpp, LargeSamplesAreDistinctAndIndependentAsFunctions) {
  const auto V = product_space({.dim = 2, .degree = 21});  // m = 253
  const Tensor x = sample_dpp(*V, {.seed = 5});
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{253, 2}));
  EXPECT_LE(x.abs().max().item<double>(), 1);
  const Tensor gaps = torch::cdist(x, x) + 10 * torch::eye(253, torch::kFloat64);
  EXPECT_GT(gaps.min().item<double>(), 1e-6);
  const Tensor phi = V->basis(x);
  const Tensor rows = phi / phi.norm(2, {1}, true);
  // A dependent row would give a singular value at rounding.
  EXPECT_GT(torch::linalg_svdvals(rows)[-1].item<double>(), 1e-6);
}

TEST(Dpp, IsRepeatedByItsSeed) {
  const auto V = product_space({.dim = 2, .degree = 3});
  const Tensor x = sample_dpp(*V, {.seed = 1, .draw = 4});
  EXPECT_TRUE(x.equal(sample_dpp(*V, {.seed = 1, .draw = 4})));
  EXPECT_FALSE(x.equal(sample_dpp(*V, {.seed = 1, .draw = 5})));
  EXPECT_FALSE(x.equal(sample_dpp(*V, {.seed = 2, .draw = 4})));
}

TEST(Dpp, RejectionOverrunIsAnError) {
  // Two equal columns, said to be orthonormal: after one point nothing is left to accept.
  const Tensor one = RandomStream(1).normal({50, 1}, torch::kFloat64);
  const CandidateSpace V(torch::cat({one, one}, 1), {}, {.trusted = true});
  EXPECT_THROW(sample_dpp(V), NotConverged);
}

TEST(Dpp, SamplersThatDoNotFitSaySo) {
  const auto V = product_space({.dim = 2, .degree = 2});
  EXPECT_THROW(sample_dpp(*V, {.sampler = DppSampler::tridiagonal}), Unsupported);
  EXPECT_THROW(sample_dpp(*V, {.sampler = DppSampler::conditional}), Unsupported);
  const auto trigonometric = product_space({.family = "trigonometric"});
  EXPECT_THROW(sample_dpp(*trigonometric, {.sampler = DppSampler::tridiagonal}), Unsupported);
}

}  // namespace
}  // namespace ritz::design
