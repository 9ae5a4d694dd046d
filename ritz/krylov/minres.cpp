#include "ritz/krylov/minres.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/krylov/detail/columns.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {
namespace {

using detail::Scalars;

// The scalars of one column: Lanczos (alpha, beta) and the QR factorisation of its tridiagonal
// matrix by plane rotations (cs, sn), in the notation of Paige and Saunders' own program.
struct Column {
  double beta = 0, old_beta = 0;
  double dbar = 0, epsilon = 0, old_epsilon = 0, delta = 0, gamma = 1;
  double cs = -1, sn = 0;
  double phi = 0, phibar = 0;
  double norm = 0;  // estimate of |A|
  bool active = true;
};

}  // namespace

// Invariants, a column: A V_j = V_j T_j + beta_{j+1} v_{j+1} e_j^T in the inner product of M;
// phibar is |b - A x| in the norm of M. Cost an iteration beside the products: 18 n flops a column,
// one synchronisation for alpha and one for beta.
SolveResult minres(const LinearOperator& A, const Tensor& b, const SolveOptions& options) {
  detail::check_solve(A, options);
  const auto B = detail::block_of("b", b, A.rows(), A.options());
  const auto k = static_cast<size_t>(B.size(1));
  const int64_t limit = options.max_iterations > 0 ? options.max_iterations : 10 * A.rows();
  const double eps = detail::epsilon(A.options());
  const double breakdown = eps * std::sqrt(static_cast<double>(A.rows()));
  // |A r| <= this |A| |r|: r is in the null space as far as the recursion (which loses
  // orthogonality) can see, and x a least-squares solution. Further steps would blow x up along the
  // null space.
  const double normal_tolerance = std::sqrt(eps);
  const auto precondition = [&](const Tensor& r) {
    return options.preconditioner ? options.preconditioner->apply(r).contiguous() : r;
  };

  auto x = torch::zeros_like(B);
  auto r2 = B.clone();
  if (options.x0.defined()) {
    x = detail::block_of("x0", options.x0, A.rows(), A.options()).clone();
    if (x.sizes() != B.sizes()) {
      throw InvalidArgument("x0", std::to_string(k) + " columns", std::to_string(x.size(1)));
    }
    r2 -= A.apply(x);
  }
  auto y = precondition(r2);
  const auto start = detail::column_dots(r2, y);
  const auto size = detail::column_dots(B, precondition(B));

  SolveResult out;
  out.stop.assign(k, Stop::max_iterations);
  out.residuals.resize(k);
  std::vector<Column> columns(k);
  Scalars goal(k);
  size_t going = k;
  const auto finish = [&](size_t j, Stop why) {
    out.stop[j] = why;
    columns[j].active = false;
    --going;
  };
  for (size_t j = 0; j < k; ++j) {
    auto& c = columns[j];
    goal[j] = std::max(options.rtol * std::sqrt(std::max(size[j], 0.0)), options.atol);
    c.beta = std::sqrt(std::max(start[j], 0.0));
    c.phibar = c.beta;
    out.residuals[j].push_back(c.beta);
    if (start[j] < 0) {
      finish(j, Stop::not_positive_definite);
    } else if (c.beta <= goal[j]) {
      finish(j, Stop::converged);
    }
  }

  auto r1 = torch::zeros_like(B), w = torch::zeros_like(B), w1 = torch::zeros_like(B);
  Scalars a(k), c2(k);
  // a_j = f(column) where it is active, else 0: a column that is done takes part in no update.
  const auto each = [&](Scalars& values, auto f) -> const Scalars& {
    for (size_t j = 0; j < k; ++j) values[j] = columns[j].active ? f(columns[j]) : 0;
    return values;
  };
  while (going > 0 && out.iterations < limit) {
    auto v = y.clone();
    detail::scale_columns(v, each(a, [](const Column& c) { return 1 / c.beta; }));
    y = A.apply(v).clone(at::MemoryFormat::Contiguous);
    ++out.iterations;
    if (out.iterations > 1) {
      detail::add_columns(y, each(a, [](const Column& c) { return -c.beta / c.old_beta; }), r1);
    }
    const auto alpha = detail::column_dots(v, y);
    for (size_t j = 0; j < k; ++j) c2[j] = columns[j].active ? -alpha[j] / columns[j].beta : 0;
    detail::add_columns(y, c2, r2);
    r1 = r2;
    r2 = y;
    y = precondition(r2);
    const auto beta2 = detail::column_dots(r2, y);

    for (size_t j = 0; j < k; ++j) {
      auto& c = columns[j];
      if (!c.active) continue;
      if (!std::isfinite(alpha[j]) || !std::isfinite(beta2[j])) {
        throw NotConverged("minres: the operator's product is not finite in iteration " +
                           std::to_string(out.iterations));
      }
      c.old_beta = c.beta;
      c.beta = std::sqrt(std::max(beta2[j], 0.0));
      c.norm = std::max({c.norm, std::abs(alpha[j]), c.beta});
      if (c.beta <= breakdown * c.norm) c.beta = 0;
      c.old_epsilon = c.epsilon;
      c.delta = c.cs * c.dbar + c.sn * alpha[j];
      const double gbar = c.sn * c.dbar - c.cs * alpha[j];
      c.epsilon = c.sn * c.beta;
      c.dbar = -c.cs * c.beta;
      const double root = std::hypot(gbar, c.dbar);  // |A r| / |r| of the step before
      c.gamma = std::hypot(gbar, c.beta);
      if (beta2[j] < 0 && -beta2[j] > eps * c.norm * c.norm) {
        finish(j, Stop::not_positive_definite);
      } else if (root <= normal_tolerance * c.norm || c.gamma <= breakdown * c.norm) {
        finish(j, Stop::singular);
      } else {
        c.cs = gbar / c.gamma;
        c.sn = c.beta / c.gamma;
        c.phi = c.cs * c.phibar;
        c.phibar = c.sn * c.phibar;
      }
    }
    // w_j = (v - old_epsilon w_{j-2} - delta w_{j-1}) / gamma ; x += phi w_j
    detail::add_columns(v, each(a, [](const Column& c) { return -c.old_epsilon; }), w1);
    detail::add_columns(v, each(a, [](const Column& c) { return -c.delta; }), w);
    detail::scale_columns(v, each(a, [](const Column& c) { return 1 / c.gamma; }));
    w1 = w;
    w = v;
    detail::add_columns(x, each(a, [](const Column& c) { return c.phi; }), w);
    for (size_t j = 0; j < k; ++j) {
      auto& c = columns[j];
      if (!c.active) continue;
      out.residuals[j].push_back(c.phibar);
      if (c.phibar <= goal[j]) {
        finish(j, Stop::converged);
      } else if (c.beta == 0) {
        finish(j, Stop::singular);
      }
    }
  }
  out.x = detail::shape_like(x, b);
  detail::conclude("minres", out, options.require_converged);
  return out;
}

}  // namespace ritz
