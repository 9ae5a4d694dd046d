// C: how much of an observable is made of eigenfunctions, for a rotation times the cat map.
#include <torch/types.h>

#include <cmath>

#include "ritz/koopman/dictionary.h"
#include "ritz/koopman/mixing.h"
#include "studies/generators/dynamics.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies::koopman_limits {

void point_and_mixing(const StudyContext& context, StudyResult& result) {
  const int64_t M = 20000, L = 60, functions = 75;
  const Tensor states =
      cat_map({.trajectories = M, .steps = L, .rotation = true, .seed = context.seed});
  const auto wave = [](const Tensor& angle) {
    return torch::polar(torch::ones_like(angle), angle);
  };
  const Tensor g =
      std::sqrt(.7) * wave(states.select(2, 0)) + std::sqrt(.3) * wave(states.select(2, 1));
  const auto dictionary = koopman::fourier_dictionary(3, functions, 2 * M_PI);
  const std::vector<int64_t> dimensions = {1, 7, 25, functions};
  const auto found =
      koopman::rage((*dictionary)(states.select(1, 0).contiguous()), g, {.dimensions = dimensions});
  const double R = found.average.back(), first = found.running[3][0].item<double>();
  result.claims.push_back(
      {.id = "C",
       .claim = "RAGE averages tell how much of g is made of eigenfunctions",
       .baseline =
           "the truth: 70 % of ||g||^2 turns with a rotation, 30 % is a mode of the cat map",
       .criterion = "the average over lags 0..60 with 75 functions is .70 +- .03, the first values "
                    "are about 1 (within .03)",
       .measured = {{"average", R},
                    {"at lag 0", first},
                    {"noise floor n (1 - R) / M", found.noise_floor.back()},
                    {"average with 1 function", found.average[0]},
                    {"average with 7 functions", found.average[1]},
                    {"average with 25 functions", found.average[2]}},
       .holds = std::abs(R - .7) <= .03 && std::abs(first - 1) <= .03,
       .scale = Scale::quick});
  io::Figure figure{.title = "RAGE averages: rotation x cat map",
                    .x = {.label = "L"},
                    .y = {.label = "share of ||g||^2", .min = 0, .max = 1.05},
                    .marks = {{.at = .7, .vertical = false, .label = "made of eigenfunctions"}}};
  const std::vector<double> lag = numbers(torch::arange(L + 1, torch::kFloat64));
  Series series{.name = "rage", .columns = {{"L", lag}}};
  for (size_t k = 0; k < dimensions.size(); ++k) {
    const auto values = numbers(found.running[static_cast<int64_t>(k)]);
    const std::string name = "n = " + std::to_string(dimensions[k]);
    figure.curves.push_back({.label = name, .x = lag, .y = values});
    series.columns.emplace_back("n" + std::to_string(dimensions[k]), values);
  }
  result.series.push_back(series);
  result.figures.push_back({.name = "rage",
                            .caption =
                                "The part that mixes leaves the span of 75 functions within a "
                                "few steps; the part that turns stays. One function (the "
                                "constant) holds nothing of g.",
                            .figure = figure});
}

}  // namespace ritz::studies::koopman_limits
