#include "ritz/rows/lp_sensitivity/sensitivity.h"

#include <torch/types.h>

#include <cmath>
#include <mutex>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/parallel.h"
#include "ritz/base/random.h"
#include "ritz/rows/lp_sensitivity/detail/exponent.h"
#include "ritz/rows/lp_sensitivity/detail/lp_solver.h"
#include "ritz/rows/lp_sensitivity/lewis.h"
#include "ritz/rows/lp_sensitivity/sampling.h"

namespace ritz::rows {
namespace {

constexpr int64_t kExactUpTo = 5000;
constexpr int64_t kBlock = 1024;  // rows between two looks at the clock

SensitivityMethod method_for(const RowBasis& basis, const SensitivityOptions& options) {
  if (options.method != SensitivityMethod::automatic) return options.method;
  return basis.rows.size(0) <= kExactUpTo ? SensitivityMethod::exact
                                          : SensitivityMethod::approximate;
}

// The minimisation that all rows share: over every row (exact) or a weighted Lewis sample.
class Minimiser {
 public:
  Minimiser(const RowBasis& basis, const SensitivityOptions& options, bool exact) {
    Tensor rows = basis.rows;
    if (!exact) {
      const int64_t m = options.sample_rows > 0 ? options.sample_rows
                                                : default_sample_rows(basis.rank, options.p);
      if (m < rows.size(0)) {
        const auto lewis = lewis_weights(basis, {.p = options.p, .tolerance = 1e-3});
        const auto q = fixed_size_probabilities(lewis.weights, static_cast<double>(m));
        const auto seed = options.seed ^ stream_id("sensitivity/sample");
        const auto sample = draw_sample(q, Sampler::bernoulli, seed);
        rows = detail::take_rows(rows, sample.indices, sample.weights.pow(1 / options.p));
        sampled_ = true;
      }
    } else if (basis.zero_rows > 0) {
      rows = rows.index_select(0, rows.ne(0).any(1).nonzero().squeeze(1));
    }
    inner_ = row_basis(rows);
    const auto F = detail::inverse_factor(detail::weighted_gram(inner_.rows));
    map_ = inner_.map.mm(F);
    const auto D = inner_.rows.to(torch::kFloat64).mm(F).cpu();
    complete_ = inner_.rank == basis.rank;
    solver_ = std::make_unique<detail::LpSolver>(
        D, options.p,
        detail::LpSolverOptions{.tolerance = options.tolerance, .max_steps = options.max_steps});
  }

  int64_t rows() const { return solver_->rows(); }
  bool sampled() const { return sampled_; }

  /// Sensitivities of the vectors c [k, r] (basis coordinates) into sigma [k] on the CPU, their
  /// directions into x [k, r] where it is defined.
  void solve(const Tensor& c, double p, const Tensor& sigma, const Tensor& x,
             Sensitivities& report) const {
    const int64_t k = c.size(0);
    const auto coordinates = c.mm(map_).cpu().contiguous();
    const auto outside = complete_ ? Tensor() : outside_row_space(inner_, c).gt(1e-9).cpu();
    const auto directions =
        torch::zeros({x.defined() ? k : 1, solver_->columns()}, torch::kFloat64);
    const double* from = coordinates.data_ptr<double>();
    double* out = sigma.data_ptr<double>();
    const bool* left_out = outside.defined() ? outside.data_ptr<bool>() : nullptr;
    const int64_t r = solver_->columns();
    std::mutex guard;
    parallel_for(0, k, 1, [&](int64_t begin, int64_t end) {
      detail::LpSolver::Workspace work(*solver_);
      std::vector<double> point(static_cast<size_t>(r));
      double gap = 0;
      int64_t solves = 0, unconverged = 0, beyond = 0;
      for (int64_t i = begin; i < end; ++i) {
        if (interrupted()) break;
        double size = 0;
        for (int64_t j = 0; j < r; ++j) size = std::max(size, std::abs(from[i * r + j]));
        if (left_out != nullptr && left_out[i]) {
          out[i] = 1;
          ++beyond;
          continue;
        }
        if (size == 0) {
          out[i] = 0;
          continue;
        }
        const auto found = solver_->solve(from + i * r, point.data(), work);
        ++solves;
        unconverged += found.converged ? 0 : 1;
        gap = std::max(gap, found.gap());
        out[i] = found.value > 0 ? std::min(1.0, std::pow(found.value, -p)) : 1;
        if (x.defined())
          std::copy(point.begin(), point.end(), directions.data_ptr<double>() + i * r);
      }
      const std::lock_guard<std::mutex> lock(guard);
      report.gap = std::max(report.gap, gap);
      report.solves += solves;
      report.unconverged += unconverged;
      report.outside += beyond;
    });
    check_interrupt("sensitivities");
    if (x.defined()) x.copy_(directions.mm(map_.t().cpu()));
  }

