#include "ritz/krylov/lsqr.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/krylov/detail/columns.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {
namespace {

using detail::Scalars;

// The scalars of one column, in the notation of Paige and Saunders (1982).
struct Column {
  double alpha = 0, beta = 0;
  double rhobar = 0, phibar = 0;
  double step = 0;  // x += step w
  double turn = 0;  // w <- v + turn w
  double rho = 1;
  double b_norm = 0;
  double damped = 0;    // sum of psi^2: the residual's part that the damping adds
  double norm2 = 0;     // estimate of |A|_F^2
  double inverse2 = 0;  // estimate of |A^-1|_F^2
  double residual = 0;
  double normal = 0;
  bool active = true;
};

double inverse_or_zero(double value) {
  return value > 0 ? 1 / value : 0;
}

void check(const LinearOperator& A, const LsqrOptions& options) {
  check_at_least("A's rows", A.rows(), 1);
  check_at_least("A's columns", A.cols(), 1);
  check_non_negative("atol", options.atol);
  check_non_negative("btol", options.btol);
  check_non_negative("conlim", options.conlim);
  check_non_negative("damp", options.damp);
  check_at_least("max_iterations", options.max_iterations, 0);
}

// One step of the QR factorisation of the bidiagonal matrix by plane rotations, the first for the
// damping.
void rotate(Column& c, double damp) {
  const double rhobar1 = std::hypot(c.rhobar, damp);
  const double psi = rhobar1 > 0 ? damp / rhobar1 * c.phibar : 0;
  const double phibar1 = rhobar1 > 0 ? c.rhobar / rhobar1 * c.phibar : c.phibar;
  c.rho = std::hypot(rhobar1, c.beta);
  const double cs = rhobar1 / c.rho, sn = c.beta / c.rho;
  const double theta = sn * c.alpha, phi = cs * phibar1;
  c.rhobar = -cs * c.alpha;
  c.phibar = sn * phibar1;
  c.step = phi / c.rho;
  c.turn = -theta / c.rho;
  c.damped += psi * psi;
  c.residual = std::sqrt(c.phibar * c.phibar + c.damped);
  c.normal = c.alpha * std::abs(sn * phi);
}

}  // namespace

