#include "ritz/sketch/hutchinson.h"

#include <torch/types.h>

#include "ritz/sketch/detail/trace_samples.h"

namespace ritz {
namespace {

void check(const LinearOperator& A, const HutchinsonOptions& options) {
  sketch::detail::check_square(A);
  check_at_least("probes", options.probes, 1);
  check_at_least("block", options.block, 0);
}

// Calls use(Z, A Z) for blocks of probes in order.
template <typename Use>
void for_each_block(const LinearOperator& A, const HutchinsonOptions& options, const Use& use) {
  const int64_t block = options.block ? options.block : options.probes;
  for (int64_t first = 0; first < options.probes; first += block) {
    const int64_t count = std::min(block, options.probes - first);
    const auto Z = probe_block(options.kind, A.cols(), count, A.options(), options.seed,
                               "hutchinson/probe", first);
    use(Z, sketch::detail::finite_apply(A, Z));
  }
}

}  // namespace

TraceEstimate hutchinson_trace(const LinearOperator& A, const HutchinsonOptions& options) {
  check(A, options);
  const at::NoGradGuard no_grad;
  std::vector<Tensor> samples;
  for_each_block(A, options, [&](const Tensor& Z, const Tensor& AZ) {
    samples.push_back(sketch::detail::column_dots(Z, AZ));
  });
  const auto all = at::cat(samples);
  return {all.mean().item<double>(), sketch::detail::standard_error(all), options.probes};
}

// Sums of p = conj(z) A z and q = |z|^2, p taken relative to the first block's estimate d0 (p - d0
// q), so that the sum of squared deviations loses nothing to cancellation.
DiagonalEstimate hutchinson_diagonal(const LinearOperator& A, const HutchinsonOptions& options) {
  check(A, options);
  const at::NoGradGuard no_grad;
  Tensor d0, sum_p, sum_q, sum_pp, sum_pq, sum_qq;  // [n], double
  for_each_block(A, options, [&](const Tensor& Z, const Tensor& AZ) {
    auto p = sketch::detail::wide(Z.conj() * AZ);
    const auto q = sketch::detail::wide(Z.abs().square());
    if (!d0.defined()) {
      d0 = p.sum(1) / q.sum(1);
      const auto zero = at::zeros_like(q.select(1, 0));
      sum_p = at::zeros_like(d0);
      sum_q = zero.clone(), sum_pp = zero.clone(), sum_qq = zero.clone();
      sum_pq = at::zeros_like(d0);
    }
    p = p - d0.unsqueeze(1) * q;
    sum_p += p.sum(1);
    sum_q += q.sum(1);
    sum_pp += p.abs().square().sum(1);
    sum_pq += (p * q).sum(1);
    sum_qq += q.square().sum(1);
  });
  const auto shift = sum_p / sum_q;
  DiagonalEstimate result;
  result.value = (d0 + shift).to(A.options());
  result.products = options.probes;
  if (const auto k = static_cast<double>(options.probes); options.probes > 1) {
    const auto squares =
        sum_pp - 2 * at::real(shift.conj() * sum_pq) + shift.abs().square() * sum_qq;
    const auto error = (squares.clamp_min(0) * (k / (k - 1))).sqrt() / sum_q;
    result.standard_error = error.to(c10::toRealValueType(result.value.scalar_type()));
  }
  return result;
}

}  // namespace ritz
