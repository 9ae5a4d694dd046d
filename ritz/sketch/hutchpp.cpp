#include "ritz/sketch/hutchpp.h"

#include <torch/types.h>

#include "ritz/sketch/detail/trace_samples.h"

namespace ritz {

TraceEstimate hutchpp_trace(const LinearOperator& A, const HutchppOptions& options) {
  sketch::detail::check_square(A);
  check_at_least("products", options.products, 3);
  check_at_least("block", options.block, 0);
  const at::NoGradGuard no_grad;
  const int64_t n = A.rows();
  const int64_t rank = std::min(options.products / 3, n);
  const auto S = probe_block(options.kind, n, rank, A.options(), options.seed, "hutchpp/subspace");
  const auto Q = std::get<0>(at::linalg_qr(sketch::detail::finite_apply(A, S)));
  TraceEstimate result;
  result.value =
      sketch::detail::column_dots(Q, sketch::detail::finite_apply(A, Q)).sum().item<double>();
  result.products = 2 * rank;
  if (rank == n) {  // Q spans everything: nothing is left to estimate
    result.standard_error = 0;
    return result;
  }
  const int64_t probes = options.products - 2 * rank;
  const int64_t block = options.block ? options.block : probes;
  std::vector<Tensor> samples;
  for (int64_t first = 0; first < probes; first += block) {
    const int64_t count = std::min(block, probes - first);
    auto G = probe_block(options.kind, n, count, A.options(), options.seed, "hutchpp/probe", first);
    G = G - Q.matmul(Q.mH().matmul(G));
    // (I - Q Q^H) need not be applied again on the left: G is orthogonal to Q.
    samples.push_back(sketch::detail::column_dots(G, sketch::detail::finite_apply(A, G)));
  }
  const auto all = at::cat(samples);
  result.value += all.mean().item<double>();
  result.standard_error = sketch::detail::standard_error(all);
  result.products += probes;
  return result;
}

}  // namespace ritz
