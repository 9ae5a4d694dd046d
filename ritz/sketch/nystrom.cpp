#include "ritz/sketch/nystrom.h"

#include <torch/types.h>

#include "ritz/sketch/detail/trace_samples.h"

namespace ritz {

Tensor NystromApproximation::factor() const {
  return U * eigenvalues.sqrt();
}

NystromApproximation nystrom(const LinearOperator& A, const NystromOptions& options) {
  sketch::detail::check_square(A);
  check_at_least("rank", options.rank, 1);
  check_at_least("oversampling", options.oversampling, 0);
  const at::NoGradGuard no_grad;
  const int64_t n = A.rows();
  const int64_t width = std::min(options.rank + options.oversampling, n);
  const auto W = std::get<0>(at::linalg_qr(
      probe_block(ProbeKind::gaussian, n, width, A.options(), options.seed, "nystrom/probe")));
  auto Y = sketch::detail::finite_apply(A, W);
  const bool wide = c10::toRealValueType(Y.scalar_type()) == at::kDouble;
  const double eps =
      wide ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();

  NystromApproximation result;
  result.products = width;
  result.shift = eps * at::linalg_vector_norm(Y).item<double>();
  // The core W^H A W, [width, width] in double, symmetric up to rounding. Rounding in a product
  // with A may make it indefinite by a few shifts; more than that is A's own.
  auto core = sketch::detail::wide(W.mH().matmul(Y));
  core = 0.5 * (core + core.mH());
  const double lowest = at::linalg_eigvalsh(core).min().item<double>();
  if (lowest < -1e3 * result.shift) {
    throw InvalidArgument("A", "a positive semi-definite operator",
                          "x^H A x = " + number_text(lowest) + " for a unit x");
  }
  // An operator that is zero still needs some shift; Cholesky's own rounding may need a larger one.
  double& shift = result.shift;
  shift = std::max({shift, -2 * lowest, 1e-30});
  auto [C, failed] = at::linalg_cholesky_ex(core + at::eye(width, core.options()).mul(shift));
  for (int attempt = 0; attempt < 6 && failed.item<int>() != 0; ++attempt) {
    shift *= 10;
    std::tie(C, failed) = at::linalg_cholesky_ex(core + at::eye(width, core.options()).mul(shift));
  }
  Y = Y + shift * W;
  // B C^H = Y
  const auto B =
      at::linalg_solve_triangular(C.mH().to(Y.scalar_type()), Y, /*upper=*/true, /*left=*/false);
  check_finite("A x", B);
  const auto [U, s, Vh] = at::linalg_svd(B, /*full_matrices=*/false);
  const int64_t rank = std::min(options.rank, width);
  result.U = U.narrow(1, 0, rank);
  result.eigenvalues = (s.narrow(0, 0, rank).square() - shift).clamp_min(0);
  return result;
}

std::shared_ptr<LowRankDiagonalOperator> nystrom_preconditioner(const NystromApproximation& A,
                                                                double mu) {
  check_positive("mu", mu);
  const at::NoGradGuard no_grad;
  const auto last = A.eigenvalues[-1];
  const auto scale = (last + mu) / (A.eigenvalues + mu) - 1;
  const auto ones = at::ones({A.U.size(0)}, A.U.options());
  return std::make_shared<LowRankDiagonalOperator>(ones, A.U * scale, A.U);
}

}  // namespace ritz
