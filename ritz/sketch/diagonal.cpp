#include "ritz/sketch/diagonal.h"

#include <torch/types.h>

#include <cmath>
#include <numeric>

#include "ritz/base/check.h"
#include "ritz/sketch/detail/trace_samples.h"
#include "ritz/sketch/probes.h"

namespace ritz {
namespace {

/// Mean and squared deviations of samples that come in blocks [..., k] (Chan, Golub and LeVeque
/// 1983): nothing is lost to cancellation however large the mean.
class Moments {
 public:
  void add(const Tensor& samples) {
    const auto k = static_cast<double>(samples.size(-1));
    const Tensor mean = samples.mean(-1), deviation = samples - mean.unsqueeze(-1);
    const Tensor squares = deviation.square().sum(-1);
    if (count_ == 0) {
      mean_ = mean;
      squares_ = squares;
    } else {
      const Tensor step = mean - mean_;
      mean_ = mean_ + step * (k / (count_ + k));
      squares_ = squares_ + squares + step.square() * (count_ * k / (count_ + k));
    }
    count_ += k;
  }
  const Tensor& mean() const { return mean_; }
  /// Of the mean; NaN for one sample.
  Tensor error() const { return (squares_ / ((count_ - 1) * count_)).sqrt(); }

 private:
  double count_ = 0;
  Tensor mean_, squares_;
};

/// [n, k] -> [blocks, k]
Tensor means_of_blocks(const Tensor& values, const std::vector<int64_t>& lengths) {
  std::vector<Tensor> means;
  for (const Tensor& block : values.split_with_sizes(lengths, 0)) means.push_back(block.mean(0));
  return at::stack(means);
}

void check(const LinearOperator& A, const DiagonalOptions& options) {
  sketch::detail::check_square(A);
  check_at_least("samples", options.samples, 1);
  check_non_negative("tolerance", options.tolerance);
  check_at_least("block", options.block, 0);
  if (options.exact && A.rows() > kExactDiagonalLimit) {
    throw InvalidArgument("exact", "an order of at most " + std::to_string(kExactDiagonalLimit),
                          std::to_string(A.rows()));
  }
  for (const int64_t length : options.blocks) check_at_least("blocks", length, 1);
  const int64_t sum = std::accumulate(options.blocks.begin(), options.blocks.end(), int64_t{0});
  if (!options.blocks.empty() && sum != A.rows()) {
    throw InvalidArgument("blocks", "lengths that sum to " + std::to_string(A.rows()),
                          std::to_string(sum));
  }
}

OperatorDiagonal exact_diagonal(const LinearOperator& A, const DiagonalOptions& options) {
  const int64_t n = A.rows(), block = options.block ? options.block : 64;
  Tensor diagonal = at::empty({n}, A.options().dtype(at::kDouble));
  double squares = 0;
  for (int64_t first = 0; first < n; first += block) {
    const int64_t count = std::min(block, n - first);
    Tensor unit = at::zeros({n, count}, A.options());
    unit.narrow(0, first, count).fill_diagonal_(1);
    const Tensor columns = sketch::detail::wide(sketch::detail::finite_apply(A, unit));
    diagonal.narrow(0, first, count).copy_(columns.narrow(0, first, count).diagonal());
    squares += columns.square().sum().item<double>();
  }
  OperatorDiagonal result{.trace = diagonal.sum().item<double>(),
                          .frobenius = std::sqrt(squares),
                          .samples = n,
                          .exact = true};
  if (!options.blocks.empty()) {
    result.block_means =
        means_of_blocks(diagonal.unsqueeze(1), options.blocks).squeeze(1).to(A.options());
    result.block_means_se = at::zeros_like(result.block_means);
  }
  result.diagonal = diagonal.to(A.options());
  result.diagonal_se = at::zeros_like(result.diagonal);
  return result;
}

}  // namespace

OperatorDiagonal estimate_diagonal(const LinearOperator& A, const DiagonalOptions& options) {
  check(A, options);
  const at::NoGradGuard no_graph;
  if (options.exact) return exact_diagonal(A, options);
  const int64_t block = options.block ? options.block : 8;
  Moments diagonal, means, trace, squares;
  int64_t taken = 0;
  while (taken < options.samples) {
    const int64_t count = std::min(block, options.samples - taken);
    const Tensor Z = probe_block(ProbeKind::rademacher, A.cols(), count, A.options(), options.seed,
                                 "diagonal/probe", taken);
    const Tensor AZ = sketch::detail::finite_apply(A, Z);
    const Tensor D = sketch::detail::wide(Z * AZ);
    diagonal.add(D);
    if (!options.blocks.empty()) means.add(means_of_blocks(D, options.blocks));
    trace.add(D.sum(0));
    squares.add(D.square().sum(0));  // |A z|^2: signs drop out
    taken += count;
    if (options.tolerance > 0 && taken > block &&
        trace.error().item<double>() <= options.tolerance * std::abs(trace.mean().item<double>())) {
      break;
    }
  }
  OperatorDiagonal result{.diagonal = diagonal.mean().to(A.options()),
                          .diagonal_se = diagonal.error().to(A.options()),
                          .trace = trace.mean().item<double>(),
                          .trace_se = trace.error().item<double>(),
                          .frobenius = std::sqrt(squares.mean().item<double>()),
                          .samples = taken};
  // d sqrt(s) = ds / (2 sqrt(s))
  result.frobenius_se =
      result.frobenius > 0 ? squares.error().item<double>() / (2 * result.frobenius) : 0;
  if (!options.blocks.empty()) {
    result.block_means = means.mean().to(A.options());
    result.block_means_se = means.error().to(A.options());
  }
  return result;
}

}  // namespace ritz
