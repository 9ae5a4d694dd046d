// (c) and (d): largest learning rates, near a trained network and from initialisation.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ritz/base/random.h"
#include "ritz/nn/models.h"
#include "studies/batch_scaling/fleet.h"
#include "studies/batch_scaling/parts.h"

namespace ritz::studies::batch_scaling {
namespace {

Tensor tensor_of(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

/// One largest learning rate: its grid, refined outwards until it is bracketed.
struct Search {
  double ratio = 2;
  double low = 0, high = 0;
};
/// `succeeds` trains a fleet with these learning rates and says which copies did well.
template <class Succeeds>
double largest_rate(Search search, const Succeeds& succeeds) {
  for (int widening = 0; widening < 4; ++widening) {
    const auto lrs = geometric_grid(search.low, search.high, search.ratio);
    const Tensor success = succeeds(lrs);
    const double best = largest_success(lrs, success);
    if (std::isfinite(best) && best < lrs.back()) return best;
    const double shift = search.high / search.low;
    const double by = std::isfinite(best) ? std::sqrt(shift) : 1 / shift;
    search.low *= by;
    search.high *= by;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// seeds -> geometric mean, and the spread of each point for the series.
struct Rates {
  std::vector<double> batches, mean, low, high;
  void add(int64_t B, const std::vector<double>& by_seed) {
    batches.push_back(static_cast<double>(B));
    mean.push_back(geometric_mean(by_seed));
    low.push_back(*std::min_element(by_seed.begin(), by_seed.end()));
    high.push_back(*std::max_element(by_seed.begin(), by_seed.end()));
  }
  double slope(double from, double to) const {
    return log_slope(within(batches, batches, from, to), within(batches, mean, from, to));
  }
  double slope_of(const std::vector<double>& rates, double from, double to) const {
    return log_slope(within(batches, batches, from, to), within(batches, rates, from, to));
  }
};

/// y = y0 (x / x0)^power from x0 to x1, a guide for the eye.
io::Curve guide(double x0, double x1, double y0, double power, const std::string& label) {
  return {.label = label,
          .x = {x0, x1},
          .y = {y0, y0 * std::pow(x1 / x0, power)},
          .style = io::Style::guide};
}

/// The largest factor by which a rule misses the measured rates.
double worst_factor(const std::vector<double>& rule, const std::vector<double>& measured) {
  double worst = 1;
  for (size_t i = 0; i < rule.size(); ++i)
    worst = std::max({worst, rule[i] / measured[i], measured[i] / rule[i]});
  return worst;
}

}  // namespace

void local_rates(const StudyContext& context, const TrainedNetwork& trained, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const int64_t seeds = quick ? 1 : 3, steps = 100, N = trained.objective.inputs.size(0);
  const Tensor &X = trained.objective.inputs, &y = trained.objective.targets;
  const double start = nn::mean_loss(trained.objective);
  Rates rates;
  std::vector<std::vector<double>> by_seed(seeds);
  for (const auto& size : trained.batches) {
    const int64_t B = size.batch;
    if (B > 256 || (quick && (B == 2 || B == 8 || B == 32 || B == 128))) continue;
    const double centre = 2 / size.lambda_1;
    for (int64_t seed = 0; seed < seeds; ++seed) {
      context.progress("largest rates near the trained network", B, 256);
      by_seed[seed].push_back(largest_rate(
          {.ratio = std::pow(2, 0.25), .low = centre / 4, .high = centre * 16},
          [&](const std::vector<double>& lrs) {
            Fleet fleet(trained.objective.network, static_cast<int64_t>(lrs.size()),
                        Fleet::Activation::tanh);
            RandomStream random(context.seed, stream_id("study/local/" + std::to_string(B), seed));
            const Tensor lr = tensor_of(lrs);
            for (int64_t step = 0; step < steps; ++step) {
              const Tensor rows = random.sample(N, B);
              fleet.sgd_step(X.index_select(0, rows), y.index_select(0, rows), lr);
            }
            return fleet.losses(X, y).le(1.5 * start);
          }));
    }
    std::vector<double> now;
    for (const auto& one : by_seed) now.push_back(one.back());
    rates.add(B, now);
  }

  // What becomes of the curvature at the largest rate: the bound 2 / lambda_1 is the start's.
  const double lambda_after = [&] {
    const auto network = trained.objective.network;
    const Tensor before = network.flat_parameters();
    Fleet fleet(network, 1, Fleet::Activation::tanh);
    RandomStream random(context.seed, stream_id("study/local/256", 0));
    for (int64_t step = 0; step < steps; ++step) {
      const Tensor rows = random.sample(N, 256);
      fleet.sgd_step(X.index_select(0, rows), y.index_select(0, rows),
                     tensor_of({by_seed[0].back()}));
    }
    network.set_flat_parameters(fleet.flat_parameters(0));
    const auto ends = optim::full_extremes(*nn::hessian(trained.objective), {.seed = context.seed});
    network.set_flat_parameters(before);
    return ends.largest.values[0].item<double>();
  }();
  const double slope_small = rates.slope(1, 16), slope_large = rates.slope(16, 256);
  double least = slope_small, most = slope_small;
  for (const auto& one : by_seed) {
    const double slope = rates.slope_of(one, 1, 16);
    least = std::min(least, slope);
    most = std::max(most, slope);
  }
  // The rules, each from the rate measured at B = 16.
  const auto& batches = rates.batches;
  const size_t tuned = std::find(batches.begin(), batches.end(), 16) - batches.begin();
  const double lr0 = rates.mean[tuned], b0 = optim::effective_batch(16, N);
  std::vector<double> stability, spike, spike_rule, spectral, linear, root, noise, full;
  for (const double B : batches) {
    const double b = optim::effective_batch(static_cast<int64_t>(B), N);
    stability.push_back(optim::max_learning_rate(trained.model, b).value_or(std::nan("")));
    spike.push_back(2 / (trained.model.lambda_1 + trained.model.c / b));
    spike_rule.push_back(lr0 * (trained.model.lambda_1 + trained.model.c / b0) /
                         (trained.model.lambda_1 + trained.model.c / b));
    spectral.push_back(optim::spectral_rule(trained.model, {lr0, b0}, b).value_or(std::nan("")));
    linear.push_back(optim::linear_rule(lr0, 16, B));
    root.push_back(optim::sqrt_rule(lr0, 16, B));
    const double lr_max = lr0 * (1 + trained.noise_scale / 16);
    noise.push_back(optim::noise_scale_rule(lr_max, trained.noise_scale, B));
    full.push_back(2 / trained.model.lambda_1);
  }
  result.claims.push_back(
      {.id = "C-linear",
       .claim = "The largest stable learning rate of SGD grows linearly with small batches",
       .baseline = "plain SGD, 100 steps from the trained network, grid of ratio 2^0.25, success: "
                   "full loss <= 1.5 times the start",
       .criterion = "slope of log max lr on log B over B = 1 ... 16 in [0.8, 1.1]",
       .measured = {{"slope", slope_small},
                    {"least slope of a seed", least},
                    {"largest slope of a seed", most},
                    {"slope of 2 / lambda_1'(B) from the fit", rates.slope_of(stability, 1, 16)},
                    {"slope of 2 / (lambda_1 + c / b)", rates.slope_of(spike, 1, 16)},
                    {"seeds", static_cast<double>(seeds)}},
       .holds = slope_small >= 0.8 && slope_small <= 1.1,
       .note =
           "Linear, though below b_crit the theorem itself has the largest eigenvalue of a batch "
           "fall as 1 / sqrt(B) only: noise that differs from step to step averages out, and the "
           "rate follows 2 / (lambda_1 + c / b), the spike's branch, below b_crit too."});
  result.claims.push_back(
      {.id = "C-saturates",
       .claim = "Beyond a critical batch size a larger learning rate is no longer possible",
       .baseline = "linear, square-root, spectral and gradient-noise-scale rules from the rate at "
                   "B = 16; 2 / lambda_1 of the full Hessian",
       .criterion = "slope over B = 16 ... 256 below 0.8",
       .measured = {{"slope", slope_large},
                    {"b_crit", trained.model.critical_batch()},
                    {"gradient noise scale", trained.noise_scale},
                    {"worst factor, spectral rule", worst_factor(spectral, rates.mean)},
                    {"worst factor, spike-branch rule", worst_factor(spike_rule, rates.mean)},
                    {"worst factor, linear rule", worst_factor(linear, rates.mean)},
                    {"worst factor, square-root rule", worst_factor(root, rates.mean)},
                    {"worst factor, noise-scale rule", worst_factor(noise, rates.mean)},
                    {"worst factor, 2 / lambda_1 of all data", worst_factor(full, rates.mean)},
                    {"max lr (256) lambda_1 / 2", rates.mean.back() / full.back()},
                    {"lambda_1 at the start", trained.model.lambda_1},
                    {"lambda_1 after 100 steps at max lr (256)", lambda_after}},
       .holds = slope_large < 0.8,
       .note = "The criterion says where the growth slows, not what bounds it. Rates above 2 / "
               "lambda_1 of the start succeed because the steps themselves lead to flatter places: "
               "compare lambda_1 before and after."});
  result.series.push_back({.name = "local_rates",
                           .columns = {{"B", batches},
                                       {"max_lr", rates.mean},
                                       {"least", rates.low},
                                       {"largest", rates.high},
                                       {"stability_2_over_lambda", stability},
                                       {"spike_branch", spike},
                                       {"spectral_rule", spectral},
                                       {"linear_rule", linear},
                                       {"sqrt_rule", root},
                                       {"noise_scale_rule", noise},
                                       {"full_hessian", full}}});
  result.figures.push_back(
      {.name = "local_rates",
       .caption =
           "Largest learning rate of SGD near the trained network, with the rules that start "
           "from its value at B = 16 and the bound 2 / lambda_1'(B).",
       .figure = {
           .title = "Largest stable learning rate of SGD",
           .x = {.label = "batch size B", .log = true},
           .y = {.label = "learning rate", .log = true},
           .curves = {{.label = "measured",
                       .x = batches,
                       .y = rates.mean,
                       .style = io::Style::line_points},
                      {.label = "2 / lambda_1'(B), fitted", .x = batches, .y = stability},
                      {.label = "spectral rule", .x = batches, .y = spectral},
                      {.label = "noise-scale rule", .x = batches, .y = noise},
                      guide(batches.front(), batches.back(), linear.front(), 1, "slope 1"),
                      guide(batches.front(), batches.back(), root.front(), 0.5, "slope 1/2")},
           .marks = {{.at = trained.model.critical_batch(), .label = "b_crit"}},
           .legend_left = true}});
}

void initial_rates(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const int64_t seeds = quick ? 1 : 3, steps = 200, N = 4000;
  const auto images = fashion_mnist(N, 4);
  const auto& X = images.inputs;
  const auto& y = images.targets;
  const auto measure = [&](bool adam, int64_t B, int64_t seed) {
    const auto network =
        nn::make_network("mlp:49-32-10:tanh",
                         {.input_shape = {49}, .seed = context.seed + static_cast<uint64_t>(seed)});
    return largest_rate(
        {.ratio = std::sqrt(2), .low = adam ? 1.0 / 1024 : 1.0 / 64, .high = adam ? 4.0 : 64.0},
        [&](const std::vector<double>& lrs) {
          Fleet fleet(network, static_cast<int64_t>(lrs.size()), Fleet::Activation::tanh);
          RandomStream random(context.seed, stream_id("study/initial/" + std::to_string(B), seed));
          const Tensor lr = tensor_of(lrs), initial = fleet.losses(X, y);
          Tensor last = torch::zeros_like(initial);
          for (int64_t step = 0; step < steps; ++step) {
            const Tensor rows = random.sample(N, B);
            const Tensor batch = X.index_select(0, rows), labels = y.index_select(0, rows);
            adam ? fleet.adam_step(batch, labels, lr) : fleet.sgd_step(batch, labels, lr);
            if (step >= steps - 10) last += fleet.losses(X, y) / 10;
          }
          return last.le(initial);
        });
  };
  Rates sgd, adam;
  std::vector<double> sgd_slopes, adam_slopes;
  std::vector<std::vector<double>> sgd_seeds(seeds), adam_seeds(seeds);
  const std::vector<int64_t> sizes = quick ? std::vector<int64_t>{1, 2, 4, 8, 32}
                                           : std::vector<int64_t>{1, 2, 4, 8, 16, 32, 64, 128};
  for (const int64_t B : sizes) {
    std::vector<double> s, a;
    for (int64_t seed = 0; seed < seeds; ++seed) {
      context.progress("largest rates from initialisation", B, sizes.back());
      s.push_back(measure(false, B, seed));
      a.push_back(measure(true, B, seed));
      sgd_seeds[seed].push_back(s.back());
      adam_seeds[seed].push_back(a.back());
    }
    sgd.add(B, s);
    adam.add(B, a);
  }
  for (int64_t seed = 0; seed < seeds; ++seed) {
    sgd_slopes.push_back(sgd.slope_of(sgd_seeds[seed], 1, 8));
    adam_slopes.push_back(adam.slope_of(adam_seeds[seed], 1, 32));
  }
  const auto spread = [](const std::vector<double>& x) {
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    return std::pair{*low, *high};
  };
  const double sgd_slope = sgd.slope(1, 8), adam_slope = adam.slope(1, 32);
  const double adam_small = adam.slope(1, 8);
  const std::string baseline =
      "tanh MLP 49-32-10 from initialisation, 200 steps, grid of ratio 2^0.5, success: mean loss "
      "of "
      "the last 10 steps <= the initial one";
  result.claims.push_back({.id = "D-sgd",
                           .claim = "From initialisation SGD's largest rate grows linearly too",
                           .baseline = baseline,
                           .criterion = "slope over B = 1 ... 8 >= 0.75",
                           .measured = {{"slope", sgd_slope},
                                        {"least slope of a seed", spread(sgd_slopes).first},
                                        {"largest slope of a seed", spread(sgd_slopes).second}},
                           .holds = sgd_slope >= 0.75});
  result.claims.push_back({.id = "D-adam",
                           .claim = "Adam's largest rate grows with the square root of the batch",
                           .baseline = baseline,
                           .criterion = "slope over B = 1 ... 32 in [0.35, 0.65]",
                           .measured = {{"slope", adam_slope},
                                        {"least slope of a seed", spread(adam_slopes).first},
                                        {"largest slope of a seed", spread(adam_slopes).second}},
                           .holds = adam_slope >= 0.35 && adam_slope <= 0.65});
  result.claims.push_back({.id = "D-gap",
                           .claim = "SGD and Adam need different rules",
                           .baseline = baseline,
                           .criterion = "SGD's slope over B = 1 ... 8 less Adam's >= 0.2",
                           .measured = {{"SGD's slope", sgd_slope},
                                        {"Adam's slope over 1 ... 8", adam_small},
                                        {"gap", sgd_slope - adam_small}},
                           .holds = sgd_slope - adam_small >= 0.2});
  result.series.push_back({.name = "initial_rates",
                           .columns = {{"B", sgd.batches},
                                       {"sgd", sgd.mean},
                                       {"sgd_least", sgd.low},
                                       {"sgd_largest", sgd.high},
                                       {"adam", adam.mean},
                                       {"adam_least", adam.low},
                                       {"adam_largest", adam.high}}});
  const double from = sgd.batches.front(), to = sgd.batches.back();
  result.figures.push_back(
      {.name = "initial_rates",
       .caption = "Largest learning rates from initialisation: SGD's follow the batch size, Adam's "
                  "its square root.",
       .figure = {
           .title = "Largest learning rate from initialisation",
           .x = {.label = "batch size B", .log = true},
           .y = {.label = "learning rate", .log = true},
           .curves =
               {{.label = "SGD", .x = sgd.batches, .y = sgd.mean, .style = io::Style::line_points},
                {.label = "Adam",
                 .x = adam.batches,
                 .y = adam.mean,
                 .style = io::Style::line_points},
                guide(from, std::min(16.0, to), sgd.mean.front(), 1, "slope 1"),
                guide(from, to, adam.mean.front(), 0.5, "slope 1/2")},
           .legend_left = true}});
}

}  // namespace ritz::studies::batch_scaling
