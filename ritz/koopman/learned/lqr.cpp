#include "ritz/koopman/learned/lqr.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::koopman::learned {

Lqr lqr(const Tensor& K, const Tensor& B, const Tensor& Q, const Tensor& R,
        const LqrOptions& options) {
  check_floating("K", K);
  check_dim("K", K, 2);
  check_dim("B", B, 2);
  const int64_t d = K.size(0), m = B.size(1);
  check_shape("K", K, {d, d});
  check_shape("B", B, {d, m});
  check_shape("Q", Q, {d, d});
  check_shape("R", R, {m, m});
  for (const auto& [name, matrix] : {std::pair("B", B), std::pair("Q", Q), std::pair("R", R)}) {
    check_options(name, matrix, K.options());
  }
  for (const auto& [name, matrix] :
       {std::pair("K", K), std::pair("B", B), std::pair("Q", Q), std::pair("R", R)}) {
    check_finite(name, matrix);
  }
  const at::NoGradGuard no_graph;
  const double tolerance = std::max(options.tolerance, K.scalar_type() == at::kFloat ? 1e-6 : 0.0);
  const Tensor one = at::eye(d, K.options());
  const auto [factor, failed] = at::linalg_cholesky_ex(R);
  if (failed.item<int64_t>() != 0) throw InvalidArgument("R", "positive definite", "not");
  Tensor A = K, G = B.mm(at::cholesky_solve(B.t(), factor)), P = Q;
  Lqr result;
  bool settled = false;
  while (result.doublings < options.max_doublings && !settled) {
    const Tensor WA = at::linalg_solve(one + G.mm(P), A);  // (I + G P)^{-1} A
    const Tensor WG = at::linalg_solve(one + G.mm(P), G);
    const Tensor change = A.t().mm(P).mm(WA);
    G = G + A.mm(WG).mm(A.t());
    G = (G + G.t()) / 2;
    A = A.mm(WA);
    P = P + (change + change.t()) / 2;
    ++result.doublings;
    const double size = P.norm().item<double>();
    if (!std::isfinite(size)) break;
    settled = change.norm().item<double>() <= tolerance * size;
  }
  if (!settled) {
    throw NotConverged("lqr: expected a cost that settles, found growth after " +
                       std::to_string(result.doublings) +
                       " doublings (an unstable mode that no action reaches?)");
  }
  const Tensor PB = P.mm(B);
  result.gain = at::linalg_solve(R + B.t().mm(PB), PB.t().mm(K));
  result.cost = P;
  const Tensor defect = Q + K.t().mm(P).mm(K) - K.t().mm(PB).mm(result.gain) - P;
  result.residual = (defect.norm() / P.norm().clamp_min(1e-300)).item<double>();
  result.closed_loop_radius = at::linalg_eigvals(K - B.mm(result.gain)).abs().max().item<double>();
  return result;
}

}  // namespace ritz::koopman::learned
