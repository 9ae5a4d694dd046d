// L6: robust regression; and what L6 and the real tables have in common.
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/timer.h"
#include "studies/generators/tall_rows.h"
#include "studies/lp_sensitivity/parts.h"

namespace ritz::studies::lp_sensitivity {

rows::Sample draw(const Rule& rule, double m, uint64_t seed) {
  return rows::draw_sample(rows::fixed_size_probabilities(rule.scores, m), rows::Sampler::bernoulli,
                           seed);
}

double spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t quarter = values.size() / 4;
  return 0.5 * (values[values.size() - 1 - quarter] - values[quarter]);
}

Excess measure_excess(const StudyContext& context, const std::string& what, const Tensor& A,
                      const Tensor& b, const std::vector<double>& sizes, double at, int64_t draws) {
  Excess excess;
  excess.sizes = sizes;
  context.progress(what + ": all rows", 0, 1);
  Timer timer;
  const auto full = rows::lp_regression(A, b, {.p = 1});
  excess.optimum_seconds = timer.seconds();
  excess.optimum = full.objective;
  excess.optimum_gap = full.gap;

  const auto basis = rows::row_basis(torch::cat({A, b.unsqueeze(1)}, 1));
  timer.restart();
  const auto leverage = rows::leverage_scores(basis);
  const std::vector<Rule> rules = {{"root leverage", leverage.sqrt()},
                                   {"leverage", leverage},
                                   {"uniform", torch::ones_like(leverage)},
                                   {"Lewis weights", rows::lewis_weights(basis, {.p = 1}).weights}};
  for (size_t r = 0; r < rules.size(); ++r) {
    excess.rules.push_back(rules[r].name);
    excess.medians.emplace_back();
    for (size_t s = 0; s < sizes.size(); ++s) {
      context.progress(what, static_cast<int64_t>(r * sizes.size() + s),
                       static_cast<int64_t>(rules.size() * sizes.size()));
      std::vector<double> found;
      for (int64_t k = 0; k < draws; ++k) {
        timer.restart();
        const auto kept = draw(rules[r], sizes[s], context.seed + static_cast<uint64_t>(k));
        const auto fit =
            rows::lp_regression(A.index_select(0, kept.indices), b.index_select(0, kept.indices),
                                {.p = 1}, kept.weights);
        excess.sample_seconds = timer.seconds();
        found.push_back(rows::lp_residual_norm(A, fit.solution, b, 1) / full.objective - 1);
      }
      excess.medians.back().push_back(median(found));
      if (sizes[s] == at) {
        excess.at_size.push_back(median(found));
        excess.spread_at_size.push_back(spread(found));
      }
    }
  }
  return excess;
}

void show_excess(const Excess& excess, const std::string& name, const std::string& caption,
                 StudyResult& result) {
  Series series{.name = name, .columns = {{"rows", excess.sizes}}};
  io::Figure figure{.title = "l_1 regression on a sample",
                    .x = {.label = "rows kept", .log = true},
                    .y = {.label = "objective / optimum - 1", .log = true}};
  for (size_t r = 0; r < excess.rules.size(); ++r) {
    auto column = excess.rules[r];
    std::replace(column.begin(), column.end(), ' ', '_');
    series.columns.emplace_back(column, excess.medians[r]);
    figure.curves.push_back({.label = excess.rules[r],
                             .x = excess.sizes,
                             .y = excess.medians[r],
                             .style = io::Style::line_points});
  }
  result.series.push_back(series);
  result.figures.push_back({.name = name, .caption = caption, .figure = figure});
}

void robust_fit(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const auto data = robust_regression(
      {.rows = quick ? 20000 : 200000, .dim = quick ? 10 : 20, .seed = context.seed});
  std::vector<double> sizes{250, 500, 1000, 2000, 4000, 8000};
  if (quick) sizes = {250, 500, 1000};
  const auto excess =
      measure_excess(context, "robust regression", data.A, data.b, sizes, 1000, quick ? 4 : 8);
  const double root = excess.at_size[0], leverage = excess.at_size[1], uniform = excess.at_size[2];
  const double lewis = excess.at_size[3];
  result.claims.push_back(
      {.id = "L6",
       .claim =
           "Robust regression on 1000 of 200 000 rows sampled by root leverage is nearly as good "
           "as on all",
       .baseline =
           "uniform, leverage and Lewis sampling; the full solve (interior point, certified)",
       .criterion =
           "median excess of 8 draws: root leverage <= 0.4 x min(uniform, leverage), <= 0.5 %, "
           "<= 1.5 x Lewis",
       .measured = {{"root leverage", root},
                    {"root leverage, half quartile distance", excess.spread_at_size[0]},
                    {"leverage", leverage},
                    {"leverage, half quartile distance", excess.spread_at_size[1]},
                    {"uniform", uniform},
                    {"uniform, half quartile distance", excess.spread_at_size[2]},
                    {"Lewis weights", lewis},
                    {"duality gap of the full solve", excess.optimum_gap},
                    {"rows", static_cast<double>(data.A.size(0))}},
       .holds = root <= 0.4 * std::min(uniform, leverage) && root <= 0.005 && root <= 1.5 * lewis});
  show_excess(
      excess, "excess",
      "Excess of the full objective when the fit is made on the sample; the lower, the fewer "
      "rows are needed.",
      result);
}

}  // namespace ritz::studies::lp_sensitivity
