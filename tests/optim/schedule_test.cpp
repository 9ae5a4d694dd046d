#include "ritz/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ritz/base/error.h"

namespace {

using ritz::optim::KneeDetector;
using ritz::optim::Schedule;

TEST(Schedule, ConstantIsOne) {
  const Schedule schedule("constant", 10);
  EXPECT_EQ(schedule.factor(1), 1);
  EXPECT_EQ(schedule.factor(1000), 1);
}

TEST(Schedule, StepsMultiplyFromTheirStepOn) {
  const Schedule schedule("step:0.1@5,0.5@8", 10);
  EXPECT_EQ(schedule.factor(4), 1);
  EXPECT_EQ(schedule.factor(5), 0.1);
  EXPECT_EQ(schedule.factor(7), 0.1);
  EXPECT_EQ(schedule.factor(8), 0.1 * 0.5);
}

TEST(Schedule, CosineGoesFromOneTowardsZeroThroughAHalf) {
  const Schedule schedule("cosine", 100);
  EXPECT_EQ(schedule.factor(1), 1);
  EXPECT_NEAR(schedule.factor(51), 0.5, 1e-15);
  EXPECT_GT(schedule.factor(100), 0);
  EXPECT_NEAR(schedule.factor(101), 0, 1e-15);
}

TEST(Schedule, CosineAfterWarmUpRisesLinearlyThenFallsOverTheRest) {
  const Schedule schedule("cosine:20", 120), rest("cosine", 100);
  for (int64_t step = 1; step <= 20; ++step) {
    EXPECT_DOUBLE_EQ(schedule.factor(step), static_cast<double>(step) / 20);
  }
  for (int64_t step = 1; step <= 101; ++step) {
    EXPECT_EQ(schedule.factor(20 + step), rest.factor(step));
  }
  EXPECT_EQ(Schedule("cosine:0", 9).factor(4), Schedule("cosine", 9).factor(4));
}

TEST(Schedule, MalformedTextIsRefusedWithTheGrammar) {
  for (const char* text : {"", "linear", "step:", "step:0.1", "step:0.1@0", "step:-1@4",
                           "step:0.1@5,0.1@5", "step:0.1@5,", "knee:", "knee:x", "knee:inf",
                           "cosine:", "cosine:-1", "cosine:10", "cosine:x"}) {
    EXPECT_THROW(Schedule(text, 10), ritz::InvalidArgument) << text;
  }
}

/// Small reproducible noise, mean 0.
double noise(int64_t t) {
  return 0.01 * std::sin(12.9898 * static_cast<double>(t * t % 1009));
}

TEST(KneeDetector, FindsThePlateauBehindTheNoiseAtTheSecondFlatCheck) {
  // Noise of .02 delays the knee: without the standard error it would come at step 1450.
  const auto y = [](double s) { return std::exp(-s / 300) + 2 * noise(static_cast<int64_t>(s)); };
  KneeDetector detector;
  int64_t found = 0;
  for (int64_t t = 1; t <= 20000 && found == 0; ++t) {
    if (detector.observe(y(static_cast<double>(t)))) found = t;
  }
  // The rule of the header, evaluated anew at each check.
  int64_t expected = 0;
  for (int64_t t = 600, strikes = 0; expected == 0 && t <= 20000; t += 50) {
    double s_xy = 0, s_xx = 0, mean = 0, first = 0;
    for (int k = 0; k < 200; ++k) mean += y(static_cast<double>(t - 199 + k)) / 200;
    for (int k = 0; k < 200; ++k) {
      s_xy += (k - 99.5) * (y(static_cast<double>(t - 199 + k)) - mean);
      s_xx += (k - 99.5) * (k - 99.5);
    }
    double residual = 0;
    for (int k = 0; k < 200; ++k) {
      const double e = y(static_cast<double>(t - 199 + k)) - mean - s_xy / s_xx * (k - 99.5);
      residual += e * e;
    }
    for (int s = 1; s <= 10; ++s) first += y(s) / 10;
    const double bound = -s_xy / s_xx + 2 * std::sqrt(residual / 198 / s_xx);
    strikes = bound < 0.05 * (first - mean) / static_cast<double>(t) ? strikes + 1 : 0;
    if (strikes == 2) expected = t;
  }
  EXPECT_EQ(found, expected);
  EXPECT_GT(found, 650);
}

TEST(KneeDetector, NeverFiresOnALossThatFallsLinearly) {
  KneeDetector detector;
  for (int64_t t = 1; t <= 5000; ++t) {
    EXPECT_FALSE(detector.observe(10 - 0.001 * static_cast<double>(t) + noise(t))) << t;
  }
}

TEST(Schedule, KneeMultipliesAndResumesFromItsState) {
  Schedule whole("knee:0.5", 5000), first("knee:0.5", 5000);
  const auto loss = [](int64_t t) { return std::exp(-static_cast<double>(t) / 50) + noise(t); };
  std::vector<double> factors{1};
  for (int64_t t = 1; t <= 2000; ++t) {
    whole.observe(loss(t));
    factors.push_back(whole.factor(t + 1));
    if (t <= 620) first.observe(loss(t));
  }
  EXPECT_EQ(factors[620], 1);
  EXPECT_LT(factors.back(), 1);
  Schedule second("knee:0.5", 5000);
  second.set_state(first.state());
  for (int64_t t = 621; t <= 2000; ++t) {
    second.observe(loss(t));
    ASSERT_EQ(second.factor(t + 1), factors[t]);
  }
  EXPECT_EQ(second.state(), whole.state());
  EXPECT_THROW(second.set_state({1}), ritz::DataError);
}

}  // namespace
