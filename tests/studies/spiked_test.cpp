#include "studies/generators/spiked.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

namespace {

using ritz::studies::spiked_wigner;
using ritz::studies::spiked_wishart;

TEST(SpikedWigner, WithoutNoiseHasExactlyItsSpikes) {
  const auto made = spiked_wigner({.size = 37, .spikes = {5, -2}, .sigma = 0});
  const auto values = torch::linalg_eigvalsh(made.matrix);
  EXPECT_NEAR(values[36].item<double>(), 5, 1e-12);
  EXPECT_NEAR(values[0].item<double>(), -2, 1e-12);
  EXPECT_LT(values.slice(0, 1, 36).abs().max().item<double>(), 1e-12);
  EXPECT_DOUBLE_EQ(made.top.value, 5);
}

TEST(SpikedWigner, ExtremesLieWhereTheoremHExpectsThem) {
  // Fluctuations of an outlier are O(sigma / sqrt(b)) = 0.5, 1.5 % of 33; the edge's are P^(-2/3)
  // s.
  const auto made = spiked_wigner({.size = 401, .spikes = {30, -24}, .batch = 4, .seed = 2});
  EXPECT_TRUE(made.matrix.equal(made.matrix.t()));
  const auto values = torch::linalg_eigvalsh(made.matrix);
  EXPECT_NEAR(values[400].item<double>() / made.top.value, 1, 0.05);
  EXPECT_NEAR(values[0].item<double>() / made.bottom.value, 1, 0.05);
  EXPECT_GT(made.top.value, 30);
}

TEST(SpikedWigner, NoiseHasOneVarianceOnAndOffTheDiagonal) {
  const auto made = spiked_wigner({.size = 301, .spikes = {}, .sigma = 3, .batch = 9});
  // Sample variances of 301 and 45150 normal numbers: deviations sqrt(2/n); five of them.
  EXPECT_NEAR(made.matrix.diagonal().square().mean().item<double>(), 1, 5 * std::sqrt(2.0 / 301));
  EXPECT_NEAR(made.matrix.triu(1).square().sum().item<double>() / 45150, 1,
              5 * std::sqrt(2.0 / 45150));
}

TEST(SpikedWishart, ExtremesLieWhereTheoremGExpectsThem) {
  const auto made = spiked_wishart({.size = 151, .spike = 20, .batch = 601, .seed = 1});
  const auto values = torch::linalg_eigvalsh(made.matrix);
  EXPECT_NEAR(values[150].item<double>() / made.top.value, 1,
              0.25);  // sd of the outlier: ell sqrt(2/B)
  EXPECT_NEAR(values[0].item<double>() / made.bottom.value, 1, 0.15);
  const auto overlap = made.matrix.mv(made.directions.select(1, 0)).norm().item<double>();
  EXPECT_NEAR(overlap / 20, 1, 0.25);
}

TEST(Spiked, SameSeedSameMatrixOtherDrawOtherNoise) {
  const auto a = spiked_wigner({.size = 17, .spikes = {9}, .seed = 4});
  const auto b = spiked_wigner({.size = 17, .spikes = {9}, .seed = 4});
  const auto c = spiked_wigner({.size = 17, .spikes = {9}, .seed = 4, .draw = 1});
  EXPECT_TRUE(a.matrix.equal(b.matrix));
  EXPECT_TRUE(a.directions.equal(c.directions));
  EXPECT_FALSE(a.matrix.equal(c.matrix));
}

TEST(Spiked, KeepsFloat32AndRejectsNonsense) {
  EXPECT_EQ(spiked_wigner({.size = 9, .tensor = torch::kFloat32}).matrix.scalar_type(),
            torch::kFloat32);
  EXPECT_EQ(spiked_wishart({.size = 9, .batch = 5, .tensor = torch::kFloat32}).matrix.scalar_type(),
            torch::kFloat32);
  EXPECT_THROW(spiked_wigner({.size = 1}), ritz::InvalidArgument);
  EXPECT_THROW(spiked_wigner({.batch = 0}), ritz::InvalidArgument);
  EXPECT_THROW(spiked_wishart({.spike = 0.5}), ritz::InvalidArgument);
  EXPECT_THROW(spiked_wishart({.batch = 0}), ritz::InvalidArgument);
}

}  // namespace
