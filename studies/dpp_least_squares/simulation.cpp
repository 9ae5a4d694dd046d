// R1: a function of two parameters whose evaluation is the solution of a diffusion equation.
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/timer.h"
#include "ritz/design/classical.h"
#include "studies/dpp_least_squares/parts.h"
#include "studies/generators/design_functions.h"

namespace ritz::studies::dpp_least_squares {

using design::Method;

void simulation(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const int64_t grid = quick ? 24 : 128, seeds = quick ? 1 : 3;
  const auto V = design::product_space({.family = "legendre", .dim = 2, .degree = 5});
  const int64_t m = V->size(), n = 2 * m;
  int64_t solves = 0;
  double seconds = 0;
  const design::Function f = [&](const Tensor& x) {
    const Timer timer;
    std::vector<Tensor> values;
    for (int64_t i = 0; i < x.size(0); ++i) {
      context.progress("R1, simulations", i, x.size(0));
      values.push_back(diffusion_mean(x.narrow(0, i, 1), grid));
      ++solves;
    }
    seconds += timer.seconds();
    return torch::cat(values);
  };
  // Gauss's points of degree 17 in each variable: the oracle that all are measured with.
  const int64_t q = quick ? 8 : 9;
  const auto oracle = design::gauss_points(*V, q * q);
  const Tensor mu = oracle.weights / static_cast<double>(q * q);
  const auto best = best_approximation(*V, f, oracle.points, mu);

  struct Entry {
    std::string name;
    Method method;
    int64_t n;
    std::vector<double> ratio, loo;
  };
  std::vector<Entry> entries{{"repeated DPP", Method::repeated_dpp, n, {}, {}},
                             {"volume", Method::volume, n, {}, {}},
                             {"i.i.d.", Method::iid, n, {}, {}},
                             {"Latin hypercube", Method::latin_hypercube, n, {}, {}},
                             {"Sobol", Method::sobol, n, {}, {}},
                             {"magic points", Method::magic, m, {}, {}},
                             {"Gauss 6 x 6", Method::gauss, 36, {}, {}}};
  double design_seconds = 0;
  for (auto& entry : entries)
    for (int64_t seed = 0; seed < (entry.method == Method::gauss ? 1 : seeds); ++seed) {
      const Timer timer;
      const bool conditioned = entry.method == Method::repeated_dpp ||
                               entry.method == Method::volume || entry.method == Method::iid;
      const auto made =
          design::design(*V, {.method = entry.method,
                              .points = entry.n,
                              .event = conditioned ? design::Event::one_sided : design::Event::none,
                              .seed = context.seed + static_cast<uint64_t>(seed)});
      if (entry.method == Method::repeated_dpp)
        design_seconds += timer.seconds() / static_cast<double>(seeds);
      const auto fit = design::fit_least_squares(*V, made.points, made.weights, f(made.points));
      const double off = (fit.coefficients - best.coefficients).norm().item<double>() / best.error;
      entry.ratio.push_back(std::sqrt(1 + off * off));
      if (fit.loo_error) entry.loo.push_back(*fit.loo_error / best.error / entry.ratio.back());
    }
  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  std::vector<std::pair<std::string, double>> measured;
  Series series{.name = "simulation",
                .columns = {{"method", {}}, {"n", {}}, {"error_over_best", {}}}};
  for (size_t k = 0; k < entries.size(); ++k) {
    measured.emplace_back(
        "error / best, " + entries[k].name + ", n = " + std::to_string(entries[k].n),
        median(entries[k].ratio));
    for (const double ratio : entries[k].ratio) {
      series.columns[0].second.push_back(static_cast<double>(k));
      series.columns[1].second.push_back(static_cast<double>(entries[k].n));
      series.columns[2].second.push_back(ratio);
    }
  }
  const double each = seconds / static_cast<double>(solves);
  const double loo = median(entries[0].loo);
  measured.emplace_back("leave-one-out / true error", loo);
  measured.emplace_back("seconds a simulation", each);
  measured.emplace_back("seconds a design", design_seconds);
  const double repeated = median(entries[0].ratio), iid = median(entries[2].ratio);
  result.claims.push_back(
      {.id = "R1-simulation",
       .claim = "Twice as many simulations as coefficients come close to the best polynomial, and "
                "leaving one out tells the error",
       .baseline = "mean of a diffusion equation's solution on " + std::to_string(grid) +
                   "^2 "
                   "volumes, two parameters, total degree 5 (m = 21); other designs at n = 42",
       .criterion = "error of repeated DPP <= 2 x the best and <= that of i.i.d., leave-one-out "
                    "within a factor 2 (median of 3 seeds)",
       .measured = measured,
       .holds = repeated <= 2 && repeated <= iid && loo >= 0.5 && loo <= 2});
  result.series.push_back(series);
}

}  // namespace ritz::studies::dpp_least_squares