// Invariants, a column, U and V orthonormal in exact arithmetic, B lower bidiagonal (alpha, beta):
// A V_j = U_{j+1} B_j,  A^H U_{j+1} = V_j B_j^T + alpha_{j+1} v_{j+1} e_{j+1}^T.
LsqrResult lsqr(const LinearOperator& A, const Tensor& b, const LsqrOptions& options) {
  check(A, options);
  auto u = detail::block_of("b", b, A.rows(), A.options()).clone();
  const auto k = static_cast<size_t>(u.size(1));
  const int64_t limit =
      options.max_iterations > 0 ? options.max_iterations : 4 * std::min(A.rows(), A.cols()) + 100;
  const double eps = detail::epsilon(A.options());
  std::vector<Column> columns(k);
  Scalars a(k);
  const auto each = [&](auto f) -> const Scalars& {
    for (size_t j = 0; j < k; ++j) a[j] = columns[j].active ? f(columns[j]) : 0;
    return a;
  };

  LsqrResult out;
  out.stop.assign(k, Stop::max_iterations);
  out.residuals.resize(k);
  size_t going = k;
  const auto finish = [&](size_t j, Stop why) {
    out.stop[j] = why;
    columns[j].active = false;
    --going;
  };

  auto norms = detail::column_norms(u);
  for (size_t j = 0; j < k; ++j) columns[j].beta = columns[j].b_norm = columns[j].phibar = norms[j];
  detail::scale_columns(u, each([](const Column& c) { return inverse_or_zero(c.beta); }));
  auto v = A.apply_adjoint(u).clone(at::MemoryFormat::Contiguous);
  norms = detail::column_norms(v);
  for (size_t j = 0; j < k; ++j) columns[j].alpha = columns[j].rhobar = norms[j];
  detail::scale_columns(v, each([](const Column& c) { return inverse_or_zero(c.alpha); }));
  auto w = v.clone();
  auto x = torch::zeros_like(v);
  for (size_t j = 0; j < k; ++j) {
    auto& c = columns[j];
    c.residual = c.b_norm;
    c.normal = c.alpha * c.beta;
    out.residuals[j].push_back(c.b_norm);
    if (c.b_norm == 0) {
      finish(j, Stop::converged);
    } else if (c.alpha == 0) {
      finish(j, Stop::least_squares);  // b is orthogonal to the range: x = 0 is the answer
    }
  }

  while (going > 0 && out.iterations < limit) {
    ++out.iterations;
    detail::scale_columns(u, each([](const Column& c) { return -c.alpha; }));
    u.add_(A.apply(v));
    norms = detail::column_norms(u);
    for (size_t j = 0; j < k; ++j) {
      auto& c = columns[j];
      if (!c.active) continue;
      c.norm2 += c.alpha * c.alpha + norms[j] * norms[j] + options.damp * options.damp;
      c.beta = norms[j];
    }
    detail::scale_columns(u, each([](const Column& c) { return inverse_or_zero(c.beta); }));
    detail::scale_columns(v, each([](const Column& c) { return -c.beta; }));
    v.add_(A.apply_adjoint(u));
    norms = detail::column_norms(v);
    const auto w_norms = detail::column_norms(w);
    for (size_t j = 0; j < k; ++j) {
      auto& c = columns[j];
      if (!c.active) continue;
      if (!std::isfinite(norms[j]) || !std::isfinite(c.beta)) {
        throw NotConverged("lsqr: the operator's product is not finite in iteration " +
                           std::to_string(out.iterations));
      }
      c.alpha = norms[j];
      rotate(c, options.damp);
      c.inverse2 += w_norms[j] * w_norms[j] / (c.rho * c.rho);
    }
    detail::scale_columns(v, each([](const Column& c) { return inverse_or_zero(c.alpha); }));
    detail::add_columns(x, each([](const Column& c) { return c.step; }), w);
    detail::scale_columns(w, each([](const Column& c) { return c.turn; }));
    w.add_(v);

    const auto x_norms = detail::column_norms(x);
    for (size_t j = 0; j < k; ++j) {
      auto& c = columns[j];
      if (!c.active) continue;
      out.residuals[j].push_back(c.residual);
      const double norm = std::sqrt(c.norm2);
      const double condition = norm * std::sqrt(c.inverse2);
      // No tolerance below rounding can be met.
      const double atol = std::max(options.atol, eps), btol = std::max(options.btol, eps);
      const double conlim = options.conlim > 0 ? std::min(options.conlim, 1 / eps) : 1 / eps;
      if (c.residual <= btol * c.b_norm + atol * norm * x_norms[j]) {
        finish(j, Stop::converged);
      } else if (c.normal <= atol * norm * c.residual) {
        finish(j, Stop::least_squares);
      } else if (condition >= conlim) {
        finish(j, Stop::condition_limit);
      }
    }
  }

  out.converged = true;
  for (size_t j = 0; j < k; ++j) {
    const auto& c = columns[j];
    out.normal_residual.push_back(c.normal);
    out.norm.push_back(std::sqrt(c.norm2));
    out.condition.push_back(std::sqrt(c.norm2 * c.inverse2));
    const bool good = out.stop[j] == Stop::converged || out.stop[j] == Stop::least_squares;
    out.converged = out.converged && good;
    if (!good && options.require_converged) {
      throw NotConverged("lsqr: column " + std::to_string(j) + " ended as " +
                         std::string(stop_name(out.stop[j])) + " after " +
                         std::to_string(out.iterations) + " iterations");
    }
  }
  out.x = detail::shape_like(x, b);
  return out;
}

}  // namespace ritz
