#include "ritz/krylov/cg.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/krylov/detail/columns.h"

namespace ritz {

using detail::Scalars;

// Hestenes and Stiefel 1952. Invariants, a column: r = b - A x (up to rounding), z = M r, p
// A-orthogonal to all earlier directions. Cost an iteration beside the products: 10 n flops and 12
// n words a column.
SolveResult cg(const LinearOperator& A, const Tensor& b, const SolveOptions& options) {
  detail::check_solve(A, options);
  const auto B = detail::block_of("b", b, A.rows(), A.options());
  const auto k = static_cast<size_t>(B.size(1));
  const int64_t limit = options.max_iterations > 0 ? options.max_iterations : 10 * A.rows();
  const auto precondition = [&](const Tensor& r) {
    return options.preconditioner ? options.preconditioner->apply(r).contiguous() : r;
  };

  auto x = torch::zeros_like(B);
  auto r = B.clone();
  if (options.x0.defined()) {
    x = detail::block_of("x0", options.x0, A.rows(), A.options()).clone();
    if (x.sizes() != B.sizes()) {
      throw InvalidArgument("x0", std::to_string(k) + " columns", std::to_string(x.size(1)));
    }
    r -= A.apply(x);
  }
  auto z = precondition(r);
  auto p = z.clone();
  auto rz = detail::column_dots(r, z);
  auto norms = detail::column_norms(r);

  SolveResult out;
  out.stop.assign(k, Stop::max_iterations);
  out.residuals.resize(k);
  std::vector<bool> active(k, true);
  Scalars goal = detail::column_norms(B);
  for (double& value : goal) value = std::max(options.rtol * value, options.atol);
  size_t going = k;
  const auto finish = [&](size_t j, Stop why) {
    out.stop[j] = why;
    active[j] = false;
    --going;
  };
  for (size_t j = 0; j < k; ++j) {
    out.residuals[j].push_back(norms[j]);
    if (norms[j] <= goal[j]) {
      finish(j, Stop::converged);
    } else if (!(rz[j] > 0)) {
      finish(j, Stop::not_positive_definite);
    }
  }

  Scalars alpha(k), minus_alpha(k), beta(k);
  while (going > 0 && out.iterations < limit) {
    const auto Ap = A.apply(p).contiguous();
    ++out.iterations;
    const auto pAp = detail::column_dots(p, Ap);
    for (size_t j = 0; j < k; ++j) {
      alpha[j] = 0;  // a column that is done stays where it is
      if (!active[j]) continue;
      if (!std::isfinite(pAp[j])) {
        throw NotConverged("cg: the operator's product is not finite in iteration " +
                           std::to_string(out.iterations));
      }
      if (pAp[j] > 0) {
        alpha[j] = rz[j] / pAp[j];
      } else {
        finish(j, Stop::not_positive_definite);
      }
    }
    for (size_t j = 0; j < k; ++j) minus_alpha[j] = -alpha[j];
    detail::add_columns(x, alpha, p);
    detail::add_columns(r, minus_alpha, Ap);
    z = precondition(r);
    const auto next = detail::column_dots(r, z);
    norms = options.preconditioner ? detail::column_norms(r) : next;
    for (size_t j = 0; j < k; ++j) {
      beta[j] = 0;
      if (!active[j]) continue;
      const double norm = options.preconditioner ? norms[j] : std::sqrt(next[j]);
      out.residuals[j].push_back(norm);
      if (norm <= goal[j]) {
        finish(j, Stop::converged);
      } else if (!(next[j] > 0)) {
        finish(j, Stop::not_positive_definite);
      } else {
        beta[j] = next[j] / rz[j];
        rz[j] = next[j];
      }
    }
    detail::scale_columns(p, beta);
    p.add_(z);
  }
  out.x = detail::shape_like(x, b);
  detail::conclude("cg", out, options.require_converged);
  return out;
}

}  // namespace ritz
