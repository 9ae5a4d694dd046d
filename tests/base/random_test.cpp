#include "ritz/base/random.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/threads.h"

namespace {

using ritz::RandomStream;
using ritz::stream_id;
using ritz::Tensor;

constexpr int64_t kMany = 1 << 20;
const auto kTypes = {at::kFloat, at::kDouble};

// Kolmogorov's distance sqrt(n) sup |F_n - F| of sorted values of F; above 2.23 with probability
// 1e-4.
double kolmogorov(const Tensor& cdf_values) {
  const auto sorted = std::get<0>(cdf_values.to(at::kDouble).sort());
  const auto n = sorted.numel();
  const auto steps = at::arange(n, at::kDouble) / n;
  const auto above = (steps + 1.0 / static_cast<double>(n) - sorted).max(),
             below = (sorted - steps).max();
  return std::sqrt(static_cast<double>(n)) * std::max(above.item<double>(), below.item<double>());
}

Tensor normal_cdf(const Tensor& z) {
  return 0.5 * at::erfc(-z.to(at::kDouble) / std::sqrt(2.0));
}

TEST(RandomStream, UniformFollowsItsLaw) {
  for (const auto type : kTypes) {
    const auto u = RandomStream(1).uniform({kMany}, type, -3, 5).to(at::kDouble);
    EXPECT_LT(kolmogorov((u + 3) / 8), 2.23);
    EXPECT_GE(u.min().item<double>(), -3);
    EXPECT_LT(u.max().item<double>(), 5);
  }
}

TEST(RandomStream, NormalFollowsItsLawWithMomentsAndTails) {
  for (const auto type : kTypes) {
    const auto z = RandomStream(2, stream_id("test")).normal({kMany}, type);
    EXPECT_LT(kolmogorov(normal_cdf(z)), 2.23);
    const auto x = z.to(at::kDouble);
    // Moments against 5 of their own deviations: var(z^k) = E z^2k - (E z^k)^2.
    const double root = std::sqrt(static_cast<double>(kMany));
    EXPECT_NEAR(x.mean().item<double>(), 0, 5 / root);
    EXPECT_NEAR(x.pow(2).mean().item<double>(), 1, 5 * std::sqrt(2.0) / root);
    EXPECT_NEAR(x.pow(3).mean().item<double>(), 0, 5 * std::sqrt(15.0) / root);
    EXPECT_NEAR(x.pow(4).mean().item<double>(), 3, 5 * std::sqrt(96.0) / root);
    // P(|z| > 4) = 6.334e-5: 66.4 expected, a Poisson count.
    EXPECT_NEAR((x.abs() > 4).sum().item<double>(), 66.4, 5 * std::sqrt(66.4));
  }
}

TEST(RandomStream, NeighboursAreUncorrelated) {
  for (const auto type : kTypes) {
    const auto z = RandomStream(3).normal({kMany}, type).to(at::kDouble);
    for (const int64_t lag : {1, 2, 15, 16, 32, 64, 2048}) {
      const auto n = kMany - lag;
      const double product = (z.narrow(0, 0, n) * z.narrow(0, lag, n)).sum().item<double>();
      EXPECT_LT(std::abs(product), 5 * std::sqrt(static_cast<double>(n))) << lag;
    }
  }
}

TEST(RandomStream, MeanAndDeviationScaleTheSameNumbers) {
  const auto z = RandomStream(4).normal({1001}, at::kDouble);
  const auto x = RandomStream(4).normal({1001}, at::kDouble, 10, 0.5);
  EXPECT_TRUE(at::allclose(x, 10 + 0.5 * z, 1e-15, 1e-15));
  EXPECT_TRUE(RandomStream(4).normal({7}, at::kDouble, 3, 0).eq(3).all().item<bool>());
}

TEST(RandomStream, NumbersDoNotDependOnTheThreads) {
  const int before = ritz::threads();
  std::vector<std::vector<Tensor>> runs;
  for (const int threads : {1, 2, 3, 7}) {
    ritz::set_threads(threads);
    RandomStream random(5, 6);
    runs.push_back({random.uniform({1000003}, at::kFloat), random.normal({500009}, at::kDouble),
                    random.normal({1000003}, at::kFloat), random.rademacher({3000001}, at::kFloat),
                    random.integers({700001}, -5, 1000), random.permutation(10007)});
  }
  ritz::set_threads(before);
  for (const auto& run : runs) {
    for (size_t i = 0; i < run.size(); ++i) EXPECT_TRUE(run[i].equal(runs[0][i])) << i;
  }
}

TEST(RandomStream, SkipToRepeatsAndCallsGoOn) {
  RandomStream random(7, 8);
  random.normal({100}, at::kFloat);
  const auto here = random.position();
  const auto first = random.normal({1000}, at::kDouble),
             second = random.normal({1000}, at::kDouble);
  EXPECT_FALSE(first.equal(second));
  random.skip_to(here);
  EXPECT_TRUE(random.normal({1000}, at::kDouble).equal(first));
  EXPECT_TRUE(random.normal({1000}, at::kDouble).equal(second));
  // Nothing is drawn twice across calls.
  RandomStream other(7, 8);
  const auto all = at::cat({other.uniform({100}, at::kDouble), other.uniform({7}, at::kDouble),
                            other.uniform({100}, at::kDouble)});
  EXPECT_EQ(std::get<0>(at::_unique(all)).numel(), 207);
}

TEST(RandomStream, SeedsAndStreamsShareNoNumbers) {
  std::vector<Tensor> all;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (uint64_t index = 0; index < 4; ++index) {
      for (const char* purpose : {"a", "b"}) {
        all.push_back(RandomStream(seed, stream_id(purpose, index)).uniform({1000}, at::kDouble));
      }
    }
  }
  // 32000 numbers of 53 bits: a chance coincidence has probability 6e-8.
  EXPECT_EQ(std::get<0>(at::_unique(at::cat(all))).numel(), 32000);
}

