#include "ritz/rows/lp_sensitivity/scores.h"

#include <torch/types.h>

#include <array>
#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"
#include "ritz/rows/lp_sensitivity/lewis.h"

namespace ritz::rows {
namespace {

constexpr std::array<std::string_view, 8> kNames = {
    "root-leverage", "sensitivity",          "lewis",    "leverage",
    "augmented",     "leverage-sensitivity", "row-norm", "uniform"};

void check_size(const SampleSize& size) {
  const int given = (size.rows > 0) + (size.eps > 0) + (size.alpha > 0);
  if (given != 1)
    throw InvalidArgument("size", "one of rows, eps and alpha", std::to_string(given) + " of them");
  if (size.eps != 0) check_in("eps", size.eps, 0, 1);
  check_in("delta", size.delta, 1e-300, 1);
  check_non_negative("log_factor", size.log_factor);
}

// |a_i|^2 relative to the longest row, free of overflow.
Tensor squared_row_norms(const Tensor& A) {
  auto length = torch::empty({A.size(0)}, A.options().dtype(torch::kFloat64));
  detail::for_panels(A, [&](const Tensor& panel, int64_t begin) {
    const auto size = panel.abs().amax(1, true).clamp_min(1e-300);
    length.slice(0, begin, begin + panel.size(0))
        .copy_((panel / size).square().sum(1).sqrt() * size.squeeze(1));
  });
  const auto most = length.max().clamp_min(1e-300);
  return (length / most).square();
}

}  // namespace

ScoreKind parse_score(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<ScoreKind>(i);
  throw InvalidArgument("scores",
                        "root-leverage, sensitivity, lewis, leverage, augmented, "
                        "leverage-sensitivity, row-norm or uniform",
                        name);
}

std::string_view score_name(ScoreKind kind) {
  return kNames[static_cast<size_t>(kind)];
}

RowScores row_scores(const RowBasis& basis, ScoreKind kind, const SampleSize& size,
                     const SensitivityOptions& options) {
  const double p = options.p;
  detail::check_exponent(p);
  check_size(size);
  const torch::NoGradGuard no_grad;
  RowScores scores;
  scores.kind = kind;
  scores.rank = basis.rank;
  const auto n = static_cast<double>(basis.rows.size(0));
  const auto d = static_cast<double>(basis.rank);
  const double C =
      size.log_factor > 0 ? size.log_factor : std::max(1.0, std::log(d) + std::log(1 / size.delta));
  const double eps2 = size.eps * size.eps;
  double alpha = eps2 / C;
  const auto solve = [&] {
    scores.sensitivities = lp_sensitivities(basis, options);
    return scores.sensitivities.sigma;
  };
  switch (kind) {
    case ScoreKind::root_leverage:
      scores.score = leverage_scores(basis).pow(p / 2);
      alpha = std::pow(size.eps, p) / std::pow(C, p / 2);
      break;
    case ScoreKind::sensitivity: {
      scores.score = solve();
      const double S = scores.sensitivities.total;
      alpha = p < 2 ? eps2 * std::max(std::pow(S, 1 - 2 / p), std::pow(d, p / 2 - 1)) / C
                    : eps2 * std::pow(S, 2 / p - 1) / C;
      break;
    }
    case ScoreKind::lewis:
      scores.score = lewis_weights(basis, {.p = p}).weights;
      if (p > 2) scores.score = scores.score * std::pow(d, p / 2 - 1);
      break;
    case ScoreKind::leverage:
      scores.score = leverage_scores(basis);
      break;
    case ScoreKind::augmented:
      scores.score = solve() + leverage_scores(basis);
      break;
    case ScoreKind::leverage_sensitivity: {
      // sigma* = S / m, tau* = eps^2 (S n / m)^(2/p-1) / C with m and eps tied by the fixed point
      // m = C eps^-2 d^(2/p) S^(2-4/p).
      const auto sigma = solve();
      const double S = scores.sensitivities.total;
      const double law = std::pow(d, 2 / p) * std::pow(S, 2 - 4 / p);
      const double m = size.rows > 0 ? size.rows : size.eps > 0 ? C * law / eps2 : law / size.alpha;
      const double tau_star = law / m * std::pow(std::max(1.0, S * n / m), 2 / p - 1);
      scores.score = sigma * (m / S) + (leverage_scores(basis) / tau_star).pow(p / 2);
      alpha = 1;
      break;
    }
    case ScoreKind::row_norm:
      scores.score = squared_row_norms(basis.rows.mm(basis.back.to(basis.rows.scalar_type())));
      scores.score *= d / scores.score.sum();
      break;
    case ScoreKind::uniform:
      scores.score =
          torch::full({basis.rows.size(0)}, d / n, basis.rows.options().dtype(torch::kFloat64));
      break;
  }
  if (size.alpha > 0) alpha = kind == ScoreKind::leverage_sensitivity ? 1 : size.alpha;
  scores.alpha = size.rows > 0 ? 0 : alpha;
  scores.open_alpha = scores.alpha;
  // N rows of equal leverage d / N are all kept where (d / N)^(p/2) = alpha.
  if (size.rows > 0 && kind == ScoreKind::root_leverage)
    scores.open_alpha = std::pow(d / size.rows, p / 2);
  if (size.rows > 0 && kind == ScoreKind::leverage_sensitivity) scores.open_alpha = 1;
  return scores;
}

}  // namespace ritz::rows