 private:
  RowBasis inner_;
  Tensor map_;  // [r, r']: x = map z for the whitened z
  bool complete_ = true, sampled_ = false;
  std::unique_ptr<detail::LpSolver> solver_;
};

void finish(Sensitivities& result) {
  result.total = result.sigma.sum().item<double>();
  result.largest = result.sigma.size(0) > 0 ? result.sigma.max().item<double>() : 0;
}

// Sheet 2.2 d: for the maximiser x of a row a_j, a random-sign sum b of its bucket has |b x| >=
// |a_j x| with probability at least 1/2 (whatever the other signs are, one of the two of a_j does
// it), so the largest of K draws falls short with probability 2^-K; and sigma(b)^(1/p) is at most
// the sum of the bucket's. K = log2 n draws.
void solve_buckets(const RowBasis& basis, const SensitivityOptions& options,
                   const Minimiser& minimiser, const Tensor& sigma, Sensitivities& result) {
  const int64_t n = basis.rows.size(0), size = options.bucket;
  const int64_t buckets = (n + size - 1) / size;
  const auto draws = static_cast<int64_t>(std::ceil(std::log2(static_cast<double>(n) + 1)));
  const auto order = RandomStream(options.seed, stream_id("sensitivity/buckets")).permutation(n);
  const auto best = torch::zeros({buckets}, torch::kFloat64);
  const auto found = torch::empty({buckets}, torch::kFloat64);
  const auto rows = basis.rows.to(torch::kFloat64);
  const auto bucket_of = torch::arange(n).div(size, "floor");
  for (int64_t draw = 0; draw < draws; ++draw) {
    RandomStream random(options.seed, stream_id("sensitivity/signs", static_cast<uint64_t>(draw)));
    const auto signs = random.rademacher({n, 1}, rows.options());
    auto sums = torch::zeros({buckets, rows.size(1)}, rows.options());
    sums.index_add_(0, bucket_of.to(rows.device()),
                    rows.index_select(0, order.to(rows.device())) * signs);
    minimiser.solve(sums, options.p, found, {}, result);
    torch::maximum_out(const_cast<Tensor&>(best), best, found);
    if (options.progress) options.progress(draw + 1, draws);
  }
  sigma.index_copy_(0, order, best.index_select(0, bucket_of));
  sigma.masked_fill_(rows.ne(0).any(1).logical_not().cpu(), 0);
}

}  // namespace

int64_t default_sample_rows(int64_t d, double p) {
  const auto size = static_cast<double>(d);
  const double growth = std::max(1.0, std::pow(size, p / 2 - 1));
  const double rows = 20 * size * growth * std::max(1.0, std::log(size));
  return std::max<int64_t>(1000, static_cast<int64_t>(std::ceil(rows)));
}

Sensitivities lp_sensitivities(const Tensor& A, const SensitivityOptions& options) {
  detail::check_exponent(options.p);
  return lp_sensitivities(row_basis(A), options);
}

Sensitivities lp_sensitivities(const RowBasis& basis, const SensitivityOptions& options) {
  return lp_sensitivities_of(basis, {}, options);
}

Sensitivities lp_sensitivities_of(const RowBasis& basis, const Tensor& index,
                                  const SensitivityOptions& options) {
  const double p = options.p;
  detail::check_exponent(p);
  check_positive("tolerance", options.tolerance);
  check_at_least("max_steps", options.max_steps, 1);
  check_at_least("sample_rows", options.sample_rows, 0);
  check_at_least("bucket", options.bucket, 1);
  const torch::NoGradGuard no_grad;
  const int64_t n = basis.rows.size(0);
  Sensitivities result;
  result.rank = basis.rank;
  result.method = method_for(basis, options);
  const auto chosen = [&](const Tensor& all) {
    return index.defined() ? all.index_select(0, index.to(all.device())) : all;
  };
  const auto without_solving = [&](const Tensor& all) {
    result.sigma = chosen(all.clamp_max(1));
    result.gap = std::numeric_limits<double>::quiet_NaN();
    finish(result);
    return result;
  };
  const double share = std::pow(static_cast<double>(basis.rank), p / 2 - 1);
  if (result.method == SensitivityMethod::lewis_bound)
    return without_solving(lewis_weights(basis, {.p = p}).weights * std::max(1.0, share));
  if (result.method == SensitivityMethod::leverage_bound)
    return without_solving(leverage_scores(basis).pow(p / 2) *
                           std::max(1.0, std::pow(static_cast<double>(n), p / 2 - 1)));
  if (p == 2 && !options.witnesses) {
    without_solving(leverage_scores(basis));
    result.method = SensitivityMethod::exact;
    result.gap = 0;
    return result;
  }

  const Minimiser minimiser(basis, options, result.method == SensitivityMethod::exact);
  result.sample_rows = minimiser.rows();
  if (result.method == SensitivityMethod::approximate && !minimiser.sampled())
    result.method = SensitivityMethod::exact;  // the sample would have held every row
  const int64_t count = index.defined() ? index.size(0) : n;
  const auto sigma = torch::zeros({count}, torch::kFloat64);
  if (result.method == SensitivityMethod::bucketed) {
    const auto all = torch::zeros({n}, torch::kFloat64);
    solve_buckets(basis, options, minimiser, all, result);
    result.sigma = chosen(all).to(basis.rows.device());
    finish(result);
    return result;
  }
  auto directions =
      options.witnesses ? torch::zeros({count, basis.rows.size(1)}, torch::kFloat64) : Tensor();
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    const auto rows = index.defined() ? basis.rows.index_select(
                                            0, index.slice(0, begin, end).to(basis.rows.device()))
                                      : basis.rows.slice(0, begin, end);
    minimiser.solve(rows.to(torch::kFloat64), p, sigma.slice(0, begin, end),
                    options.witnesses ? directions.slice(0, begin, end) : Tensor(), result);
    if (options.progress) options.progress(end, count);
  }
  result.sigma = sigma.to(basis.rows.device());
  if (options.witnesses) result.witnesses = directions.to(basis.map.device()).mm(basis.map.t());
  finish(result);
  return result;
}

