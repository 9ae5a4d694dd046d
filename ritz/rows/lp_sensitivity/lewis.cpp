#include "ritz/rows/lp_sensitivity/lewis.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/interrupt.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"
#include "ritz/rows/lp_sensitivity/detail/panels.h"

namespace ritz::rows {
namespace {

// w^(1-2/p), 0 where w is.
Tensor lewis_power(const Tensor& w, double p) {
  if (p == 2) return torch::ones_like(w);
  if (p == 1) return torch::where(w > 0, w.reciprocal(), 0);
  return torch::where(w > 0, w.pow(1 - 2 / p), 0);
}

}  // namespace

Tensor leverage_scores(const Tensor& A) {
  return leverage_scores(row_basis(A));
}

Tensor leverage_scores(const RowBasis& basis) {
  const torch::NoGradGuard no_grad;
  const auto F = detail::inverse_factor(detail::weighted_gram(basis.rows));
  return detail::squared_lengths(basis.rows, F).clamp_max_(1);
}

Tensor lewis_factor(const RowBasis& basis, const Tensor& weights, double p) {
  return detail::inverse_factor(detail::weighted_gram(basis.rows, lewis_power(weights, p)));
}

LewisWeights lewis_weights(const Tensor& A, const LewisOptions& options) {
  detail::check_exponent(options.p);
  return lewis_weights(row_basis(A), options);
}

// Invariant of a pass over the panels: G = A^T W^(1-2/p) A for the weights w of the last pass.
// While a panel is in cache, tau_i = w_i^(1-2/p) |a_i F|^2, w_i takes its step and the next G its
// rows; the common factor that scales w to its sum afterwards scales G too.
LewisWeights lewis_weights(const RowBasis& basis, const LewisOptions& options) {
  const double p = options.p;
  detail::check_exponent(p);
  check_positive("tolerance", options.tolerance);
  check_at_least("max_steps", options.max_steps, 1);
  const torch::NoGradGuard no_grad;
  const Tensor& A = basis.rows;
  const auto rank = static_cast<double>(basis.rank);
  LewisWeights result;
  result.rank = basis.rank;

  auto G = detail::weighted_gram(A);
  auto w = detail::squared_lengths(A, detail::inverse_factor(G)).clamp_max_(1);
  result.steps = 1;
  if (p == 2) {
    result.converged = true;
    result.weights = w;
    return result;
  }
  // The leverage scores of rows raised to p/2 are the fixed-point map's image of equal weights.
  w = p < 4 ? w.pow_(p / 2) : w;
  w.mul_(rank / w.sum());
  G = detail::weighted_gram(A, lewis_power(w, p));

  double theta = 2 * p / (p + 2), last = std::numeric_limits<double>::infinity();
  const double e = 1 - 2 / p;
  while (result.steps < options.max_steps) {
    check_interrupt("Lewis weights");
    const auto F = detail::inverse_factor(G);
    auto next = torch::empty_like(w);
    const auto pass = [&](const Tensor& panel, int64_t begin, detail::PanelSum& sum) {
      const int64_t end = begin + panel.size(0);
      const auto y = panel.mm(F);
      const auto old = w.slice(0, begin, end);
      const auto power = lewis_power(old, p);
      const auto tau = y.mul_(y).sum(1).mul_(power);
      const auto ratio = torch::where(old > 0, tau / old, 1);
      sum.most = std::max(sum.most, (ratio - 1).abs_().max().item<double>());
      auto stepped = next.slice(0, begin, end);
      torch::mul_out(stepped, old, ratio.pow(theta));
      sum.total += stepped.sum().item<double>();
      const auto scaled = panel * (lewis_power(stepped, p).sqrt_().unsqueeze(1));
      sum.matrix.addmm_(scaled.t(), scaled);
    };
    const auto passed = detail::sum_over_panels(A, pass);
    const double residual = passed.most;
    ++result.steps;
    result.residual = residual;
    if (residual <= options.tolerance) {
      result.converged = true;
      break;
    }
    if (residual > last) theta = std::max(theta / 2, 0.25);
    last = residual;
    const double factor = rank / passed.total;
    w = next.mul_(factor);
    G = passed.matrix * std::pow(factor, e);
  }
  result.weights = w;
  return result;
}

}  // namespace ritz::rows
