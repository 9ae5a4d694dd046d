#include "ritz/sketch/xtrace.h"

#include <torch/types.h>

#include "ritz/sketch/detail/trace_samples.h"

namespace ritz {

TraceEstimate xtrace(const LinearOperator& A, const XTraceOptions& options) {
  sketch::detail::check_square(A);
  check_at_least("products", options.products, 4);
  const at::NoGradGuard no_grad;
  const int64_t n = A.rows();
  const int64_t m = std::min(options.products / 2, n);
  const auto W = probe_block(ProbeKind::sphere, n, m, A.options(), options.seed, "xtrace/probe");
  const auto Y = sketch::detail::finite_apply(A, W);
  const auto qr = at::linalg_qr(Y);
  const auto& Q = std::get<0>(qr);
  const auto Z = sketch::detail::finite_apply(A, Q);

  // From here on [m, m] matrices in double.
  const auto R = sketch::detail::wide(std::get<1>(qr));
  const auto H = sketch::detail::wide(Q.mH().matmul(Z));  // Q^H A Q
  const auto C = sketch::detail::wide(Q.mH().matmul(W));  // Q^H w_i, by columns
  const auto T = sketch::detail::wide(Z.mH().matmul(W));  // (A Q)^H w_i
  TraceEstimate result;
  result.products = 2 * m;
  const auto traced = at::real(H.diagonal()).sum();
  if (m == n) {  // Q spans everything
    result.value = traced.item<double>();
    result.standard_error = 0;
    return result;
  }
  // Where Y has not full rank, R's vanishing diagonal is lifted to rounding level: then s_i lies
  // among the directions that carry nothing of A, and leaving them out changes nothing.
  const bool wide = c10::toRealValueType(Y.scalar_type()) == at::kDouble;
  const double eps =
      wide ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  const auto largest = R.abs().max();
  const auto size = at::where(largest > 0, largest, 1.0);
  const auto diagonal = R.diagonal();
  const auto lifted =
      at::where(diagonal.abs() < eps * size, (eps * size).to(R.scalar_type()), diagonal);
  const auto safe = R.triu(1) + at::diag(lifted);
  auto S = at::linalg_solve_triangular(safe.mH(), at::eye(m, R.options()), /*upper=*/false);
  S = S / at::linalg_vector_norm(S, 2, {0}, true);

  const auto in_s = S * (S.conj() * C).sum(0, true);  // s_i s_i^H Q^H w_i
  const auto U = C - in_s;                            // v_i = w_i - Q u_i
  const auto HS = sketch::detail::column_dots(S, H.matmul(S));
  // v^H A v = (c - u)^H r - t^H u + u^H H u, because A w = Q r
  const auto vAv = sketch::detail::column_dots(in_s, R) - sketch::detail::column_dots(T, U) +
                   sketch::detail::column_dots(U, H.matmul(U));
  const auto v_squared = static_cast<double>(n) - sketch::detail::column_dots(U, U);
  const auto estimates = traced - HS + static_cast<double>(n - m + 1) * vAv / v_squared;
  result.value = estimates.mean().item<double>();
  result.standard_error = sketch::detail::standard_error(estimates);
  return result;
}

}  // namespace ritz
