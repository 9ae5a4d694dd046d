#include "ritz/rows/lp_sensitivity/detail/lp_solver.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ritz/rows/lp_sensitivity/detail/cholesky.h"

namespace ritz::rows::detail {
namespace {

int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

// Names of the workspace's arrays of rows.
enum Row {
  r,
  w,
  Dy,
  z,  // Newton's; the interior point takes the others
  u,
  v,
  dual,
  alpha,
  beta,
  theta,
  tu,
  tv,
  g,
  Dx,
  dy,
  du,
  dv,
  dalpha,
  dbeta,
  ia,
  ib,
  iu,
  iv,
  pu,
  pv,
  kRows
};

}  // namespace

LpSolver::LpSolver(const Tensor& D, double p, const LpSolverOptions& options)
    : rows_(D.size(0)), columns_(D.size(1)), p_(p), options_(options) {
  const int64_t stride = round_up(std::max<int64_t>(rows_, 1), kLane);
  const int64_t count = round_up(columns_, kTile);
  data_.assign(static_cast<size_t>(stride * count), 0);
  auto view = torch::from_blob(data_.data(), {columns_, rows_}, {stride, 1}, torch::kFloat64);
  view.copy_(D.t());
  D_ = {data_.data(), stride, count};
  std::vector<double> ones(static_cast<size_t>(stride), 1),
      gram(static_cast<size_t>(count * count));
  weighted_gram(D_, ones.data(), gram.data());
  const auto G = torch::from_blob(gram.data(), {columns_, columns_}, {count, 1}, torch::kFloat64);
  const auto values = torch::linalg_eigvalsh(G);
  smallest_ = std::sqrt(std::max(values[0].item<double>(), 0.0));
}

LpSolver::Workspace::Workspace(const LpSolver& solver)
    : rows_(static_cast<size_t>(solver.D_.stride * kRows)),
      small_(static_cast<size_t>(12 * solver.D_.count + 2 * solver.D_.count * solver.D_.count)),
      stride_(solver.D_.stride),
      columns_(solver.D_.count) {}

double LpSolver::norm(const double* row) const {
  const double scale = largest(row, rows_);
  if (scale == 0) return 0;
  return scale * std::pow(power_sum(row, rows_, p_, scale), 1 / p_);
}

LpOutcome LpSolver::solve(const double* c, double* x, Workspace& work) const {
  // The problem is solved for c of length 1, then scaled back: x(c) = x(c / |c|) / |c|.
  double* unit = work.vector(0);
  std::fill(unit, unit + D_.count, 0.0);
  const double scale = largest(c, columns_);
  for (int64_t i = 0; i < columns_; ++i) unit[i] = c[i] / scale;
  const double length = std::sqrt(dot(unit, unit, columns_));
  for (int64_t i = 0; i < columns_; ++i) unit[i] /= length;
  double* solution = work.vector(1);
  std::fill(solution, solution + D_.count, 0.0);
  auto outcome = columns_ == 1         ? single_column(unit, solution, work)
                 : p_ <= kInteriorUpTo ? interior_point(unit, solution, work)
                                       : newton(unit, solution, work);
  const double back = 1 / (scale * length);
  for (int64_t i = 0; i < columns_; ++i) x[i] = solution[i] * back;
  outcome.value *= back;
  outcome.lower *= back;
  return outcome;
}

// One unknown, one constraint: nothing to minimise.
LpOutcome LpSolver::single_column(const double* c, double* x, Workspace& work) const {
  x[0] = 1 / c[0];
  multiply(D_, x, work.row(r));
  const double value = norm(work.row(r));
  return {value, value, 0, true};
}

// ---- Newton, p > 1 ----------------------------------------------------------------------------
//
// Invariant: c^T x = 1 and r = D x. One step, with W = diag(|r / s|^(p-2)), s = max |r|:
//
//     y = H^-1 c / (c^T H^-1 c),  H = D^T W D           the weighted least-squares problem's
//     minimiser x <- x + t (y - x)                                t = 1 is IRLS, t = 1/(p-1) is
//     Newton's
//
// t is where the convex f(t) = ||D (x + t (y - x))||_p^p has lost seven tenths of its slope, from
// 1/(p-1) on; f never increases. Bound (derived): z = W D y has D^T z = lambda c, lambda = 1 / (c^T
// H^-1 c), so for every feasible x' Hoelder's inequality gives ||D x'||_p >= lambda / ||z||_q, 1/p
// + 1/q = 1. A step costs m k (k + 5) flops and about four powers a row.
LpOutcome LpSolver::newton(const double* c, double* x, Workspace& work) const {
  const int64_t n = rows_, k = columns_, K = D_.count;
  const double q = p_ / (p_ - 1);
  double *residual = work.row(r), *weights = work.row(w), *image = work.row(Dy), *d = work.row(z);
  double *y = work.vector(2), *H = work.matrix(0), *L = work.matrix(1);
  std::fill(y, y + K, 0.0);

  LpOutcome out;
  if (p_ == 2) {
    std::fill(weights, weights + n, 1.0);
    weighted_gram(D_, weights, H);
    if (!regularised_cholesky(H, k, K, L)) return out;
    cholesky_solve(L, k, K, c, x);
    const double inverse = 1 / dot(c, x, k);
    for (int64_t i = 0; i < k; ++i) x[i] *= inverse;
    multiply(D_, x, residual);
    const double value = norm(residual);
    return {value, std::min(value, std::sqrt(inverse)), 1, true};
  }
  for (int64_t i = 0; i < k; ++i) x[i] = c[i];  // feasible, as |c| = 1; p = 2's answer if D^T D = I
  multiply(D_, x, residual);
  for (out.steps = 0; out.steps < options_.max_steps; ++out.steps) {
    const double s = largest(residual, n);
    if (s == 0) break;
    const double f = newton_weights(residual, n, p_, s, 1e-12, 1e-15, weights);
    out.value = s * std::pow(f, 1 / p_);
    weighted_gram(D_, weights, H);
    if (!regularised_cholesky(H, k, K, L)) break;
    cholesky_solve(L, k, K, c, y);
    const double lambda = 1 / dot(c, y, k);
    for (int64_t i = 0; i < k; ++i) y[i] *= lambda;
    multiply(D_, y, image);
    const auto bound = dual_norm(weights, image, n, q);
    out.lower = std::max(out.lower, lambda / (bound.largest * std::pow(bound.power, 1 / q)));
    if (out.gap() <= options_.tolerance) {
      out.converged = true;
      // One more full step costs nothing, as y is known: the error is squared.
      const double t = 1 / (p_ - 1);
      for (int64_t i = 0; i < k; ++i) y[i] = x[i] + t * (y[i] - x[i]);
      multiply(D_, y, image);
      if (norm(image) <= out.value) std::copy(y, y + k, x);
      break;
    }
    double slope = 0;
    for (int64_t i = 0; i < n; ++i) {
      d[i] = image[i] - residual[i];
      slope += weights[i] * (residual[i] / s) * (d[i] / s);
    }
    if (!(slope < 0)) {  // rounding is all that is left
      out.converged = out.gap() <= std::sqrt(options_.tolerance);
      break;
    }
    const double t = step_length(residual, d, s, slope);
    for (int64_t i = 0; i < k; ++i) x[i] += t * (y[i] - x[i]);
    multiply(D_, x, residual);
  }
  const double inverse = 1 / dot(c, x, k);  // rounding may have moved it off the constraint
  for (int64_t i = 0; i < k; ++i) x[i] *= inverse;
  multiply(D_, x, residual);
  out.value = norm(residual);
  out.lower = std::min(out.lower, out.value);
  return out;
}

double LpSolver::step_length(const double* residual, const double* d, double scale,
                             double slope) const {
  double t = 1 / (p_ - 1), low = 0, high = std::numeric_limits<double>::infinity();
  for (int evaluation = 0; evaluation < 30; ++evaluation) {
    const auto at = slope_along(residual, d, rows_, p_, scale, t);
    if (std::abs(at.first) <= 0.3 * std::abs(slope)) return t;
    (at.first > 0 ? high : low) = t;
    double next = t - at.first / at.second;  // Newton's, kept inside the bracket
    if (!(next > low) || !(next < high)) next = std::isinf(high) ? 2 * t : 0.5 * (low + high);
    t = std::min(next, 4 * t);
  }
  return low > 0 ? low : t;
}

// ---- Interior point, 1 <= p ---------------------------------------------------------------------
//
// D x = u - v with u, v >= 0, min sum (u^p + v^p) / p, and its dual, max lambda: D^T y = lambda c
// (scaled so that max |D x| = 1 at the start). With alpha = u^(p-1) - y and beta = v^(p-1) + y,
// both > 0, optimality is alpha u = beta v = 0. Invariant: u, v, alpha, beta > 0, c^T x = 1; at p =
// 1 this is the linear program sum |D x| with its dual in the box |y| <= 1 (Portnoy & Koenker
// 1997), and alpha = 1 - y, beta = 1 + y. One step of Mehrotra's predictor and corrector, one
// factorisation:
//
//     du = (tu + u dy) / (alpha + u phi''(u)),  dv = (tv - v dy) / (beta + v phi''(v)),  Theta =
//     Q^-1 dy = Theta (D x+) - g,                    g = Theta (u - v + tu / (..) - tv / (..)) D^T
//     Theta D x+ = D^T g + lambda c - D^T y + dlambda c,   c^T x+ = 1
//
// Theta spans sixteen orders of magnitude at the end, and dy is a small difference of large
// numbers: iterative refinement of D^T dy keeps the dual feasible, and a last correction makes it
// so to rounding. Bound: ||D x'||_p >= lambda / (||y||_q + |e|_2 kappa), e = D^T y - lambda c,
// where |x'|_2 <= kappa ||D x'||_p. A step costs m k (k + 13) flops.
LpOutcome LpSolver::interior_point(const double* c0, double* x, Workspace& work) const {
  const int64_t n = rows_, k = columns_, K = D_.count;
  const Interior s{.r = work.row(r),
                   .u = work.row(u),
                   .v = work.row(v),
                   .y = work.row(dual),
                   .alpha = work.row(alpha),
                   .beta = work.row(beta),
                   .theta = work.row(theta),
                   .tu = work.row(tu),
                   .tv = work.row(tv),
                   .g = work.row(g),
                   .Dx = work.row(Dx),
                   .dy = work.row(dy),
                   .du = work.row(du),
                   .dv = work.row(dv),
                   .dalpha = work.row(dalpha),
                   .dbeta = work.row(dbeta),
                   .ia = work.row(ia),
                   .ib = work.row(ib),
                   .iu = work.row(iu),
                   .iv = work.row(iv),
                   .pu = work.row(pu),
                   .pv = work.row(pv)};
  double *H = work.matrix(0), *L = work.matrix(1), *c = work.vector(2), *zc = work.vector(3);
  double *rhs = work.vector(4), *next = work.vector(5), *error = work.vector(6);
  double *shift = work.vector(7), *Dty = work.vector(8);
  std::fill(c, work.vector(9), 0.0);

  LpOutcome out;
  for (int64_t i = 0; i < k; ++i) x[i] = c0[i];
  multiply(D_, x, s.r);
  const double unit = largest(s.r, n);
  if (unit == 0) return out;
  for (int64_t i = 0; i < k; ++i) x[i] /= unit, c[i] = c0[i] * unit;
  multiply(D_, x, s.r);
  interior_start(s, n, p_, 0.1);
  double lambda = 0;
  const auto count = 2 * static_cast<double>(n);

  // x+ and dy for the right-hand side in tu, tv, g; returns dlambda.
  const auto solve_step = [&](const double* infeasible) {
    multiply_transposed(D_, s.g, rhs);
    for (int64_t i = 0; i < k; ++i) rhs[i] += infeasible[i];
    cholesky_solve(L, k, K, rhs, next);
    double dlambda = (1 - dot(c, next, k)) / dot(c, zc, k);
    for (int64_t i = 0; i < k; ++i) next[i] += dlambda * zc[i];
    multiply(D_, next, s.Dx);
    interior_dual_step(s, n);
    return dlambda;
  };
  const auto refine = [&](const double* infeasible, double& dlambda) {
    multiply_transposed(D_, s.dy, error);
    for (int64_t i = 0; i < k; ++i) error[i] = infeasible[i] + dlambda * c[i] - error[i];
    cholesky_solve(L, k, K, error, shift);
    const double more = -dot(c, shift, k) / dot(c, zc, k);
    dlambda += more;
    for (int64_t i = 0; i < k; ++i) shift[i] += more * zc[i], next[i] += shift[i];
    multiply(D_, shift, s.Dx);
    add_product(s.theta, s.Dx, n, s.dy);
  };

  double* infeasible = work.vector(9);
  std::fill(infeasible, infeasible + K, 0.0);
  double best = std::numeric_limits<double>::infinity();
  int worse = 0;
  for (out.steps = 0; out.steps < options_.max_steps; ++out.steps) {
    const auto now = interior_affine(s, n, p_);
    if (!std::isfinite(now.gap)) break;
    if (now.gap <= 0.1 * options_.tolerance * now.cost) {
      out.converged = true;
      break;
    }
    worse = now.gap < 0.9 * best ? 0 : worse + 1;
    best = std::min(best, now.gap);
    if (worse > 8) break;
    weighted_gram(D_, s.theta, H);
    if (!regularised_cholesky(H, k, K, L)) break;
    cholesky_solve(L, k, K, c, zc);
    multiply_transposed(D_, s.y, Dty);
    for (int64_t i = 0; i < k; ++i) infeasible[i] = lambda * c[i] - Dty[i];

    solve_step(infeasible);
    const auto affine = interior_step(s, n, p_);
    double primal = 1 / std::max(affine.primal, 1.0), along = 1 / std::max(affine.dual, 1.0);
    if (p_ > 1) primal = along = std::min(primal, along);
    const double ratio = interior_gap_after(s, n, primal, along) / now.gap;
    interior_corrector(s, n, ratio * ratio * ratio * now.gap / count);
    double dlambda = solve_step(infeasible);
    refine(infeasible, dlambda);
    refine(infeasible, dlambda);
    const auto reach = interior_step(s, n, p_);
    const double keep = p_ > 1 ? 0.995 : 0.9995;
    primal = std::min(1.0, keep / std::max(reach.primal, 1e-300));
    along = std::min(1.0, keep / std::max(reach.dual, 1e-300));
    if (p_ > 1) primal = along = std::min(primal, along);
    interior_move(s, n, primal, along);
    lambda += along * dlambda;
    for (int64_t i = 0; i < k; ++i) x[i] += primal * (next[i] - x[i]);
  }

  // The last correction: y moves where it is free to, inside the box, until D^T y = lambda c.
  for (int pass = 0; pass < 3; ++pass) {
    multiply_transposed(D_, s.y, error);
    for (int64_t i = 0; i < k; ++i) error[i] = lambda * c[i] - error[i];
    repair_weights(s.y, n, std::max(largest(s.y, n), 1.0), 1e-9, s.theta);
    weighted_gram(D_, s.theta, H);
    if (!regularised_cholesky(H, k, K, L)) break;
    cholesky_solve(L, k, K, error, shift);
    multiply(D_, shift, s.Dx);
    add_product(s.theta, s.Dx, n, s.y);
  }
  multiply_transposed(D_, s.y, error);
  for (int64_t i = 0; i < k; ++i) error[i] -= lambda * c[i];

  const double inverse = 1 / dot(c, x, k);
  for (int64_t i = 0; i < k; ++i) x[i] *= inverse;
  multiply(D_, x, s.r);
  out.value = norm(s.r);
  const double most = largest(s.y, n);
  // p = 1: q is infinite. p <= 2: |x|_2 <= ||D x||_2 / smallest <= ||D x||_p / smallest.
  const double dual_size =
      p_ == 1 ? most : most * std::pow(power_sum(s.y, n, p_ / (p_ - 1), most), 1 - 1 / p_);
  const double slack = std::sqrt(dot(error, error, k)) / std::max(smallest_, 1e-300);
  out.lower = lambda > 0 ? std::min(out.value, lambda / (dual_size + slack)) : 0;
  for (int64_t i = 0; i < k; ++i) x[i] *= unit;
  out.value *= unit;
  out.lower *= unit;
  if (out.gap() <= std::max(options_.tolerance, 1e-14)) out.converged = true;
  return out;
}

}  // namespace ritz::rows::detail
