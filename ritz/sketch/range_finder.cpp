#include "ritz/sketch/range_finder.h"

#include <torch/types.h>

#include <numbers>

#include "ritz/sketch/detail/trace_samples.h"

namespace ritz {
namespace {

Tensor orthonormal(const Tensor& Y) {
  check_finite("A x", Y);
  return std::get<0>(at::linalg_qr(Y));
}

}  // namespace

RangeBasis range_finder(const LinearOperator& A, const RangeFinderOptions& options) {
  check_at_least("rank", options.rank, 1);
  check_at_least("oversampling", options.oversampling, 0);
  check_at_least("power_iterations", options.power_iterations, 0);
  check_at_least("error_probes", options.error_probes, 0);
  const at::NoGradGuard no_grad;
  const int64_t width = std::min({options.rank + options.oversampling, A.rows(), A.cols()});
  RangeBasis result;
  const auto G = probe_block(ProbeKind::gaussian, A.cols(), width, A.options(), options.seed,
                             "range_finder/probe");
  result.Q = orthonormal(A.apply(G));
  for (int64_t i = 0; i < options.power_iterations; ++i) {
    result.Q = orthonormal(A.apply(orthonormal(A.apply_adjoint(result.Q))));
  }
  result.products = width * (1 + 2 * options.power_iterations);
  if (options.error_probes > 0) {
    const auto probes = probe_block(ProbeKind::gaussian, A.cols(), options.error_probes,
                                    A.options(), options.seed, "range_finder/error");
    auto rest = sketch::detail::finite_apply(A, probes);
    rest = rest - result.Q.matmul(result.Q.mH().matmul(rest));
    const double largest = at::linalg_vector_norm(rest, 2, {0}).max().item<double>();
    result.error_bound = 10 * std::sqrt(2 / std::numbers::pi) * largest;
    result.products += options.error_probes;
  }
  return result;
}

RandomizedSvd randomized_svd(const LinearOperator& A, const RangeFinderOptions& options) {
  const auto range = range_finder(A, options);
  const at::NoGradGuard no_grad;
  const auto B = A.apply_adjoint(range.Q);  // A^H Q = V S U_small^H
  check_finite("A^H x", B);
  const auto [V, S, Uh] = at::linalg_svd(B, /*full_matrices=*/false);
  const int64_t k = std::min(options.rank, S.numel());
  RandomizedSvd result;
  result.U = range.Q.matmul(Uh.narrow(0, 0, k).mH());
  result.S = S.narrow(0, 0, k);
  result.V = V.narrow(1, 0, k);
  result.error_bound = range.error_bound;
  result.products = range.products + range.Q.size(1);
  return result;
}

}  // namespace ritz