TEST(RandomStream, FillsAnyStridesAndDtypesWithTheSameNumbers) {
  const auto plain = RandomStream(9).normal({33, 17}, at::kFloat);
  const auto wide = at::zeros({17, 70}, at::kFloat);
  const auto view = wide.slice(1, 1, 67, 2).t();  // [33, 17], strides 2 and 70
  RandomStream(9).fill_normal(view);
  EXPECT_TRUE(view.equal(plain));
  EXPECT_TRUE(wide.slice(1, 0, 70, 2).eq(0).all().item<bool>()) << "written beside the view";
  EXPECT_TRUE(RandomStream(9).normal({33, 17}, at::kBFloat16).equal(plain.to(at::kBFloat16)));
  EXPECT_TRUE(RandomStream(9).normal({33, 17}, at::kHalf).equal(plain.to(at::kHalf)));
}

TEST(RandomStream, ComplexNormalHasUnitSecondMoment) {
  const auto z = RandomStream(10).normal({kMany / 2}, at::kComplexDouble, 0, 2);
  const auto parts = at::view_as_real(z).reshape({-1});
  EXPECT_LT(kolmogorov(normal_cdf(parts / std::sqrt(2.0))), 2.23);
  const auto signs = RandomStream(10).rademacher({100}, at::kComplexFloat);
  EXPECT_TRUE(at::imag(signs).eq(0).all().item<bool>());
  EXPECT_TRUE(at::real(signs).abs().eq(1).all().item<bool>());
}

TEST(RandomStream, FillingALeafThatRequiresGradLeavesItALeaf) {
  const auto weight = at::zeros({5, 5}, at::kFloat).requires_grad_();
  const auto version = weight._version();
  RandomStream(11).fill_uniform(weight);
  EXPECT_TRUE(weight.is_leaf());
  EXPECT_GT(weight._version(), version) << "autograd must see that saved values changed";
  EXPECT_TRUE(weight.gt(0).any().item<bool>());
}

// chi^2 with k - 1 degrees of freedom, standardised; within 5 deviations.
void expect_even(const Tensor& counts) {
  const auto k = static_cast<double>(counts.numel());
  const double mean = counts.sum().item<double>() / k;
  const double chi2 = ((counts.to(at::kDouble) - mean).pow(2) / mean).sum().item<double>();
  EXPECT_NEAR(chi2, k - 1, 5 * std::sqrt(2 * (k - 1)));
}

TEST(RandomStream, IntegersAreEvenlySpread) {
  const auto x = RandomStream(12).integers({kMany}, -3, 98);
  EXPECT_EQ(x.min().item<int64_t>(), -3);
  EXPECT_EQ(x.max().item<int64_t>(), 97);
  expect_even(at::bincount(x + 3, {}, 101));
  EXPECT_TRUE(RandomStream(12).integers({50}, 4, 5).eq(4).all().item<bool>());
}

