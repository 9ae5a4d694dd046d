#pragma once
// Small factorisations that both manifolds use; all are batched.
#include <torch/types.h>

#include <tuple>

#include "ritz/base/check_tensor.h"

namespace ritz::manifold::detail {

inline void check_point(const Tensor& X) {
  check_floating("X", X, /*complex=*/true);
  if (X.dim() < 2 || X.size(-2) < X.size(-1) || X.size(-1) < 1) {
    throw InvalidArgument("X", "shape [..., n, p] with n >= p >= 1", describe(X));
  }
}

inline void check_pair(const Tensor& X, const char* name, const Tensor& V) {
  check_point(X);
  check_shape(name, V, X.sizes());
  check_options(name, V, X.options());
}

/// Thin singular value decomposition K = U diag(s) W^H of a tall K [..., n, p], by QR first: the
/// SVD is of order p.
struct Thin {
  Tensor U;  // [..., n, p]
  Tensor s;  // [..., p]
  Tensor W;  // [..., p, p]
};
inline Thin thin_svd(const Tensor& K) {
  const auto qr = at::linalg_qr(K);
  const auto [u, s, wh] = at::linalg_svd(std::get<1>(qr), /*full_matrices=*/false);
  return {std::get<0>(qr).matmul(u), s, wh.mH()};
}

}  // namespace ritz::manifold::detail
