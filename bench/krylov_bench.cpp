// Reorthogonalisation and its memory: P = 1e6, 100 steps, float32.
//
// BM_reorthogonalise: the kernel on a basis of 100 rows. BM_two_gemvs_a_pass: the same by
// libtorch's own matrix-vector products, two a pass, two passes: the time it is measured against
// (goal: <= 1.3). BM_lanczos: 100 steps on a diagonal operator; `memory_over_basis` is the peak of
// resident memory above what the process held before, over the size of the basis (goal: <= 1.1).
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <fstream>
#include <string>

#include "ritz/base/random.h"
#include "ritz/krylov/density.h"
#include "ritz/krylov/detail/orthogonalise.h"
#include "ritz/krylov/lanczos.h"
#include "ritz/linop/diagonal.h"

namespace {

using ritz::Tensor;

constexpr int64_t kRows = 100;

Tensor basis_of(int64_t n) {
  auto Q = ritz::detail::allocate_basis(1, kRows, n, torch::kFloat32)[0];
  ritz::RandomStream random(1, ritz::stream_id("bench/krylov"));
  for (int64_t i = 0; i < kRows; ++i) random.fill_uniform(Q[i], -1, 1);
  return Q.mul_(std::sqrt(3.0 / static_cast<double>(n)));
}

void BM_reorthogonalise(benchmark::State& state) {
  const auto Q = basis_of(state.range(0));
  const auto w = torch::ones({state.range(0)});
  for (auto _ : state) ritz::detail::orthogonalise(Q, {}, w);
}
BENCHMARK(BM_reorthogonalise)->Arg(1000000)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_two_gemvs_a_pass(benchmark::State& state) {
  const auto Q = basis_of(state.range(0));
  const auto w = torch::ones({state.range(0)});
  for (auto _ : state) {
    for (int pass = 0; pass < 2; ++pass) w.addmv_(Q.t(), Q.mv(w), 1, -1);
  }
}
BENCHMARK(BM_two_gemvs_a_pass)->Arg(1000000)->Unit(benchmark::kMillisecond)->UseRealTime();

// Bytes of a line of /proc/self/status ("VmHWM:", "VmRSS:").
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::stod(line.substr(key.size())) * 1024;
  }
  return 0;
}

void BM_lanczos(benchmark::State& state) {
  const int64_t n = state.range(0);
  const ritz::DiagonalOperator A(torch::linspace(0, 1, n));
  ritz::lanczos(A, {.steps = 2});               // wakes threads and caches
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts from here
  const double before = status_bytes("VmRSS:");
  for (auto _ : state) benchmark::DoNotOptimize(ritz::lanczos(A, {.steps = kRows}));
  const double basis = static_cast<double>((kRows + 1) * n) * sizeof(float);
  state.counters["memory_over_basis"] = (status_bytes("VmHWM:") - before) / basis;
}
BENCHMARK(BM_lanczos)->Arg(1000000)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

// Eight probes of 60 steps each on a small operator: what a density costs beside its products.
void BM_density(benchmark::State& state) {
  const ritz::DiagonalOperator A(torch::linspace(0, 1, state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        ritz::spectral_density(ritz::spectral_quadrature(A, {.steps = 60, .probes = 8})));
  }
}
BENCHMARK(BM_density)->Arg(1000)->Arg(100000)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
