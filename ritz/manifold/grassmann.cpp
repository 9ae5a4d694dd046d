#include "ritz/manifold/grassmann.h"

#include <torch/types.h>

#include <numbers>

#include "ritz/manifold/detail/thin.h"

namespace ritz::manifold::grassmann {

Tensor project(const Tensor& X, const Tensor& Z) {
  detail::check_pair(X, "Z", Z);
  return Z - X.matmul(X.mH().matmul(Z));
}

Tensor inner(const Tensor& V, const Tensor& W) {
  detail::check_pair(V, "W", W);
  return at::real(V.conj() * W).sum({-2, -1});
}

Tensor exponential(const Tensor& X, const Tensor& V) {
  detail::check_pair(X, "V", V);
  const auto svd = detail::thin_svd(V);
  const auto cosines = svd.s.cos().unsqueeze(-2), sines = svd.s.sin().unsqueeze(-2);
  const auto Y = (X.matmul(svd.W) * cosines + svd.U * sines).matmul(svd.W.mH());
  // Where V has not full rank, the columns of U that go with s = 0 need not be orthogonal to X, but
  // come with sin 0.
  return Y;
}

Tensor logarithm(const Tensor& X, const Tensor& Y) {
  detail::check_pair(X, "Y", Y);
  const auto [q, cosines, rh] = at::linalg_svd(Y.mH().matmul(X), /*full_matrices=*/false);
  const auto aligned = Y.matmul(q).matmul(rh);  // the basis of Y's span nearest to X
  const auto svd = detail::thin_svd(project(X, aligned));
  // Singular values and vectors come in pairs with those of the cosines, in reverse order: sin^2 +
  // cos^2 = 1.
  const auto sines = svd.s.clamp_max(1);
  const auto angles =
      at::where(sines < std::numbers::sqrt2 / 2, sines.asin(), cosines.flip(-1).clamp(0, 1).acos());
  return (svd.U * angles.unsqueeze(-2)).matmul(svd.W.mH());
}

Tensor parallel_transport(const Tensor& X, const Tensor& V, const Tensor& W) {
  detail::check_pair(X, "V", V);
  detail::check_pair(X, "W", W);
  const auto svd = detail::thin_svd(V);
  const auto cosines = svd.s.cos().unsqueeze(-2), sines = svd.s.sin().unsqueeze(-2);
  const auto turned = svd.U * (cosines - 1) - X.matmul(svd.W) * sines;
  return W + turned.matmul(svd.U.mH().matmul(W));
}

Tensor transport(const Tensor& Y, const Tensor& W) {
  return project(Y, W);
}

Tensor principal_angles(const Tensor& X, const Tensor& Y) {
  detail::check_point(X);
  detail::check_point(Y);
  check_options("Y", Y, X.options());
  if (X.size(-2) != Y.size(-2)) {
    throw InvalidArgument("Y", std::to_string(X.size(-2)) + " rows", describe(Y));
  }
  if (Y.size(-1) > X.size(-1)) return principal_angles(Y, X);
  const auto product = X.mH().matmul(Y);
  const auto cosines = at::linalg_svdvals(product).clamp_max(1);  // descending: angles ascending
  const auto sines = detail::thin_svd(Y - X.matmul(product)).s.flip(-1).clamp_max(1);
  return at::where(sines < std::numbers::sqrt2 / 2, sines.asin(), cosines.acos());
}

Tensor distance(const Tensor& X, const Tensor& Y) {
  return at::linalg_vector_norm(principal_angles(X, Y), 2, {-1});
}

Tensor chordal_distance(const Tensor& X, const Tensor& Y) {
  return at::linalg_vector_norm(principal_angles(X, Y).sin(), 2, {-1});
}

}  // namespace ritz::manifold::grassmann
