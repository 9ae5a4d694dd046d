#include "ritz/koopman/forecast.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"

namespace ritz::koopman {
namespace {

void check_history(const Tensor& history, int64_t horizon) {
  check_dim("history", history, 3);
  check_floating("history", history);
  check_finite("history", history);
  check_at_least("snapshots", history.size(1), 2);
  check_at_least("horizon", horizon, 1);
}

// Least squares with the columns' numerical rank found: dependent features are common.
Tensor least_squares(const Tensor& A, const Tensor& B) {
  const Tensor a = A.contiguous(), b = B.contiguous();
  if (a.is_cpu())  // CUDA's solver knows full rank only
    return std::get<0>(torch::linalg_lstsq(a, b, std::nullopt, "gelsd"));
  return torch::linalg_pinv(a).mm(b);
}

// The optimal threshold of singular values of an m x n matrix in noise of unknown size: omega(beta)
// times their median (Gavish & Donoho, with their cubic approximation of omega).
int64_t threshold_rank(const Tensor& s, int64_t m, int64_t n) {
  const double beta = static_cast<double>(std::min(m, n)) / static_cast<double>(std::max(m, n));
  const double omega = ((0.56 * beta - 0.95) * beta + 1.82) * beta + 1.43;
  const double least = omega * s.median().item<double>();
  const double rounding = s[0].item<double>() * std::numeric_limits<double>::epsilon() *
                          static_cast<double>(std::max(m, n));
  return std::max<int64_t>(1, (s > std::max(least, rounding)).sum().item<int64_t>());
}

// x_t, x_{t-1}, ..., x_{t-p} for t >= most, a matrix for every column: [d, N (T - most), p + 1].
Tensor lags(const Tensor& history, int64_t p, int64_t most) {
  std::vector<Tensor> columns;
  for (int64_t k = 0; k <= p; ++k)
    columns.push_back(history.slice(1, most - k, history.size(1) - k));
  return torch::stack(columns, -1).permute({2, 0, 1, 3}).flatten(1, 2);
}

// The order of the least AIC, all orders on the same equations. Gram matrices serve: to choose an
// order, half the digits are enough. 2 n d p^2 flops.
int64_t least_aic(const Tensor& centred, const std::vector<int64_t>& orders) {
  const Tensor Z = lags(centred, orders.back(), orders.back());
  const auto n = static_cast<double>(Z.size(1)), d = static_cast<double>(Z.size(0));
  const Tensor gram = Z.transpose(1, 2).bmm(Z) / n;  // [d, p + 1, p + 1]
  const double tiny = std::numeric_limits<double>::min();
  double least = std::numeric_limits<double>::infinity();
  int64_t best = orders.front();
  for (const int64_t p : orders) {
    const Tensor G = gram.slice(1, 1, p + 1).slice(2, 1, p + 1);
    const Tensor b = gram.slice(1, 1, p + 1).slice(2, 0, 1);
    const Tensor ridge = G.diagonal(0, 1, 2).mean(1) * 1e-13 + tiny;
    const Tensor eye = torch::eye(p, G.options());
    const Tensor a = torch::linalg_solve(G + ridge.view({-1, 1, 1}) * eye, b);
    const Tensor square = (gram.select(1, 0).select(1, 0) - (a * b).sum({1, 2})).clamp_min(tiny);
    const double aic = n * square.log().sum().item<double>() + 2 * d * static_cast<double>(p + 1);
    if (aic < least) {
      least = aic;
      best = p;
    }
  }
  return best;
}

// [d, p + 1]: the constant first, then lags 1..p.
Tensor fit_autoregression(const Tensor& history, int64_t p) {
  Tensor A = lags(history, p, p);
  const Tensor b = A.slice(2, 0, 1).clone();
  A.slice(2, 0, 1).fill_(1);
  // A constant column makes the lags dependent on the intercept: minimum norm there.
  return (A.is_cpu() ? std::get<0>(torch::linalg_lstsq(A, b, std::nullopt, "gelsd"))
                     : torch::linalg_pinv(A).matmul(b))
      .squeeze(2);
}

// psi K^h B for h = first..first + horizon - 1: [N, horizon, d].
Tensor powers(Tensor psi, const Tensor& K, const Tensor& B, int64_t first, int64_t horizon) {
  std::vector<Tensor> out;
  for (int64_t h = 0; h < first; ++h) psi = psi.mm(K);
  for (int64_t h = 0; h < horizon; ++h) {
    if (h > 0) psi = psi.mm(K);
    out.push_back(psi.mm(B));
  }
  return torch::stack(out, 1);
}

}  // namespace

Tensor state_windows(const Tensor& history, int64_t q) {
  check_dim("history", history, 3);
  check_range("delays", q, 1, history.size(1));
  return history.unfold(1, q, 1).transpose(2, 3).flatten(2);
}

Tensor forecast_persistence(const Tensor& history, int64_t horizon) {
  check_history(history, horizon);
  return history.slice(1, history.size(1) - 1).repeat({1, horizon, 1});
}

Tensor seasonal_means(const Tensor& history, int64_t season) {
  check_history(history, 1);
  check_range("season", season, 1, history.size(1));
  std::vector<Tensor> means;
  for (int64_t phase = 0; phase < season; ++phase)
    means.push_back(history.slice(1, phase, history.size(1), season).mean(1));
  return torch::stack(means, 1);
}

Tensor seasonal_part(const Tensor& means, int64_t begin, int64_t count) {
  const Tensor phase =
      torch::remainder(torch::arange(begin, begin + count, torch::kInt64), means.size(1));
  return means.index_select(1, phase.to(means.device()));
}

Tensor forecast_climatology(const Tensor& history, int64_t horizon, int64_t season) {
  check_history(history, horizon);
  return seasonal_part(seasonal_means(history, season), history.size(1), horizon);
}

Tensor forecast_autoregression(const Tensor& history, int64_t horizon,
                               const AutoregressionOptions& options) {
  check_history(history, horizon);
  const Tensor x = history.to(torch::kFloat64);
  const int64_t T = x.size(1);
  int64_t p = options.order;
  check_at_least("order", p, 0);
  if (p > 0) {
    check_range("order", p, 1, T - 2);
  } else {
    check_at_least("snapshots", T, 3);
    std::vector<int64_t> orders = {1};
    for (const int64_t k : {2, 3, 4, 6, 8, 12, 16, 24, 48, 96})
      if (k <= T / 5) orders.push_back(k);
    p = least_aic(x - x.mean({0, 1}, true), orders);
  }
  const Tensor coefficients = fit_autoregression(x, p);
  const Tensor path = torch::cat(
      {x.slice(1, T - p), torch::zeros({x.size(0), horizon, x.size(2)}, x.options())}, 1);
  for (int64_t h = 0; h < horizon; ++h) {
    Tensor next = coefficients.select(1, 0).unsqueeze(0).expand({x.size(0), -1}).clone();
    for (int64_t k = 1; k <= p; ++k) next += coefficients.select(1, k) * path.select(1, p + h - k);
    path.select(1, p + h).copy_(next);
  }
  return path.slice(1, p).to(history.scalar_type()).contiguous();
}

Tensor forecast_dmd(const Tensor& history, int64_t horizon, const DmdForecastOptions& options) {
  check_history(history, horizon);
  const int64_t q = options.delays, d = history.size(2), T = history.size(1);
  check_range("delays", q, 1, T - 1);
  const Tensor W = state_windows(history.to(torch::kFloat64), q);
  const int64_t count = W.size(1);
  const Tensor X = W.slice(1, 0, count - 1).flatten(0, 1).contiguous();
  const Tensor Y = W.slice(1, 1).flatten(0, 1).contiguous();
  const auto [U, s, Vh] = torch::linalg_svd(X, /*full_matrices=*/false);
  const int64_t most = s.size(0);
  check_range("rank", options.rank, 0, most);
  if (s[0].item<double>() == 0)
    return torch::zeros({history.size(0), horizon, d}, history.options());
  const int64_t r = options.rank > 0 ? options.rank : threshold_rank(s, X.size(0), X.size(1));
  // Coordinates c = x V_r; x A = c S^{-1} U^T Y.
  const Tensor V = Vh.slice(0, 0, r).t();
  const Tensor B = U.slice(1, 0, r).t().mm(Y) / s.slice(0, 0, r).unsqueeze(1);
  const Tensor last = W.select(1, count - 1).mm(V);
  return powers(last, B.mm(V), B.slice(1, (q - 1) * d), 0, horizon).to(history.scalar_type());
}

Tensor forecast_features(const Tensor& X, const Tensor& Y, const Tensor& states, const Tensor& last,
                         int64_t horizon) {
  check_dim("X", X, 2);
  check_shape("Y", Y, X.sizes());
  check_shape("states", states, {X.size(0), -1});
  check_shape("last", last, {-1, X.size(1)});
  check_at_least("horizon", horizon, 1);
  const Tensor both = least_squares(X, torch::cat({Y, states.to(X.scalar_type())}, 1));
  const int64_t n = X.size(1);
  const Tensor out =
      powers(last, both.slice(1, 0, n).contiguous(), both.slice(1, n).contiguous(), 1, horizon);
  return states.is_complex() || !out.is_complex() ? out : torch::real(out).contiguous();
}

Tensor forecast_edmd(const Lift& lift, const Snapshots& windows, int64_t d, int64_t horizon) {
  check_range("columns", d, 1, windows.dimension());
  const Snapshots s = lift.prepare(windows);
  const Dictionary& psi = *lift.functions;
  // The last window of a trajectory is the image of its last pair.
  const int64_t M = s.pairs();
  const Tensor next = torch::cat({s.trajectory.slice(0, 1), s.trajectory.slice(0, M - 1) + 1});
  const Tensor ends = (next != s.trajectory).nonzero().squeeze(1).to(s.states.device());
  const Tensor Y = psi(s.y());
  const Tensor newest = s.x().slice(1, s.dimension() - d).to(torch::kFloat64);
  return forecast_features(psi(s.x()), Y, newest, Y.index_select(0, ends), horizon);
}

Tensor forecast_modes(const Tensor& eigenvalues, const Tensor& V, const Tensor& X,
                      const Tensor& states, const Tensor& last, int64_t horizon) {
  check_dim("eigenvalues", eigenvalues, 1);
  check_shape("V", V, {X.size(1), eigenvalues.size(0)});
  check_shape("states", states, {X.size(0), -1});
  check_shape("last", last, {-1, X.size(1)});
  check_at_least("horizon", horizon, 1);
  const auto type = torch::kComplexDouble;
  const Tensor modes = V.to(type), lambda = eigenvalues.to(type);
  const Tensor Phi = least_squares(X.to(type).mm(modes), states.to(type));
  const Tensor grown = torch::cumprod(lambda.unsqueeze(0).repeat({horizon, 1}), 0);  // [H, k]
  const Tensor start = last.to(type).mm(modes);                                      // [N, k]
  return torch::real((start.unsqueeze(1) * grown.unsqueeze(0)).matmul(Phi))
      .contiguous()
      .to(states.is_complex() ? torch::kFloat64 : states.scalar_type());
}

}  // namespace ritz::koopman
