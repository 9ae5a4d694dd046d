#pragma once
// How a budget of latent variance is best spent on modes of unequal gain, with and without the
// entropy that keeps all of them (propositions 4 and 5).
//
//     #include "ritz/koopman/learned/water_filling.h"
//     int main() {
//       using ritz::koopman::learned::water_filling;
//       const auto bare = water_filling({100, 1, 0.01}, {.budget = 1});
//       const auto kept = water_filling({100, 1, 0.01}, {.budget = 1, .gamma = 0.1});
//       return bare.power[2] == 0 && kept.power[2] > 0 ? 0 : 1;
//     }
#include <vector>

namespace ritz::koopman::learned {

struct WaterFillingOptions {
  double budget = 1;  // tr C, > 0
  double gamma = 0;   // weight of the entropy, >= 0
};

struct WaterFilling {
  std::vector<double> power;  // p_i >= 0, the sum being the budget
  double level = 0;           // mu, the budget's price
  double effective_dimension = 1;
};

/// The p that maximises sum_i 1/2 log(1 + g_i p_i) + gamma S(p / c), sum p = c, for gains g_i >= 0
/// (squared singular values of M_n^{-1/2} K^n). gamma = 0: p_i = max(0, 1/(2 mu) - 1/g_i), exactly,
/// by sorting. gamma > 0: for each mu the strictly falling
///
///     g_i / (2 (1 + g_i p)) - mu - (gamma / c) (log(p / c) + 1) = 0
///
/// has one root p_i > 0; the sum of the roots falls in mu, which is found by bisection.
WaterFilling water_filling(const std::vector<double>& gains,
                           const WaterFillingOptions& options = {});

}  // namespace ritz::koopman::learned
