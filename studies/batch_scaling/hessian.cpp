// (b) Extreme eigenvalues of batch Hessians of a trained network.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ritz/krylov/density.h"
#include "ritz/nn/data.h"
#include "ritz/nn/models.h"
#include "ritz/optim/first_order.h"
#include "studies/batch_scaling/fleet.h"
#include "studies/batch_scaling/parts.h"

namespace ritz::studies::batch_scaling {
namespace {

/// tanh MLP 196-32-10 on the first images, SGD lr 0.05 momentum 0.9 batch 64, 3 epochs.
nn::Objective trained_network(const StudyContext& context, int64_t limit) {
  const auto images = fashion_mnist(limit, 2);
  auto network =
      nn::make_network("mlp:196-32-10:tanh", {.input_shape = {196}, .seed = context.seed});
  const nn::Loss loss;
  optim::Sgd sgd(network.parameter_values(), {.lr = 0.05, .momentum = 0.9});
  dist::ProcessGroup alone;
  optim::train({network, loss, {images.inputs, images.targets}, sgd, alone},
               {.batch = 64, .steps = 3 * (limit / 64), .lr = 0.05, .seed = context.seed});
  return {network, loss, images.inputs, images.targets};
}

struct Measured {
  ExtremePairs full;
  std::vector<optim::BatchExtremes> batches;
};

Measured measure(const StudyContext& context, const nn::Objective& objective) {
  const bool quick = context.scale == Scale::quick;
  const optim::BatchOperator curvature = [&](const Tensor& rows) {
    return nn::hessian(nn::subset(objective, rows));
  };
  Measured measured{optim::full_extremes(*nn::hessian(objective), {.seed = context.seed}), {}};
  for (int64_t B = 1; B <= 1024; B *= 2) {
    const int64_t R = B <= 128 ? (quick ? 16 : 64) : std::clamp<int64_t>(1024 / B, 4, 24);
    const auto told = [&](int64_t done, int64_t total) {
      context.progress("batch Hessians, B = " + std::to_string(B), done, total);
    };
    measured.batches.push_back(
        optim::batch_spectra(
            curvature, objective.inputs.size(0),
            {.batch_sizes = {B}, .batches = R, .steps = 15, .seed = context.seed, .progress = told})
            .front());
  }
  return measured;
}

io::Figure extremes_figure(const Measured& measured, const optim::NoiseModel& model) {
  std::vector<double> B, top, top_se, bottom, bottom_se, grid, predicted_top, predicted_bottom;
  for (const auto& size : measured.batches) {
    B.push_back(static_cast<double>(size.batch));
    top.push_back(size.lambda_1);
    top_se.push_back(size.lambda_1_se);
    bottom.push_back(-size.lambda_P);
    bottom_se.push_back(size.lambda_P_se);
  }
  for (double b = 1; b <= 1024.5; b *= std::pow(2, 0.125)) {
    grid.push_back(b);
    predicted_top.push_back(model.top(b).value);
    predicted_bottom.push_back(-model.bottom(b).value);
  }
  using io::Style;
  return {.title = "Extreme eigenvalues of the batch Hessian",
          .x = {.label = "batch size B", .log = true},
          .y = {.label = "|eigenvalue|", .log = true},
          .curves = {{.label = "lambda_1'",
                      .x = B,
                      .y = top,
                      .error = top_se,
                      .style = Style::error_bars,
                      .colour = 0},
                     {.label = "Theorem H, fitted at 32 and 64",
                      .x = grid,
                      .y = predicted_top,
                      .style = Style::line,
                      .colour = 0},
                     {.label = "-lambda_P'",
                      .x = B,
                      .y = bottom,
                      .error = bottom_se,
                      .style = Style::error_bars,
                      .colour = 1},
                     {.label = "Theorem H, the same constant",
                      .x = grid,
                      .y = predicted_bottom,
                      .style = Style::line,
                      .colour = 1}},
          .marks = {{.at = model.critical_batch(), .vertical = true, .label = "b_crit"}}};
}

io::Figure density_figure(const nn::Objective& objective, const StudyContext& context) {
  const bool quick = context.scale == Scale::quick;
  const auto density = [&](const nn::Objective& part) {
    auto curve = spectral_density(spectral_quadrature(*nn::hessian(part), {.steps = quick ? 30 : 80,
                                                                           .probes = quick ? 1 : 3,
                                                                           .seed = context.seed}),
                                  {.kappa = 1.1});
    for (double& value : curve.density) value = std::max(value, 1e-7);  // the picture's floor
    return curve;
  };
  const auto full = density(objective);
  const auto batch = density(nn::subset(
      objective, optim::batch_rows(16, 0, objective.inputs.size(0), false, context.seed)));
  return {.title = "Density of eigenvalues",
          .x = {.label = "eigenvalue"},
          .y = {.label = "density", .log = true, .min = 1e-6},
          .curves = {{.label = "all samples", .x = full.t, .y = full.density},
                     {.label = "a batch of 16", .x = batch.t, .y = batch.density}}};
}

}  // namespace

TrainedNetwork batch_hessians(const StudyContext& context, StudyResult& result) {
  const int64_t N = 4000;
  TrainedNetwork trained{.objective = trained_network(context, N)};
  const auto measured = measure(context, trained.objective);
  const double lambda_1 = measured.full.largest.values[0].item<double>();
  const double lambda_P = measured.full.smallest.values[0].item<double>();
  const int64_t P = trained.objective.network.parameter_count();

  // One constant from B = 32 and 64 for everything below.
  std::vector<optim::ExcessPoint> points;
  for (const auto& size : measured.batches)
    if (size.batch == 32 || size.batch == 64) points.push_back({size.b, size.lambda_1 - lambda_1});
  const auto theory = optim::Theory::wigner;
  trained.model = optim::model_from_fit(theory, lambda_1, lambda_P, P, optim::fit_excess(points));
  trained.batches = measured.batches;
  const optim::NoiseOptions sampling{.samples = context.scale == Scale::quick ? 256 : 2048,
                                     .seed = context.seed};
  const auto directional = optim::model_from_directional(
      theory, lambda_1, lambda_P, P,
      optim::directional_noise(trained.objective, measured.full.largest.vectors[0], sampling));
  const auto frobenius = optim::model_from_frobenius(
      theory, lambda_1, lambda_P, P, optim::frobenius_noise(trained.objective, sampling));
  const auto gradient = optim::gradient_noise(trained.objective, sampling);
  trained.noise_scale = gradient.scale.value_or(std::nan(""));

  Series series{.name = "batch_hessian",
                .columns = {{"B", {}},
                            {"b", {}},
                            {"batches", {}},
                            {"lambda_1", {}},
                            {"lambda_1_se", {}},
                            {"predicted_lambda_1", {}},
                            {"directional_lambda_1", {}},
                            {"frobenius_lambda_1", {}},
                            {"lambda_P", {}},
                            {"lambda_P_se", {}},
                            {"predicted_lambda_P", {}},
                            {"excess_times_b", {}}}};
  for (const auto& size : measured.batches) {
    const double row[] = {static_cast<double>(size.batch),
                          size.b,
                          static_cast<double>(size.largest.size()),
                          size.lambda_1,
                          size.lambda_1_se,
                          trained.model.top(size.b).value,
                          directional.top(size.b).value,
                          frobenius.top(size.b).value,
                          size.lambda_P,
                          size.lambda_P_se,
                          trained.model.bottom(size.b).value,
                          (size.lambda_1 - lambda_1) * size.b};
    for (size_t c = 0; c < std::size(row); ++c) series.columns[c].second.push_back(row[c]);
  }

  // Differences in units of their standard error; what counts is the worst.
  double worst_rise = -1e9, least_top = 1e9, least_bottom = 1e9;
  std::vector<double> slope_b, slope_excess, product;
  for (size_t i = 0; i < measured.batches.size(); ++i) {
    const auto& size = measured.batches[i];
    if (size.batch > 128) continue;
    if (size.batch < 128) {
      const auto& next = measured.batches[i + 1];
      worst_rise = std::max(worst_rise, (next.lambda_1 - size.lambda_1) /
                                            std::hypot(next.lambda_1_se, size.lambda_1_se));
    }
    least_top = std::min(least_top, (size.lambda_1 - lambda_1) / size.lambda_1_se);
    least_bottom = std::min(least_bottom, (lambda_P - size.lambda_P) / size.lambda_P_se);
    if (size.batch >= 8) {
      slope_b.push_back(size.b);
      slope_excess.push_back(size.lambda_1 - lambda_1);
      product.push_back((size.lambda_1 - lambda_1) * size.b);
    }
  }
  const std::string baseline = "full-data extremes by Lanczos to a residual of 1e-3";
  const double residual_1 = measured.full.largest.residual_bounds[0] / std::abs(lambda_1);
  const double residual_P = measured.full.smallest.residual_bounds[0] / std::abs(lambda_P);
  result.claims.push_back(
      {.id = "B-monotone",
       .claim = "The top eigenvalue of the batch Hessian falls as the batch grows",
       .baseline = baseline,
       .criterion = "mean lambda_1'(B) decreasing over B = 1, 2, 4, ..., 128 to within 2 standard "
                    "errors, 64 batches each",
       .measured = {{"worst rise in standard errors", worst_rise},
                    {"lambda_1'(1)", measured.batches[0].lambda_1},
                    {"lambda_1'(128)", measured.batches[7].lambda_1}},
       .holds = worst_rise <= 2});
  result.claims.push_back(
      {.id = "B-outside",
       .claim = "Batches see more extreme curvature than the full data, at both ends",
       .baseline = baseline,
       .criterion = "lambda_1'(B) > lambda_1 and lambda_P'(B) < lambda_P for every B <= 128, to "
                    "within 2 standard errors",
       .measured = {{"lambda_1", lambda_1},
                    {"lambda_P", lambda_P},
                    {"relative residual of lambda_1", residual_1},
                    {"relative residual of lambda_P", residual_P},
                    {"least distance above, standard errors", least_top},
                    {"least distance below, standard errors", least_bottom}},
       .holds = least_top >= -2 && least_bottom >= -2});
  const double slope = log_slope(slope_b, slope_excess);
  const auto [least, most] = std::minmax_element(product.begin(), product.end());
  result.claims.push_back(
      {.id = "B-slope",
       .claim = "In the spike regime the excess is proportional to 1 / b",
       .baseline = "a power law fitted to the excess",
       .criterion =
           "excess b constant over B = 8 ... 128: log-log slope of the excess in [-1.3, -0.7]",
       .measured = {{"slope", slope},
                    {"least excess b", *least},
                    {"largest excess b", *most},
                    {"their ratio", *most / *least}},
       .holds = slope >= -1.3 && slope <= -0.7});

  const auto at = [&](int64_t B) -> const optim::BatchExtremes& {
    return *std::find_if(measured.batches.begin(), measured.batches.end(),
                         [&](const auto& size) { return size.batch == B; });
  };
  const auto& spike = at(128);
  const double spike_predicted = lambda_1 + trained.model.c / spike.b;
  const double spike_error = spike_predicted / spike.lambda_1 - 1;
  result.claims.push_back(
      {.id = "B-fit-spike",
       .claim = "One constant fitted at two batch sizes predicts the spike regime",
       .baseline = "directional and Frobenius estimates of the noise",
       .criterion = "c fitted on B = 32 and 64 predicts lambda_1'(128) within 20 %",
       .measured = {{"error", spike_error},
                    {"error of no theory (lambda_1 itself)", lambda_1 / spike.lambda_1 - 1},
                    {"error, directional", directional.top(spike.b).value / spike.lambda_1 - 1},
                    {"error, frobenius", frobenius.top(spike.b).value / spike.lambda_1 - 1},
                    {"c", trained.model.c},
                    {"b_crit", trained.model.critical_batch()}},
       .holds = std::abs(spike_error) <= 0.2});
  std::vector<std::pair<std::string, double>> bulk;
  double worst_bulk = 0, directional_bulk = 0, frobenius_bulk = 0;
  for (const int64_t B : {1, 4, 16}) {
    const auto& size = at(B);
    const double edge = 2 * std::sqrt(trained.model.variance() / size.b);
    bulk.emplace_back("error at B = " + std::to_string(B), edge / size.lambda_1 - 1);
    worst_bulk = std::max(worst_bulk, std::abs(bulk.back().second));
    directional_bulk =
        std::max(directional_bulk, std::abs(directional.top(size.b).value / size.lambda_1 - 1));
    frobenius_bulk =
        std::max(frobenius_bulk, std::abs(frobenius.top(size.b).value / size.lambda_1 - 1));
  }
  bulk.emplace_back("worst error, directional", directional_bulk);
  bulk.emplace_back("worst error, frobenius", frobenius_bulk);
  result.claims.push_back(
      {.id = "B-fit-bulk",
       .claim = "The same constant predicts the square-root regime",
       .baseline = "directional and Frobenius estimates of the noise",
       .criterion = "2 s, s^2 = c lambda_1 / b, within 35 % of lambda_1'(B) at B = 1, 4 and 16",
       .measured = bulk,
       .holds = worst_bulk <= 0.35});

  result.series.push_back(series);
  result.figures.push_back(
      {.name = "extremes",
       .caption =
           "Both ends of the batch Hessian's spectrum over the batch size, mean and standard "
           "error over batches, with Theorem H from one constant.",
       .figure = extremes_figure(measured, trained.model)});
  result.figures.push_back(
      {.name = "density",
       .caption = "A batch broadens the spectrum on both sides: its outliers lie beyond those of "
                  "the full data.",
       .figure = density_figure(trained.objective, context)});
  return trained;
}

}  // namespace ritz::studies::batch_scaling