TotalSensitivity total_sensitivity(const RowBasis& basis, const Tensor& lewis,
                                   const SensitivityOptions& options, int64_t samples) {
  check_shape("lewis", lewis, {basis.rows.size(0)});
  check_at_least("samples", samples, 0);
  const torch::NoGradGuard no_grad;
  TotalSensitivity result;
  result.samples =
      samples > 0 ? samples
                  : std::max<int64_t>(64, static_cast<int64_t>(8 * std::sqrt(double(basis.rank))));
  const auto weights = lewis.cpu();
  const auto cumulated = weights.cumsum(0);
  const double all = cumulated[-1].item<double>();
  RandomStream random(options.seed, stream_id("sensitivity/total"));
  const auto drawn =
      torch::searchsorted(cumulated, random.uniform({result.samples}, torch::kFloat64) * all,
                          /*out_int32=*/false, /*right=*/true)
          .clamp_max(weights.size(0) - 1);
  const auto found = lp_sensitivities_of(basis, drawn, options);
  result.gap = found.gap;
  const auto ratio = found.sigma.cpu() * all / weights.index_select(0, drawn);
  result.value = ratio.mean().item<double>();
  if (result.samples > 1)
    result.standard_error =
        ratio.std().item<double>() / std::sqrt(static_cast<double>(result.samples));
  return result;
}

MaximumSensitivity maximum_sensitivity(const RowBasis& basis, const Tensor& lewis,
                                       const SensitivityOptions& options, int64_t limit) {
  check_shape("lewis", lewis, {basis.rows.size(0)});
  check_at_least("limit", limit, 1);
  const torch::NoGradGuard no_grad;
  const double share = std::pow(static_cast<double>(basis.rank), options.p / 2 - 1);
  const auto bound = (lewis.cpu() * std::max(1.0, share)).clamp_max(1);
  const int64_t n = bound.size(0);
  const auto [sorted, order] = bound.sort(0, /*descending=*/true);
  MaximumSensitivity result;
  result.upper = sorted[0].item<double>();
  for (int64_t begin = 0, step = 16; begin < std::min(n, limit); step *= 2) {
    const int64_t end = std::min({n, limit, begin + step});
    const auto some = lp_sensitivities_of(basis, order.slice(0, begin, end), options);
    result.solves += some.solves;
    result.gap = std::max(result.gap, some.gap);
    if (some.largest > result.lower) {
      result.lower = some.largest;
      result.row = order[begin + some.sigma.argmax().item<int64_t>()].item<int64_t>();
    }
    const double next = end < n ? sorted[end].item<double>() : 0;
    result.upper = std::max(result.lower, next);
    if (next <= result.lower) break;
    begin = end;
  }
  return result;
}

}  // namespace ritz::rows
