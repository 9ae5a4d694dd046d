// Water-filling: budgets, stationarity, and what entropy changes.
#include "ritz/koopman/learned/water_filling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ritz/base/error.h"

namespace {

using ritz::koopman::learned::water_filling;

const std::vector<double> kGains = {100, 30, 10, 3, 1, .3, .1, .03};

double sum(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0);
}

TEST(WaterFilling, SpendsTheBudget) {
  for (const double gamma : {0.0, 1e-3, 0.5, 20.0}) {
    for (const double budget : {0.01, 2.0, 300.0}) {
      EXPECT_NEAR(sum(water_filling(kGains, {.budget = budget, .gamma = gamma}).power), budget,
                  1e-9 * budget)
          << gamma << " " << budget;
    }
  }
}

TEST(WaterFilling, WithoutEntropyFillsTheBestModesToOneLevel) {
  const auto found = water_filling(kGains, {.budget = 2});
  const std::vector<double> expected = {.6092, .5858, .5192, .2858, 0, 0, 0, 0};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found.power[i], expected[i], 1e-4) << i;
  EXPECT_NEAR(found.effective_dimension, 3.857, 1e-3);
  for (size_t i = 0; i < 4; ++i) {  // p + 1 / g = 1 / (2 mu)
    EXPECT_NEAR(found.power[i] + 1 / kGains[i], 1 / (2 * found.level), 1e-12);
  }
}

TEST(WaterFilling, EntropyKeepsEveryModeAndIsStationary) {
  const double gamma = 0.5, c = 2;
  const auto found = water_filling(kGains, {.budget = c, .gamma = gamma});
  const std::vector<double> expected = {.5411, .5230, .4725, .3146, .0900, .0260, .0175, .0152};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found.power[i], expected[i], 1e-4) << i;
    EXPECT_GT(found.power[i], 0);
    const double g = kGains[i], p = found.power[i];
    EXPECT_NEAR(g / (2 * (1 + g * p)) - gamma / c * (std::log(p / c) + 1), found.level, 1e-9);
  }
  EXPECT_NEAR(found.effective_dimension, 5.008, 1e-3);
}

TEST(WaterFilling, StrongEntropySpreadsEvenlyAndUselessModesGetNothingWithout) {
  for (const double p : water_filling(kGains, {.budget = 8, .gamma = 1e6}).power) {
    EXPECT_NEAR(p, 1, 1e-4);
  }
  const auto found = water_filling({0, 4, 0}, {.budget = 1});
  EXPECT_EQ(found.power, (std::vector<double>{0, 1, 0}));
  EXPECT_NEAR(water_filling({0, 0}, {.budget = 1, .gamma = 1}).power[0], 0.5, 1e-9);
}

TEST(WaterFilling, RefusesBadGainsAndBudgets) {
  using ritz::InvalidArgument;
  EXPECT_THROW(water_filling({}, {.budget = 1}), InvalidArgument);
  EXPECT_THROW(water_filling({1, -1}, {.budget = 1}), InvalidArgument);
  EXPECT_THROW(water_filling({0, 0}, {.budget = 1}), InvalidArgument);
  EXPECT_THROW(water_filling({1}, {.budget = 0}), InvalidArgument);
  EXPECT_THROW(water_filling({1}, {.budget = 1, .gamma = -1}), InvalidArgument);
}

}  // namespace