// With a range of 3 * 2^62 a quarter of all words is drawn again; without that the upper half of
// the product would be a multiple of 3 twice as often as it is of any other residue.
TEST(RandomStream, IntegersOfHugeRangesAreUnbiased) {
  const int64_t low = std::numeric_limits<int64_t>::min(), third = int64_t{1} << 62;
  const auto x = RandomStream(13).integers({300000}, low, low + third + third + third);
  EXPECT_EQ(std::get<0>(at::_unique(x)).numel(), 300000);
  expect_even(at::bincount(at::remainder(x, 3), {}, 3));
  const auto first = (x < low + third).sum(), second = x.lt(low + third + third).sum() - first;
  expect_even(at::stack({first, second, 300000 - first - second}));
  const auto all = RandomStream(13).integers({1000}, low, std::numeric_limits<int64_t>::max());
  EXPECT_TRUE(all.lt(0).any().item<bool>() && all.gt(0).any().item<bool>());
}

TEST(RandomStream, PermutationsOfFourAreAllEquallyLikely) {
  RandomStream random(14);
  auto counts = at::zeros({256}, at::kLong);
  int64_t* count = counts.data_ptr<int64_t>();
  for (int i = 0; i < 24000; ++i) {
    const auto p = random.permutation(4);
    const auto* q = p.data_ptr<int64_t>();
    ++count[64 * q[0] + 16 * q[1] + 4 * q[2] + q[3]];
  }
  const auto seen = counts.index({counts > 0});
  EXPECT_EQ(seen.numel(), 24);
  expect_even(seen);
}

TEST(RandomStream, PermutationHasEachNumberOnce) {
  for (const int64_t n : {0, 1, 2, 31, 32, 33, 100003}) {
    const auto p = RandomStream(15).permutation(n);
    EXPECT_TRUE(std::get<0>(p.sort()).equal(at::arange(n))) << n;
  }
}

TEST(RandomStream, SampleIsTheStartOfAPermutationHoweverItIsHeld) {
  for (const int64_t n : {17, 1000, 40000}) {
    const auto all = RandomStream(16, 1).permutation(n);
    for (const int64_t k : {int64_t{0}, int64_t{1}, n / 100, n / 17, n / 15, n - 1, n}) {
      EXPECT_TRUE(RandomStream(16, 1).sample(n, k).equal(all.narrow(0, 0, k))) << n << ' ' << k;
    }
  }
}

TEST(RandomStream, SampleOfAnAstronomicalRangeIsDistinctAndEven) {
  const int64_t n = std::numeric_limits<int64_t>::max();
  const auto s = RandomStream(17).sample(n, 100000);
  EXPECT_EQ(std::get<0>(at::_unique(s)).numel(), 100000);
  expect_even(at::bincount(at::floor(s.to(at::kDouble) / static_cast<double>(n) * 50).to(at::kLong),
                           {}, 50));
}

TEST(RandomStream, EmptyShapesUseNothing) {
  RandomStream random(18);
  EXPECT_EQ(random.normal({0, 3}, at::kFloat).numel(), 0);
  EXPECT_EQ(random.integers({0}, 0, 1).numel(), 0);
  EXPECT_EQ(random.permutation(0).numel(), 0);
  EXPECT_EQ(random.position(), 0u);
}

TEST(RandomStream, BadArgumentsAreNamed) {
  RandomStream random(19);
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_THROW(random.uniform({3}, at::kFloat, 1, 1), ritz::InvalidArgument);
  EXPECT_THROW(random.uniform({3}, at::kFloat, 2, 1), ritz::InvalidArgument);
  EXPECT_THROW(random.uniform({3}, at::kDouble, 0, inf), ritz::InvalidArgument);
  EXPECT_THROW(random.uniform({3}, at::kFloat, 1, 1 + 1e-12), ritz::InvalidArgument);
  EXPECT_THROW(random.uniform({3}, at::kLong), ritz::InvalidArgument);
  EXPECT_THROW(random.normal({3}, at::kFloat, 0, -1), ritz::InvalidArgument);
  EXPECT_THROW(random.normal({3}, at::kFloat, inf, 1), ritz::InvalidArgument);
  EXPECT_THROW(random.normal({-3}, at::kFloat), ritz::InvalidArgument);
  EXPECT_THROW(random.fill_normal(Tensor{}), ritz::InvalidArgument);
  EXPECT_THROW(random.integers({3}, 5, 5), ritz::InvalidArgument);
  EXPECT_THROW(random.sample(5, 6), ritz::InvalidArgument);
  EXPECT_THROW(random.permutation(-1), ritz::InvalidArgument);
  EXPECT_THROW(ritz::set_threads(0), ritz::InvalidArgument);
  EXPECT_EQ(random.position(), 0u);
}

}  // namespace
