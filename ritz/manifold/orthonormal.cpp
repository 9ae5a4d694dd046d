#include "ritz/manifold/orthonormal.h"

#include <torch/types.h>

#include "ritz/manifold/detail/thin.h"

namespace ritz::manifold {
namespace {

// Q of QR with the signs (complex: phases) that make R's diagonal positive.
Tensor unique_q(const Tensor& Y) {
  const auto qr = at::linalg_qr(Y);
  const auto diagonal = std::get<1>(qr).diagonal(0, -2, -1);
  auto phase = at::sgn(diagonal);
  phase = at::where(phase.abs() > 0, phase, at::ones_like(phase));
  return std::get<0>(qr) * phase.unsqueeze(-2);
}

}  // namespace

Tensor random_point(RandomStream& random, int64_t n, int64_t p, const TensorOptions& options,
                    at::IntArrayRef batch) {
  check_at_least("p", p, 1);
  check_at_least("n", n, p);
  auto shape = batch.vec();
  shape.insert(shape.end(), {n, p});
  return unique_q(random.normal(shape, options));
}

Tensor retract_qr(const Tensor& X, const Tensor& V) {
  detail::check_pair(X, "V", V);
  return unique_q(X + V);
}

Tensor retract_polar(const Tensor& X, const Tensor& V) {
  detail::check_pair(X, "V", V);
  const auto svd = detail::thin_svd(X + V);
  return svd.U.matmul(svd.W.mH());
}

double orthonormality_defect(const Tensor& X) {
  detail::check_point(X);
  const auto eye = at::eye(X.size(-1), X.options());
  return (X.mH().matmul(X) - eye).abs().max().item<double>();
}

}  // namespace ritz::manifold
