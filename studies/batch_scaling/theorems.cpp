// (a) Theorems H and G on synthetic matrices.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ritz/base/random.h"
#include "studies/batch_scaling/parts.h"

namespace ritz::studies::batch_scaling {
namespace {

struct Ends {
  double top = 0, bottom = 0;
};
/// Extreme eigenvalues of diag(spikes) + a symmetric Gaussian matrix of element deviation
/// sigma / sqrt(b), P x P.
Ends noisy_extremes(int64_t P, double sigma, double b, const std::vector<double>& spikes,
                    RandomStream& random) {
  Tensor H = random.normal({P, P}, torch::kFloat64);
  H = H.triu() + H.triu(1).t();  // every entry, the diagonal's too, of the one variance
  H *= sigma / std::sqrt(b);
  for (size_t i = 0; i < spikes.size(); ++i)
    H[static_cast<int64_t>(i)][static_cast<int64_t>(i)] += spikes[i];
  const Tensor values = torch::linalg_eigvalsh(H);
  return {values[-1].item<double>(), values[0].item<double>()};
}

/// Largest eigenvalue of X^T X / B, X [B, P] Gaussian with population eigenvalues (ell, 1, ..., 1).
double covariance_top(int64_t P, double ell, int64_t B, RandomStream& random) {
  Tensor X = random.normal({B, P}, torch::kFloat64);
  X.select(1, 0).mul_(std::sqrt(ell));
  // The smaller of the two Gram matrices has the same largest eigenvalue.
  const Tensor gram = B < P ? X.mm(X.t()) : X.t().mm(X);
  return torch::linalg_eigvalsh(gram / static_cast<double>(B))[-1].item<double>();
}

double relative(double observed, double predicted) {
  return std::abs(observed / predicted - 1);
}

}  // namespace

void theorems(const StudyContext& context, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const std::vector<double> bs{1, 2, 4, 8, 16, 64};
  const int64_t P = 800, draws = quick ? 1 : 3;
  const double lambda_1 = 60, lambda_P = -45;

  Series h{.name = "theorem_h",
           .columns = {{"b", {}},
                       {"draw", {}},
                       {"top", {}},
                       {"top_predicted", {}},
                       {"bottom", {}},
                       {"bottom_predicted", {}}}};
  double worst_top = 0, worst_bottom = 0;
  for (size_t k = 0; k < bs.size(); ++k)
    for (int64_t draw = 0; draw < draws; ++draw) {
      context.progress("theorem H", static_cast<int64_t>(k) * draws + draw,
                       static_cast<int64_t>(bs.size()) * draws);
      RandomStream random(context.seed, stream_id("study/theorem-h", k * 100 + draw));
      const auto seen = noisy_extremes(P, 1, bs[k], {lambda_1, lambda_P}, random);
      const double s = std::sqrt(static_cast<double>(P) / bs[k]);
      const double top = optim::wigner_top(lambda_1, s).value;
      const double bottom = optim::wigner_bottom(lambda_P, s).value;
      worst_top = std::max(worst_top, relative(seen.top, top));
      worst_bottom = std::max(worst_bottom, relative(seen.bottom, bottom));
      const double row[] = {bs[k], static_cast<double>(draw), seen.top, top, seen.bottom, bottom};
      for (size_t c = 0; c < 6; ++c) h.columns[c].second.push_back(row[c]);
    }
  result.claims.push_back(
      {.id = "A-theorem-H",
       .claim =
           "A spike of the Hessian moves outwards in a batch by P sigma^2 / (b lambda), at both "
           "ends of the spectrum",
       .baseline = "eigenvalues of synthetic matrices, P = 800, spikes 60 and -45, sigma = 1",
       .criterion =
           "|observed / predicted - 1| <= 3 % for b in {1, 2, 4, 8, 16, 64}, 3 draws each, all",
       .measured = {{"worst error, top", worst_top},
                    {"worst error, bottom", worst_bottom},
                    {"draws", static_cast<double>(draws)}},
       .holds = std::max(worst_top, worst_bottom) <= 0.03});
  result.series.push_back(h);

  double worst_edge = 0, best_edge = 1;
  for (int64_t draw = 0; draw < draws; ++draw) {
    RandomStream random(context.seed, stream_id("study/threshold", draw));
    const double s = std::sqrt(static_cast<double>(P) / 4);
    const auto seen = noisy_extremes(P, 1, 4, {0.5 * s}, random);
    const double error = relative(seen.top, optim::wigner_top(0.5 * s, s).value);
    worst_edge = std::max(worst_edge, error);
    best_edge = std::min(best_edge, error);
  }
  result.claims.push_back(
      {.id = "A-threshold",
       .claim =
           "Below the threshold lambda = s the spike is swallowed: the batch sees the edge 2 s",
       .baseline = "the same matrices with a spike of 0.5 s, b = 4",
       .criterion = "|observed / 2 s - 1| <= 3 %, every draw",
       .measured = {{"worst error", worst_edge},
                    {"best error", best_edge},
                    {"draws", static_cast<double>(draws)}},
       .holds = worst_edge <= 0.03});

  // One draw of a spike scatters by sqrt(2 / B), 18 % at B = 60: the theorem speaks of the limit,
  // so the mean over enough draws for a standard error below 2.5 % is compared.
  const int64_t Pg = 600;
  Series g{.name = "theorem_g",
           .columns = {{"ell", {}},
                       {"B", {}},
                       {"draws", {}},
                       {"top", {}},
                       {"top_se", {}},
                       {"top_predicted", {}}}};
  double worst_g = 0, worst_se = 0;
  for (const double ell : {10., 40.})
    for (const int64_t B : {60, 150, 600, 2400}) {
      context.progress("theorem G", B, 2400);
      const int64_t n = quick ? std::max<int64_t>(2, 1440 / B) : std::max<int64_t>(6, 5760 / B);
      double sum = 0, squares = 0;
      for (int64_t draw = 0; draw < n; ++draw) {
        RandomStream random(context.seed,
                            stream_id("study/theorem-g/" + std::to_string(ell), B * 1000 + draw));
        const double top = covariance_top(Pg, ell, B, random);
        sum += top;
        squares += top * top;
      }
      const auto count = static_cast<double>(n);
      const double mean = sum / count;
      const double se = std::sqrt(std::max(0.0, squares / count - mean * mean) / (count - 1));
      const double predicted =
          optim::wishart_top(ell, 1, static_cast<double>(Pg) / static_cast<double>(B)).value;
      worst_g = std::max(worst_g, relative(mean, predicted));
      worst_se = std::max(worst_se, se / predicted);
      const double row[] = {ell, static_cast<double>(B), count, mean, se, predicted};
      for (size_t c = 0; c < 6; ++c) g.columns[c].second.push_back(row[c]);
    }
  result.claims.push_back(
      {.id = "A-theorem-G",
       .claim = "The same for Gauss-Newton matrices with Wishart noise",
       .baseline = "sample covariances, P = 600, spikes 10 and 40 over a bulk of 1",
       .criterion = "|mean observed / predicted - 1| <= 8 % for B in {60, 150, 600, 2400}, all",
       .measured = {{"worst error", worst_g}, {"largest standard error", worst_se}},
       .holds = worst_g <= 0.08});
  result.series.push_back(g);
}

}  // namespace ritz::studies::batch_scaling
