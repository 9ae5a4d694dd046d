// (e) Least damping of a second-order method on Gaussian least squares.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ritz/base/random.h"
#include "studies/batch_scaling/fleet.h"
#include "studies/batch_scaling/parts.h"

namespace ritz::studies::batch_scaling {
namespace {

constexpr int64_t kP = 100, kSteps = 300;

/// Leading-order stability of one step in second moments: below 1 the loss falls.
///   alpha / (2 B) tr(H (H + delta)^-1) + alpha / 2 max_i lambda_i / (lambda_i + delta)
double stability(const std::vector<double>& h, double delta, double alpha, double B) {
  double trace = 0;
  for (const double lambda : h) trace += lambda / (lambda + delta);
  return alpha / (2 * B) * trace + alpha / 2 * h.front() / (h.front() + delta);
}

}  // namespace

// e <- e - alpha (H + delta)^-1 X^T X e / B with fresh Gaussian rows X of covariance H = diag(1/k):
// learning rates, dampings and seeds side by side.
void damping(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const std::vector<double> alphas{0.5, 1, 2};
  const std::vector<int64_t> batches =
      quick ? std::vector<int64_t>{1, 4, 16} : std::vector<int64_t>{1, 2, 4, 8, 16};
  const int64_t seeds = 2, A = static_cast<int64_t>(alphas.size());
  const auto f64 = torch::kFloat64;
  const Tensor h = 1 / torch::arange(1, kP + 1, f64);
  const Tensor alpha = torch::tensor(alphas, f64);
  const double initial = 0.5 * h.sum().item<double>();  // e = ones

  std::vector<double> x, delta_min, at_alpha, at_batch, predicted;
  for (const int64_t B : batches) {
    context.progress("damping", B, batches.back());
    Tensor X = torch::empty({kSteps, seeds, B, kP}, f64);
    for (int64_t seed = 0; seed < seeds; ++seed)
      X.select(1, seed).copy_(
          RandomStream(context.seed, stream_id("study/damping/" + std::to_string(seed), B))
              .normal({kSteps, B, kP}, f64));
    X *= h.sqrt();
    Tensor low = torch::full({A}, std::log(1e-4), f64), high = torch::full({A}, std::log(1e3), f64);
    // 14 halvings, up to four of them at a time: all cuts of an interval are tried side by side.
    for (const int64_t parts : {16, 16, 16, 4}) {
      const Tensor cut = torch::arange(1, parts, f64).view({-1, 1}) / static_cast<double>(parts);
      const Tensor tried = low + cut * (high - low);  // [K, A]
      const Tensor scale = (alpha / static_cast<double>(B)).view({1, A, 1}) /
                           (h + tried.exp().unsqueeze(-1));       // [K, A, P]
      const Tensor step = scale.view({-1, kP}).t().contiguous();  // [P, K A]
      Tensor e = torch::ones({seeds, kP, step.size(1)}, f64);
      for (int64_t t = 0; t < kSteps; ++t)
        e.addcmul_(X[t].transpose(1, 2).bmm(X[t].bmm(e)), step, -1);
      const Tensor loss = (e.square() * h.view({-1, 1})).sum(1) / 2;       // [seeds, K A]
      const Tensor stable = loss.le(initial).all(0).view({parts - 1, A});  // NaN compares false
      for (int64_t a = 0; a < A; ++a) {
        int64_t first = parts - 1;  // the smallest cut above which all are stable
        while (first > 0 && stable[first - 1][a].item<bool>()) --first;
        if (first > 0) low[a] = tried[first - 1][a].item<double>();
        if (first < parts - 1) high[a] = tried[first][a].item<double>();
      }
    }
    const std::vector<double> eigenvalues(h.data_ptr<double>(), h.data_ptr<double>() + kP);
    for (int64_t a = 0; a < A; ++a) {
      double below = 1e-6, above = 1e4;  // the companion's own least damping, by bisection
      for (int i = 0; i < 60; ++i) {
        const double middle = std::sqrt(below * above);
        (stability(eigenvalues, middle, alphas[a], static_cast<double>(B)) < 1 ? above : below) =
            middle;
      }
      at_alpha.push_back(alphas[a]);
      at_batch.push_back(static_cast<double>(B));
      x.push_back(alphas[a] / static_cast<double>(B));
      delta_min.push_back(std::exp(high[a].item<double>()));
      predicted.push_back(above);
    }
  }

  std::vector<double> kept_x, kept_y, ratios;
  for (size_t i = 0; i < x.size(); ++i) {
    if (delta_min[i] > 0.3) {  // lambda_1 = 1
      kept_x.push_back(x[i]);
      kept_y.push_back(delta_min[i]);
    }
    if (at_alpha[i] == 2)
      ratios.push_back(delta_min[i] / x[i] / initial);  // tr(H) / 2 = initial loss
  }
  const double slope = log_slope(kept_x, kept_y);
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  const std::string baseline =
      "Gaussian least squares, H = diag(1/k), P = 100, bisection for the "
      "smallest damping that does not raise the loss in 300 steps, 2 seeds";
  result.claims.push_back(
      {.id = "E-slope",
       .claim = "The least damping is proportional to learning rate / batch size",
       .baseline = baseline,
       .criterion = "slope of log delta_min on log(alpha / B) where delta_min > 0.3 lambda_1 in "
                    "[0.85, 1.2]",
       .measured = {{"slope", slope}, {"points", static_cast<double>(kept_x.size())}},
       .holds = slope >= 0.85 && slope <= 1.2});
  result.claims.push_back(
      {.id = "E-trace",
       .claim = "At learning rate 2 the constant of that law is tr(H) / 2",
       .baseline = baseline,
       .criterion = "delta_min / (alpha / B) within 20 % of tr(H) / 2 for alpha = 2, every B",
       .measured = {{"smallest ratio to tr(H)/2", *least}, {"largest ratio to tr(H)/2", *most}},
       .holds = *least >= 0.8 && *most <= 1.2});

  std::vector<double> law(x.size());
  for (size_t i = 0; i < x.size(); ++i) law[i] = initial * x[i];
  result.series.push_back({.name = "damping",
                           .columns = {{"alpha", at_alpha},
                                       {"B", at_batch},
                                       {"delta_min", delta_min},
                                       {"law", law},
                                       {"second_moment_stability", predicted}}});
  io::Figure figure{.title = "Least damping",
                    .x = {.label = "learning rate / batch size", .log = true},
                    .y = {.label = "least stable damping", .log = true},
                    .curves = {},
                    .legend_left = true};
  for (const double a : alphas) {
    io::Curve curve{.label = "learning rate " + std::to_string(a).substr(0, 3),
                    .style = io::Style::line_points};
    for (size_t i = 0; i < x.size(); ++i)
      if (at_alpha[i] == a) {
        curve.x.push_back(x[i]);
        curve.y.push_back(delta_min[i]);
      }
    figure.curves.push_back(curve);
  }
  const double ends[] = {*std::min_element(x.begin(), x.end()),
                         *std::max_element(x.begin(), x.end())};
  figure.curves.push_back({.label = "tr(H)/2 x",
                           .x = {ends[0], ends[1]},
                           .y = {initial * ends[0], initial * ends[1]},
                           .style = io::Style::guide});
  result.figures.push_back({.name = "damping",
                            .caption =
                                "The least damping grows in proportion to learning rate over "
                                "batch size; at learning rate 2 with the constant tr(H)/2.",
                            .figure = figure});
}

}  // namespace ritz::studies::batch_scaling
