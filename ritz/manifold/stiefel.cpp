#include "ritz/manifold/stiefel.h"

#include <torch/types.h>

#include "ritz/manifold/detail/thin.h"

namespace ritz::manifold::stiefel {
namespace {

Tensor symmetric_part(const Tensor& M) {
  return 0.5 * (M + M.mH());
}

// exp(M) of a skew-Hermitian M by the eigenvalues of the Hermitian i M: unitary to rounding, where
// libtorch's matrix_exp leaves up to 1e-13 at norms just below those at which it changes degree.
Tensor exp_skew(const Tensor& M) {
  const c10::complex<double> i(0, 1);
  const auto complex = M.to(c10::toComplexType(M.scalar_type()));
  const auto [angles, U] = at::linalg_eigh(complex * i);
  const auto phases = at::polar(at::ones_like(angles), -angles);
  const auto result = (U * phases.unsqueeze(-2)).matmul(U.mH());
  return M.is_complex() ? result : at::real(result).contiguous();
}

}  // namespace

Tensor project(const Tensor& X, const Tensor& Z) {
  detail::check_pair(X, "Z", Z);
  return Z - X.matmul(symmetric_part(X.mH().matmul(Z)));
}

Tensor inner(const Tensor& X, const Tensor& V, const Tensor& W, StiefelMetric metric) {
  detail::check_pair(X, "V", V);
  detail::check_pair(X, "W", W);
  auto products = at::real(V.conj() * W).sum({-2, -1});
  if (metric == StiefelMetric::canonical) {
    const auto a = X.mH().matmul(V), b = X.mH().matmul(W);
    products = products - 0.5 * at::real(a.conj() * b).sum({-2, -1});
  }
  return products;
}

Tensor riemannian_gradient(const Tensor& X, const Tensor& G, StiefelMetric metric) {
  detail::check_pair(X, "G", G);
  if (metric == StiefelMetric::euclidean) return project(X, G);
  return G - X.matmul(G.mH().matmul(X));
}

Tensor exponential(const Tensor& X, const Tensor& V, StiefelMetric metric) {
  detail::check_pair(X, "V", V);
  const auto A = X.mH().matmul(V);
  // Q and R by the singular value decomposition, because a QR decomposition of a K without full
  // rank has columns in Q that are not orthogonal to X beside rows of R that are not zero.
  const auto svd = detail::thin_svd(V - X.matmul(A));
  const auto R = svd.s.unsqueeze(-1) * svd.W.mH();
  const double b = metric == StiefelMetric::canonical ? 0.5 : 1;
  const auto top = at::cat({2 * b * A, -R.mH()}, -1);
  const auto bottom = at::cat({R, at::zeros_like(R)}, -1);
  auto turn = exp_skew(at::cat({top, bottom}, -2)).narrow(-1, 0, A.size(-1));
  if (metric == StiefelMetric::euclidean) turn = turn.matmul(exp_skew(-A));
  return at::cat({X, svd.U}, -1).matmul(turn);
}

Tensor transport(const Tensor& Y, const Tensor& W) {
  return project(Y, W);
}

}  // namespace ritz::manifold::stiefel
