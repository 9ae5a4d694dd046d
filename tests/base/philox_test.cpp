// without libtorch
#include "ritz/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <set>
#include <vector>

#include "ritz/base/detail/philox_sets.h"

namespace {

using ritz::philox_block;
using ritz::PhiloxStream;
using Block = std::array<uint32_t, 4>;

// kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
TEST(Philox, GivesThePublishedKnownAnswers) {
  EXPECT_EQ(philox_block(0, {0, 0, 0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox_block(~uint64_t{0}, {ones, ones, ones, ones}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox_block(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The index starts below 2^32 and crosses it, so that its upper half is seen to count.
constexpr PhiloxStream kStream{0x0123456789abcdef, 0xfedcba9876543210, (uint64_t{1} << 32) - 24};

TEST(Philox, FastWordsAreTheReferenceBlocksInTheirStatedPlaces) {
  for (const int64_t n : {1, 63, 64, 65, 1000, 64 * 70 + 5}) {
    std::vector<uint32_t> words(static_cast<size_t>(n) + 1, 7u);
    ritz::philox_words(kStream, words.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t group = i / 64, j = i % 64 / 16, l = i % 16 / 2, h = i % 2;
      const uint64_t index = kStream.index + static_cast<uint64_t>(16 * group + 8 * h + l);
      const auto block = philox_block(
          kStream.seed,
          {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
           static_cast<uint32_t>(kStream.stream), static_cast<uint32_t>(kStream.stream >> 32)});
      ASSERT_EQ(words[static_cast<size_t>(i)], block[static_cast<size_t>(j)]) << n << ' ' << i;
    }
    EXPECT_EQ(words[static_cast<size_t>(n)], 7u) << "written past the end";
  }
}

template <typename T, typename Fill>
void expect_same_bits(const Fill& fill) {
  using ritz::detail::InstructionSet;
  constexpr int64_t n = 64 * 70 + 5;
  std::vector<T> portable(n), fast(n);
  fill(InstructionSet::portable, portable.data(), n);
  for (const auto set : {InstructionSet::avx2, InstructionSet::avx512}) {
    if (!ritz::detail::has(set)) continue;
    fill(set, fast.data(), n);
    EXPECT_EQ(fast, portable) << static_cast<int>(set);
  }
}

TEST(Philox, EveryInstructionSetGivesTheSameBits) {
  expect_same_bits<uint32_t>(
      [](auto set, auto* out, int64_t n) { ritz::detail::philox_words(set, kStream, out, n); });
  const auto normal = [](auto set, auto* out, int64_t n) {
    ritz::detail::philox_normal(set, kStream, out, n);
  };
  expect_same_bits<float>(normal);
  expect_same_bits<double>(normal);
}

// Box and Muller with the C library's functions in long double, from the same words. The bound: the
// polynomials' 2 units in the last place for each of log, sine and cosine, with the square root
// halving the first and three products rounding once each; in absolute terms where sine or cosine
// pass through 0, whose argument carries its own rounding of 1 unit.
template <typename T, typename Bits>
void expect_accurate_normals() {
  constexpr int64_t n = 64 * 100, per_group = 256 / sizeof(T), half = per_group / 2;
  std::vector<T> numbers(n);
  std::vector<uint32_t> words(n * sizeof(T) / 4);
  ritz::philox_normal(kStream, numbers.data(), n, 0, 1);
  ritz::philox_words(kStream, words.data(), static_cast<int64_t>(words.size()));
  const auto* bits = reinterpret_cast<const Bits*>(words.data());
  const long double cell = std::ldexp(1.0L, -8 * static_cast<int>(sizeof(T)));
  constexpr double eps = std::numeric_limits<T>::epsilon();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t group = i / per_group, place = i % per_group % half;
    const long double u = (bits[group * per_group + place] + 0.5L) * cell;
    const long double turn =
        2 * std::numbers::pi_v<long double> *
        (static_cast<long double>(bits[group * per_group + half + place]) * cell);
    const long double radius = std::sqrt(-2 * std::log(u));
    const long double exact = radius * (i % per_group < half ? std::cos(turn) : std::sin(turn));
    // u itself is rounded once, which near 1 moves the radius by eps / radius.
    const double bound = eps * static_cast<double>(4 * radius + 1 / std::max(radius, 1e-3L));
    ASSERT_NEAR(static_cast<double>(numbers[static_cast<size_t>(i)]), static_cast<double>(exact),
                bound)
        << i;
  }
}

TEST(Philox, NormalsAreBoxAndMullerToRounding) {
  expect_accurate_normals<float, uint32_t>();
  expect_accurate_normals<double, uint64_t>();
}

template <typename T>
void expect_uniforms_inside() {
  const T low = T(1), high = T(1) + 3 * std::numeric_limits<T>::epsilon();
  std::vector<T> numbers(10007);
  ritz::philox_uniform(kStream, numbers.data(), 10007, low, high);
  std::set<T> seen(numbers.begin(), numbers.end());
  EXPECT_EQ(*seen.begin(), low);
  EXPECT_LT(*seen.rbegin(), high);
  EXPECT_EQ(seen.size(), 3u);
}

TEST(Philox, UniformsStayBelowHighWhereRoundingWouldReachIt) {
  expect_uniforms_inside<float>();
  expect_uniforms_inside<double>();
}

TEST(Philox, ShorterFillsArePrefixesAndLaterGroupsStartWhereStated) {
  std::vector<double> all(1000), part(1000);
  ritz::philox_normal(kStream, all.data(), 1000, 2, 3);
  for (const int64_t n : {0, 1, 31, 32, 33, 999}) {
    part.assign(1000, -1);
    ritz::philox_normal(kStream, part.data(), n, 2, 3);
    EXPECT_TRUE(std::equal(part.begin(), part.begin() + n, all.begin())) << n;
    EXPECT_EQ(part[static_cast<size_t>(n)], -1);
  }
  ritz::philox_normal(kStream.at(5), part.data(), 100, 2, 3);
  EXPECT_TRUE(std::equal(part.begin(), part.begin() + 100, all.begin() + 160));
}

TEST(Philox, SignsAreBothEquallyOften) {
  std::vector<float> signs(1 << 20);
  ritz::philox_signs(kStream, signs.data(), 1 << 20);
  double sum = 0;
  for (const float s : signs) {
    ASSERT_EQ(std::abs(s), 1.0f);
    sum += s;
  }
  EXPECT_LT(std::abs(sum), 5 * std::sqrt(1 << 20));  // 5 deviations
}

}  // namespace
