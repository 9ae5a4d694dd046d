#include "ritz/krylov/arnoldi.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/krylov/detail/orthogonalise.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {

ArnoldiResult arnoldi(const LinearOperator& op, const ArnoldiOptions& options) {
  detail::check_square("op", op);
  check_at_least("steps", options.steps, 1);
  const int64_t P = op.rows(), steps = std::min(options.steps, P);
  const double stop_at = detail::epsilon(op.options()) * std::sqrt(static_cast<double>(P));

  const auto Q = detail::allocate_basis(1, steps + 1, P, op.options())[0];
  if (options.start.defined()) {
    check_shape("start", options.start, {P});
    check_options("start", options.start, op.options());
    Q[0].copy_(options.start);
  } else {
    detail::fill_start(Q[0], options.seed, stream_id("arnoldi/start"), StartVector::gaussian);
  }
  detail::normalise("start", Q[0]);

  const bool complex = Q.is_complex();
  auto H = torch::zeros({steps + 1, steps}, complex ? torch::kComplexDouble : torch::kDouble);
  double scale = 0;  // the largest |A q| so far
  ArnoldiResult out;
  int64_t done = 0;
  while (done < steps && !out.invariant) {
    const auto w = Q[done + 1];
    w.copy_(op.apply(Q[done]));
    const auto found = detail::orthogonalise(Q.narrow(0, 0, done + 1), {}, w);
    const auto column = found.coefficients.cpu();
    const double tail = found.norm.item<double>();
    const double size = std::hypot(tail, at::linalg_vector_norm(column, 2).item<double>());
    if (!std::isfinite(size)) {
      throw NotConverged("arnoldi: the operator's product is not finite in step " +
                         std::to_string(done));
    }
    scale = std::max(scale, size);
    H.select(1, done).slice(0, 0, done + 1).copy_(column);
    H[done + 1][done] = tail;
    out.tail = tail;
    ++done;
    out.invariant = tail <= stop_at * scale;
    if (!out.invariant) w.div_(tail);
  }
  const int64_t rows = out.invariant ? done : done + 1;
  out.basis = Q.narrow(0, 0, rows);
  out.hessenberg = H.narrow(0, 0, rows).narrow(1, 0, done).contiguous();
  return out;
}

Tensor ArnoldiResult::ritz_values() const {
  const auto square = hessenberg.narrow(0, 0, hessenberg.size(1));
  const auto values = at::linalg_eigvals(square);
  return values.index_select(0, values.abs().argsort(0, true));
}

}  // namespace ritz
