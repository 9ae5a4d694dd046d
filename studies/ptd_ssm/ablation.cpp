// C: conditioning and error of the transfer function over the size of the perturbation.
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/sequence/hippo.h"
#include "ritz/sequence/perturbation.h"
#include "studies/ptd_ssm/parts.h"

namespace ritz::studies::ptd_ssm {

void ablation(const StudyContext& context, StudyResult& result) {
  using sequence::Generator;
  const bool quick = context.scale == Scale::quick;
  const int64_t n = quick ? 16 : 32;
  const std::vector<double> sizes{.003, .01, .03, .1, .3, 1};
  struct Row {
    std::string name;
    Generator generator;
    std::vector<double> rho, kappa, error;
  };
  std::vector<Row> rows{{"optimised", Generator::optimised, {}, {}, {}},
                        {"ginibre", Generator::ginibre, {}, {}, {}},
                        {"path", Generator::path, {}, {}, {}}};
  for (size_t i = 0; i < sizes.size(); ++i)
    for (auto& row : rows) {
      context.progress("C: sizes of E", static_cast<int64_t>(i),
                       static_cast<int64_t>(sizes.size()));
      const auto made = sequence::perturb_hippo(n, {.generator = row.generator,
                                                    .rho = sizes[i],
                                                    .steps = quick ? 120 : 600,
                                                    .restarts = quick ? 1 : 4,
                                                    .seed = context.seed});
      row.rho.push_back(made.rho);
      row.kappa.push_back(made.kappa);
      row.error.push_back(made.max_real < 0 ? *made.sup_error : NAN);
    }
  // From 0.003 to 0.1: above, kappa comes to its least, 1, and can fall no further.
  const auto spread = [&](const Row& row) {
    double low = INFINITY, high = 0;
    for (size_t i = 0; i < 4; ++i) {
      low = std::min(low, row.kappa[i] * row.rho[i]);
      high = std::max(high, row.kappa[i] * row.rho[i]);
    }
    return high / low;
  };
  const double optimised = spread(rows[0]), ginibre = spread(rows[1]);
  Claim claim{
      .id = "C",
      .claim = "kappa goes as one over the size of the perturbation",
      .baseline = "random perturbations; the straight path to S4D",
      .criterion = "kappa rho roughly constant: within a factor of 3 for rho from 0.003 to 0.1",
      .measured = {{"optimised, most / least", optimised}, {"random, most / least", ginibre}},
      .holds = optimised <= 3,
      .scale = Scale::desk};
  for (size_t i = 0; i < sizes.size(); ++i)
    claim.measured.emplace_back("kappa rho at " + std::to_string(sizes[i]).substr(0, 5),
                                rows[0].kappa[i] * rows[0].rho[i]);
  result.claims.push_back(claim);

  Series series{.name = "C_sizes", .columns = {{"rho_asked", sizes}}};
  std::vector<io::Curve> conditions, errors;
  for (const auto& row : rows) {
    series.columns.emplace_back(row.name + "_rho", row.rho);
    series.columns.emplace_back(row.name + "_kappa", row.kappa);
    series.columns.emplace_back(row.name + "_sup_error", row.error);
    conditions.push_back(
        {.label = row.name, .x = row.rho, .y = row.kappa, .style = io::Style::line_points});
    errors.push_back(
        {.label = row.name, .x = row.rho, .y = row.error, .style = io::Style::line_points});
  }
  conditions.push_back({.label = "slope -1",
                        .x = {.003, 1},
                        .y = {rows[0].kappa[0], std::max(1.0, rows[0].kappa[0] * .003)},
                        .style = io::Style::guide});
  if (rows[0].kappa[0] * .003 < 1) conditions.back().x[1] = .003 * rows[0].kappa[0];
  result.series.push_back(series);
  result.figures.push_back({.name = "C_kappa",
                            .caption =
                                "The condition number of the eigenvectors over the size of the "
                                "perturbation: one over it, until it is 1.",
                            .figure = {.title = "Conditioning, n = " + std::to_string(n),
                                       .x = {.label = "||E|| / ||A||", .log = true},
                                       .y = {.label = "kappa(W)", .log = true},
                                       .curves = conditions}});
  result.figures.push_back({.name = "C_error",
                            .caption =
                                "The error of the transfer function. Random perturbations are left "
                                "out where they are unstable.",
                            .figure = {.title = "Error, n = " + std::to_string(n),
                                       .x = {.label = "||E|| / ||A||", .log = true},
                                       .y = {.label = "sup error", .log = true},
                                       .curves = errors}});
}

}  // namespace ritz::studies::ptd_ssm
