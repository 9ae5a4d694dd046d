#include "ritz/koopman/learned/water_filling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "ritz/base/check.h"

namespace ritz::koopman::learned {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// Where a falling function crosses zero between low (positive there) and high, to the last bits.
double falling_root(double low, double high, const std::function<double(double)>& f) {
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (f(middle) > 0 ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

/// The largest set of best modes whose water level is above all of their floors 1 / g.
double level_without_entropy(std::vector<double> gains, double budget) {
  std::sort(gains.begin(), gains.end(), std::greater<>());
  double floors = 0, level = 0;
  for (size_t m = 0; m < gains.size() && gains[m] > 0; ++m) {
    const double next = (budget + floors + 1 / gains[m]) / static_cast<double>(m + 1);
    if (next <= 1 / gains[m]) break;
    floors += 1 / gains[m];
    level = next;
  }
  return level;
}

/// The root in p, by bisection in log p: the left side falls from +inf to -inf.
double power_at(double gain, double mu, double budget, double gamma) {
  const double log_share = falling_root(-700, 700, [&](double x) {
    const double p = budget * std::exp(x);
    const double value = std::isinf(gain * p) ? 0 : gain / (2 * (1 + gain * p));
    return value - mu - gamma / budget * (x + 1);
  });
  return budget * std::exp(log_share);
}

}  // namespace

WaterFilling water_filling(const std::vector<double>& gains, const WaterFillingOptions& options) {
  const double c = options.budget, gamma = options.gamma;
  check_positive("budget", c);
  check_non_negative("gamma", gamma);
  check_at_least("gains", static_cast<int64_t>(gains.size()), 1);
  for (const double gain : gains) check_non_negative("gains", gain);
  WaterFilling result;
  result.power.resize(gains.size());
  if (gamma == 0) {
    const double nu = level_without_entropy(gains, c);
    if (!(nu > 0)) throw InvalidArgument("gains", "one > 0", "none");
    for (size_t i = 0; i < gains.size(); ++i) {
      result.power[i] = gains[i] > 0 ? std::max(0.0, nu - 1 / gains[i]) : 0;
    }
    result.level = 1 / (2 * nu);
  } else {
    const auto powers = [&](double mu) {
      for (size_t i = 0; i < gains.size(); ++i) {
        result.power[i] = power_at(gains[i], mu, c, gamma);
      }
      return sum(result.power);
    };
    // At `high` every p_i < c / d, at `low` every p_i > c: the sum lies on either side of c.
    const double best = *std::max_element(gains.begin(), gains.end());
    const double high = best / 2 + gamma / c * std::log(static_cast<double>(gains.size()) + 1);
    const double low = -2 * gamma / c;
    result.level = falling_root(low, high, [&](double mu) { return powers(mu) - c; });
    const double total = powers(result.level);
    for (double& p : result.power) p *= c / total;  // the last bits
  }
  double entropy = 0;
  for (const double p : result.power) entropy -= p > 0 ? p / c * std::log(p / c) : 0;
  result.effective_dimension = std::exp(entropy);
  return result;
}

}  // namespace ritz::koopman::learned
