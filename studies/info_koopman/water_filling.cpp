#include "ritz/koopman/learned/water_filling.h"

#include <torch/types.h>

#include <algorithm>

#include "ritz/base/random.h"
#include "studies/info_koopman/parts.h"

namespace ritz::studies::info_koopman {
namespace {

const std::vector<double> kGains = {100, 30, 10, 3, 1, .3, .1, .03};
constexpr double kBudget = 2;

/// The nearest point of {p >= 0, sum p = c}.
Tensor on_simplex(const Tensor& p, double c) {
  const Tensor sorted = std::get<0>(p.sort(0, true));
  const Tensor count = at::arange(1, p.size(0) + 1, p.options());
  const Tensor shift = (sorted.cumsum(0) - c) / count;
  const int64_t last = (sorted - shift > 0).sum().item<int64_t>() - 1;
  return (p - shift[last]).clamp_min(0);
}

/// max 1/2 log det(I + G^{1/2} C G^{1/2}) + gamma S(C / c) over symmetric C >= 0 with tr C = c, by
/// projected gradients from a random matrix: no diagonal form is assumed.
Tensor maximise(double gamma, uint64_t seed) {
  const auto n = static_cast<int64_t>(kGains.size());
  const Tensor root = at::tensor(kGains, at::kDouble).sqrt();
  const Tensor one = at::eye(n, at::kDouble);
  const auto objective = [&](const Tensor& l, const Tensor& v) {
    const Tensor C = (v * l).mm(v.t());
    const double information =
        0.5 * std::get<1>(at::linalg_slogdet(one + root.unsqueeze(1) * C * root)).item<double>();
    const Tensor share = (l / kBudget).clamp_min(1e-300);
    return information - gamma * (share * share.log()).sum().item<double>();
  };
  const Tensor a = RandomStream(seed, stream_id("water-filling")).normal({n, n}, at::kDouble);
  auto [l, v] = at::linalg_eigh(a.mm(a.t()));
  l = l * (kBudget / l.sum());
  double value = objective(l, v), step = 1;
  for (int i = 0; i < 4000 && step > 1e-14; ++i) {
    const Tensor C = (v * l).mm(v.t());
    const Tensor inner = at::linalg_inv(one + root.unsqueeze(1) * C * root);
    const Tensor log_share = (l / kBudget).clamp_min(1e-12).log();
    const Tensor gradient = 0.5 * root.unsqueeze(1) * inner * root -
                            gamma / kBudget * ((v * (log_share + 1)).mm(v.t()));
    // Backtracking until the objective rises; then a longer step is tried.
    while (step > 1e-14) {
      const Tensor moved = C + step * gradient;
      const auto [m, w] = at::linalg_eigh((moved + moved.t()) / 2);
      const Tensor projected = on_simplex(m, kBudget);
      const double found = objective(projected, w);
      if (found > value) {
        l = projected;
        v = w;
        value = found;
        step *= 1.5;
        break;
      }
      step /= 2;
    }
  }
  return (v * l).mm(v.t());
}

double effective_dimension(const Tensor& p) {
  const Tensor share = (p / p.sum()).clamp_min(1e-300);
  return std::exp(-(share * share.log()).sum().item<double>());
}

}  // namespace

void water_filling(const StudyContext& context, StudyResult& result) {
  Series series{.name = "water-filling", .columns = {{"gain", kGains}}};
  std::vector<double> index;
  for (size_t i = 0; i < kGains.size(); ++i) index.push_back(static_cast<double>(i));
  io::Figure figure{.title = "Variance given to each mode",
                    .x = {.label = "mode, by falling gain"},
                    .y = {.label = "variance p"}};
  const std::vector<std::vector<double>> sheet = {
      {.6092, .5858, .5192, .2858, 0, 0, 0, 0},
      {.5411, .5230, .4725, .3146, .0900, .0260, .0175, .0152}};
  bool holds = true;
  Claim claim{.id = "A",
              .claim = "mutual information alone gives a low-rank latent, entropy keeps every mode",
              .baseline = "projected gradients over whole 8 x 8 matrices",
              .criterion =
                  "closed form and maximiser agree within 1e-3; every p > 0 if and only if "
                  "gamma > 0",
              .scale = Scale::quick};
  int at = 0;
  for (const double gamma : {0.0, 0.5}) {
    context.progress("water-filling", at, 2);
    const auto closed =
        koopman::learned::water_filling(kGains, {.budget = kBudget, .gamma = gamma});
    const Tensor C = maximise(gamma, context.seed);
    const Tensor p = at::tensor(closed.power, at::kDouble);
    const double error = (C - p.diag()).abs().max().item<double>();
    double from_sheet = 0;
    for (size_t i = 0; i < kGains.size(); ++i) {
      from_sheet =
          std::max(from_sheet, std::abs(closed.power[i] - sheet[static_cast<size_t>(at)][i]));
    }
    const bool all = *std::min_element(closed.power.begin(), closed.power.end()) > 0;
    const std::string label = gamma == 0 ? "gamma 0" : "gamma 0.5";
    claim.measured.emplace_back(label + ", largest difference", error);
    claim.measured.emplace_back(label + ", from the expected values", from_sheet);
    claim.measured.emplace_back(label + ", effective dimension", closed.effective_dimension);
    claim.measured.emplace_back(label + ", of the maximiser", effective_dimension(C.diagonal()));
    holds = holds && error <= 1e-3 && from_sheet <= 1e-3 && all == (gamma > 0);
    series.columns.emplace_back(gamma == 0 ? "p" : "p_entropy", closed.power);
    figure.curves.push_back(
        {.label = label, .x = index, .y = closed.power, .style = io::Style::stems});
    ++at;
  }
  claim.holds = holds;
  result.claims.push_back(claim);
  result.series.push_back(series);
  result.figures.push_back({.name = "water-filling",
                            .caption = "Without entropy four of eight modes get nothing.",
                            .figure = figure});
}

}  // namespace ritz::studies::info_koopman
