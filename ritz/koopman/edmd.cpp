#include "ritz/koopman/edmd.h"

#include <torch/types.h>

#include <numbers>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

using detail::complex128;

/// ||[A' - z_j; S] u_j|| / ||u_j|| for u [n, k].
Tensor orthonormal_residuals(const Reduction& reduction, const Tensor& values, const Tensor& u) {
  const Tensor inside = complex128(reduction.A).matmul(u) - u * values.unsqueeze(0);
  const Tensor outside = complex128(reduction.S).matmul(u);
  const Tensor square = inside.abs().square().sum(0) + outside.abs().square().sum(0);
  return square.sqrt() / at::linalg_vector_norm(u, 2, 0);
}

Eigenpairs from_orthonormal(const Reduction& reduction, const Tensor& values, const Tensor& u) {
  return {values, reduction.coefficients(u), orthonormal_residuals(reduction, values, u)};
}

/// The middle of the widest gap between angles.
double widest_gap(const Tensor& angles) {
  const Tensor sorted = std::get<0>(angles.sort());
  const int64_t n = sorted.size(0);
  const Tensor next =
      torch::cat({sorted.slice(0, 1), sorted.slice(0, 0, 1) + 2 * std::numbers::pi});
  const Tensor gaps = next - sorted;
  const int64_t at = gaps.argmax().item<int64_t>();
  return n == 0 ? 0 : sorted[at].item<double>() + gaps[at].item<double>() / 2;
}

}  // namespace

// Cost: 25 n^3 flops.
Eigenpairs edmd(const Reduction& reduction) {
  const auto [values, vectors] = at::linalg_eig(reduction.A);
  const Tensor order = std::get<1>(values.abs().sort(/*stable=*/true, 0, /*descending=*/true));
  return from_orthonormal(reduction, values.index_select(0, order), vectors.index_select(1, order));
}

Tensor measure_preserving_matrix(const Reduction& reduction) {
  // A' = U2 diag(s) U1^*: the same factors without the adjoint.
  const auto [u2, s, u1h] = at::linalg_svd(reduction.A, /*full_matrices=*/false);
  return u2.matmul(u1h);
}

UnitaryEigen unitary_eigen(const Tensor& O) {
  check_dim("O", O, 2);
  const Tensor wide = complex128(O);
  const int64_t n = O.size(0);
  const Tensor eye = torch::eye(n, wide.options());
  const double turn = widest_gap(at::linalg_eigvals(wide).angle()) - std::numbers::pi;
  const Tensor rotated = wide * c10::complex<double>(std::cos(turn), -std::sin(turn));
  // (I - U)(I + U)^{-1} commutes; solving from the left needs no transpose.
  const Tensor cayley = at::linalg_solve(eye + rotated, eye - rotated) * c10::complex<double>(0, 1);
  const Tensor vectors = std::get<1>(at::linalg_eigh((cayley + cayley.mH()) / 2));
  const Tensor quotients = (vectors.conj() * wide.matmul(vectors)).sum(0);
  const Tensor angles = quotients.angle();
  const Tensor order = std::get<1>(angles.sort());
  return {angles.index_select(0, order), vectors.index_select(1, order)};
}

Eigenpairs mpedmd(const Reduction& reduction) {
  const auto eigen = unitary_eigen(measure_preserving_matrix(reduction));
  const Tensor values = at::polar(torch::ones_like(eigen.angles), eigen.angles);
  return from_orthonormal(reduction, values, eigen.vectors);
}

Tensor residuals(const Reduction& reduction, const Tensor& values, const Tensor& vectors) {
  check_dim("vectors", vectors, 2);
  check_shape("vectors", vectors, {reduction.rank(), -1});
  check_shape("values", values, {vectors.size(1)});
  return orthonormal_residuals(reduction, complex128(values),
                               complex128(reduction.orthonormal(vectors)));
}

Tensor residuals_quadratic(const GramMatrices& gram, const Tensor& values, const Tensor& vectors) {
  const Tensor z = complex128(values), v = complex128(vectors);
  const auto form = [&](const Tensor& X) { return (v.conj() * complex128(X).matmul(v)).sum(0); };
  const Tensor g = at::real(form(gram.G));
  const Tensor square =
      at::real(form(gram.L)) - 2 * at::real(z.conj() * form(gram.A)) + z.abs().square() * g;
  return (square / g).clamp_min(0).sqrt();
}

Tensor koopman_modes(const Dictionary& dictionary, const Snapshots& snapshots,
                     const Reduction& reduction, const Eigenpairs& pairs, bool exact) {
  // With U = R V: the least-squares solution of PX V modes = X is U^{-1} R^{-*} PX^* W X.
  constexpr int64_t kBlock = 4096;
  const Tensor weights = snapshots.pair_weights().to(snapshots.states.device());
  const Tensor kept = reduction.kept.to(snapshots.states.device());
  Tensor product;
  for (int64_t begin = 0; begin < snapshots.pairs(); begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, snapshots.pairs());
    const Tensor psi = dictionary(snapshots.x(begin, end)).index_select(1, kept);
    const Tensor target =
        detail::float64(exact ? snapshots.y(begin, end) : snapshots.x(begin, end)) *
        weights.slice(0, begin, end).unsqueeze(1);
    const Tensor part = complex128(psi.mH()).matmul(complex128(target));
    product = product.defined() ? product + part : part;
  }
  const Tensor basis =
      at::linalg_solve_triangular(complex128(reduction.R).mH().contiguous(), product,
                                  /*upper=*/false);
  const Tensor modes = std::get<0>(at::linalg_lstsq(reduction.orthonormal(pairs.vectors), basis));
  if (!exact) return modes;
  const Tensor nonzero = pairs.values.abs() > 0;
  const Tensor inverse =
      at::where(nonzero, 1 / at::where(nonzero, pairs.values, torch::ones_like(pairs.values)),
                torch::zeros_like(pairs.values));
  return modes * inverse.unsqueeze(1);
}

VarianceFree variance_free_residuals(const Dictionary& dictionary, const Tensor& x,
                                     const Tensor& y1, const Tensor& y2, const Tensor& values,
                                     const Tensor& vectors) {
  check_shape("y1", y1, x.sizes());
  check_shape("y2", y2, x.sizes());
  check_shape("vectors", vectors, {dictionary.size(), values.size(0)});
  const Tensor v = complex128(vectors), z = complex128(values).unsqueeze(0);
  const Tensor g = complex128(dictionary(x)).matmul(v);
  const Tensor g1 = complex128(dictionary(y1)).matmul(v);
  const Tensor g2 = complex128(dictionary(y2)).matmul(v);
  const Tensor size = g.abs().square().mean(0);
  const Tensor cross = at::real(((g1 - z * g).conj() * (g2 - z * g)).mean(0));
  const Tensor variance = (g1 - g2).abs().square().mean(0) / 2;
  return {(cross / size).clamp_min(0).sqrt(), (variance / size).sqrt()};
}

}  // namespace ritz::koopman
