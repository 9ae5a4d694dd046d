#include "apps/ritz/commands/spectrum_scaling.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/ritz/commands/learning_task.h"
#include "apps/ritz/frame/run.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/optim/batch_scaling.h"

namespace ritz::app {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<int64_t> default_sizes(int64_t N) {
  std::vector<int64_t> sizes;
  for (int64_t B = 1; B <= std::clamp<int64_t>(N / 4, 1, 1024); B *= 2) sizes.push_back(B);
  return sizes;
}

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}
std::string or_dash(const std::optional<double>& value) {
  return value ? short_text(*value) : "-";
}

/// What --out and --plot need, column by column.
struct Columns {
  std::vector<std::pair<std::string, std::vector<double>>> all;
  std::vector<double>& operator[](const std::string& name) {
    for (auto& [known, values] : all)
      if (known == name) return values;
    all.emplace_back(name, std::vector<double>());
    return all.back().second;
  }
};

void draw(const std::string& path, Columns& columns, const optim::NoiseModel& model, bool force) {
  const auto magnitude = [](std::vector<double> values) {
    for (double& value : values) value = -value;
    return values;
  };
  const auto& B = columns["B"];
  using io::Style;
  io::Figure figure{
      .title = "Extreme curvature of a batch",
      .x = {.label = "batch size B", .log = true},
      .y = {.label = "|eigenvalue|", .log = true},
      .curves = {
          {.label = "largest",
           .x = B,
           .y = columns["lambda_1"],
           .error = columns["lambda_1_se"],
           .style = Style::error_bars,
           .colour = 0},
          {.label = "largest, theory", .x = B, .y = columns["predicted_lambda_1"], .colour = 0},
          {.label = "smallest, negated",
           .x = B,
           .y = magnitude(columns["lambda_P"]),
           .error = columns["lambda_P_se"],
           .style = Style::error_bars,
           .colour = 1},
          {.label = "smallest, theory",
           .x = B,
           .y = magnitude(columns["predicted_lambda_P"]),
           .colour = 1}}};
  for (auto& curve : figure.curves)
    for (double& error : curve.error)
      if (std::isnan(error)) error = 0;
  const double critical = model.critical_batch();
  if (std::isfinite(critical) && critical > 0)
    figure.marks.push_back({.at = critical, .label = "b_crit"});
  io::write_figure(path, figure, force);
}

}  // namespace

