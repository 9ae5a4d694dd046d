// Lewis weights, sensitivities and l_1 regression.
//
// BM_lewis / BM_gram: Lewis weights at n = 1e6, d = 50, p = 1 beside one Gram product A^T A by GEMM
// of the same matrix (goal: at most 2 x 30 of them). BM_exact: all sensitivities, n = 2000, d = 10;
// its peer is bench/peers/lp_sensitivity_peers.py. BM_approximate: n = 1e5, d = 20, 1000 rows of
// it, times a hundred (goal: within a minute for p = 1.5 on two cores). BM_l1_regression: n = 1e5.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/rows/lp_sensitivity.h"

namespace {

using ritz::Tensor;

Tensor matrix(int64_t n, int64_t d) {
  return ritz::RandomStream(1, ritz::stream_id("bench/rows")).normal({n, d}, torch::kFloat64);
}

void BM_gram(benchmark::State& state) {
  const auto A = matrix(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(A.t().mm(A));
}
BENCHMARK(BM_gram)->Args({1000000, 50})->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_lewis(benchmark::State& state) {
  const auto A = matrix(state.range(0), state.range(1));
  for (auto _ : state) {
    const auto found = ritz::rows::lewis_weights(A, {.p = 1});
    state.counters["steps"] = static_cast<double>(found.steps);
    state.counters["residual"] = found.residual;
  }
}
BENCHMARK(BM_lewis)
    ->Args({1000000, 50})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

void BM_exact(benchmark::State& state) {
  const auto A = matrix(state.range(0), state.range(1));
  const double p = static_cast<double>(state.range(2)) / 10;
  for (auto _ : state) {
    const auto found =
        ritz::rows::lp_sensitivities(A, {.p = p, .method = ritz::rows::SensitivityMethod::exact});
    state.counters["gap"] = found.gap;
  }
}
BENCHMARK(BM_exact)
    ->Args({2000, 10, 10})
    ->Args({2000, 10, 15})
    ->Args({2000, 10, 40})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

void BM_approximate(benchmark::State& state) {
  const auto basis = ritz::rows::row_basis(matrix(state.range(0), state.range(1)));
  const double p = static_cast<double>(state.range(2)) / 10;
  const auto some = torch::arange(0, state.range(0), state.range(3));
  for (auto _ : state) {
    const auto found = ritz::rows::lp_sensitivities_of(
        basis, some, {.p = p, .method = ritz::rows::SensitivityMethod::approximate});
    state.counters["sample"] = static_cast<double>(found.sample_rows);
  }
}
BENCHMARK(BM_approximate)
    ->Args({100000, 20, 10, 100})
    ->Args({100000, 20, 15, 1})
    ->Args({100000, 20, 40, 100})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

void BM_l1_regression(benchmark::State& state) {
  const auto A = matrix(state.range(0), state.range(1));
  const auto b = matrix(state.range(0), 1).squeeze(1);
  for (auto _ : state) {
    const auto fit = ritz::rows::lp_regression(A, b, {.p = 1});
    state.counters["gap"] = fit.gap;
    state.counters["steps"] = static_cast<double>(fit.steps);
  }
}
BENCHMARK(BM_l1_regression)
    ->Args({100000, 20})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