void SpectrumScaling::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const dist::Ranks ranks = dist::discover_ranks();
  if (ranks.rank != 0) run.be_silent();
  const LearningTask learning = load_learning_task(task, run, ranks.local_rank);
  const nn::Objective objective{learning.network, learning.loss, learning.data.inputs,
                                learning.data.targets};
  const int64_t N = objective.inputs.size(0);
  const auto sizes = batch_sizes.empty() ? default_sizes(N) : batch_sizes;
  if (at_batch)
    optim::effective_batch(*at_batch, N, replacement);  // throws before the work is done

  dist::ProcessGroup group(ranks);
  Progress progress(run.shows_progress());
  optim::ScalingOptions options;
  options.batch_sizes = sizes;
  options.fit_at = fit_at;
  if (theory) options.theory = optim::parse_theory(*theory);
  options.estimator = optim::parse_estimator(noise);
  options.kind = kind == "ggn"      ? optim::CurvatureKind::ggn
                 : kind == "fisher" ? optim::CurvatureKind::fisher
                                    : optim::CurvatureKind::hessian;
  options.full = {.tolerance = tolerance, .max_steps = max_steps, .seed = run.common.seed};
  options.spectra.batches = batches;
  options.spectra.steps = steps;
  options.spectra.replacement = replacement;
  options.spectra.seed = run.common.seed;
  options.spectra.progress = [&](int64_t done, int64_t total) {
    progress.update("batches", done, total);
    if (interrupted()) throw Interrupted("stopped after batch " + std::to_string(done));
  };
  options.noise = {.samples = noise_samples, .seed = run.common.seed};
  options.curvature.micro_batch = options.noise.curvature.micro_batch = micro_batch;

  const auto result = optim::measure_scaling(objective, options, &group);
  const auto gradient = optim::gradient_noise(objective, options.noise);
  progress.clear();
  const auto& model = result.model;
  const auto rules = optim::batch_rules(model, sizes,
                                        {.samples = N,
                                         .replacement = replacement,
                                         .momentum = momentum,
                                         .lr = learning_rate,
                                         .at_batch = at_batch.value_or(0)});
  if (ranks.rank != 0) return;

  Json& json = run.json();
  json["operator"] = kind;
  json["theory"] = optim::theory_name(model.theory);
  json["noise"] = noise;
  run.value("parameters", model.parameters);
  run.value("samples", N);
  run.value("lambda_1", model.lambda_1, "of all samples");
  run.value("lambda_P", model.lambda_P);
  if (model.positive_curvature()) {
    run.value("c", model.c, "a batch sees lambda_1 + c / b");
    run.value("b_crit", model.critical_batch(), "above it larger batches gain less and less");
  } else {
    json["c"] = json["b_crit"] = nullptr;
    run.warn("no_positive_curvature",
             "the largest eigenvalue of all samples is not positive: no largest learning rate "
             "follows from it");
  }
  json["r2"] = or_null(model.r2);
  json["fit_at"] = result.fit_at;
  json["noise_scale"] = or_null(gradient.scale);
  if (gradient.scale) run.text() << "gradient noise scale " << short_text(*gradient.scale) << '\n';

  Columns columns;
  Json batch = Json::array(), fit_only = Json::array();
  for (const auto& size : result.batches) {
    const auto rule = std::find_if(rules.begin(), rules.end(),
                                   [&](const auto& r) { return r.batch == size.batch; });
    // A size measured for the fit alone has no row of advice.
    const bool advised = rule != rules.end();
    const double top = model.top(size.b).value, bottom = model.bottom(size.b).value;
    (advised ? batch : fit_only)
        .push_back({{"B", size.batch},
                    {"b", size.b},
                    {"batches", size.largest.size()},
                    {"lambda_1", size.lambda_1},
                    {"lambda_1_se", size.lambda_1_se},
                    {"lambda_P", size.lambda_P},
                    {"lambda_P_se", size.lambda_P_se},
                    {"predicted_lambda_1", top},
                    {"predicted_lambda_P", bottom}});
    columns["B"].push_back(static_cast<double>(size.batch));
    columns["b"].push_back(size.b);
    columns["lambda_1"].push_back(size.lambda_1);
    columns["lambda_1_se"].push_back(size.lambda_1_se);
    columns["lambda_P"].push_back(size.lambda_P);
    columns["lambda_P_se"].push_back(size.lambda_P_se);
    columns["predicted_lambda_1"].push_back(top);
    columns["predicted_lambda_P"].push_back(bottom);
    columns["lr_sgd"].push_back(advised ? rule->lr_sgd.value_or(kNaN) : kNaN);
    columns["lr_adam"].push_back(advised ? rule->lr_adam.value_or(kNaN) : kNaN);
    columns["damping_min"].push_back(advised ? rule->damping_min.value_or(kNaN) : kNaN);
  }
  json["batch"] = std::move(batch);
  json["fit_batches"] = std::move(fit_only);  // sizes of fit_at that --batch-sizes does not name

  Json advice = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const auto& rule : rules) {
    advice.push_back({{"B", rule.batch},
                      {"b", rule.b},
                      {"lr_sgd", or_null(rule.lr_sgd)},
                      {"lr_adam", or_null(rule.lr_adam)},
                      {"lr_linear", or_null(rule.lr_linear)},
                      {"damping_min", or_null(rule.damping_min)},
                      {"damping_law", or_null(rule.damping_law)}});
    const auto size = std::find_if(result.batches.begin(), result.batches.end(),
                                   [&](const auto& s) { return s.batch == rule.batch; });
    rows.push_back({std::to_string(rule.batch), short_text(size->lambda_1),
                    short_text(model.top(rule.b).value), short_text(size->lambda_P),
                    or_dash(rule.lr_sgd), or_dash(rule.lr_adam), or_dash(rule.lr_linear),
                    or_dash(rule.damping_min)});
  }
  json["rules"] = std::move(advice);
  run.text() << (learning_rate ? "Learning rates from " + short_text(*learning_rate) +
                                     " at batch size " + std::to_string(*at_batch)
                               : std::string("Largest stable learning rates"))
             << ":\n";
  run.table({"B", "lambda_1'", "predicted", "lambda_P'", "lr sgd", "lr adam", "(linear rule)",
             "least damping"},
            rows);
  const auto swallowed = [&](const optim::BatchRule& rule) {
    return rule.b < model.threshold_batch();
  };
  if (learning_rate && std::any_of(rules.begin(), rules.end(), swallowed))
    run.text() << "Below b_crit take the linear rule: measured largest rates fall with B there.\n";
  if (!learning_rate)
    run.text()
        << "Adam's rate grows with sqrt(B): give --learning-rate and --at-batch for numbers.\n";

  for (const int64_t B : result.fit_at)
    if (optim::effective_batch(B, N, replacement) < model.threshold_batch()) {
      run.warn("fit_below_threshold", "batches of " + std::to_string(B) +
                                          " lie below b_crit, where the spike is swallowed "
                                          "and c / b does not hold: take larger --fit-at");
      break;
    }
  if (!run.common.out.empty()) {
    std::vector<io::Array> arrays;
    for (const auto& [name, values] : columns.all)
      arrays.push_back(io::to_array(name, torch::tensor(values, torch::kFloat64)));
    io::write_arrays(run.common.out, arrays, {.force = run.common.force});
  }
  if (!plot.empty()) draw(plot, columns, model, run.common.force);
  if (!result.full.all_converged)
    run.not_converged("extremes of all samples: residuals above --tolerance after " +
                      std::to_string(result.full.products) + " products (--max-steps)");
}

}  // namespace ritz::app
