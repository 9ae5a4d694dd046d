// gemm beside libtorch's mm, in float32, over square, tall and thin shapes; items are
// multiply-adds.
//
//     build/release/bench/gemm_bench --benchmark_enable_random_interleaving=true
//     --benchmark_repetitions=5
//
// Arguments: m, k, n, threads.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "ritz/base/gemm.h"

namespace {

void product(benchmark::State& state, ritz::GemmBackend backend) {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  at::set_num_threads(static_cast<int>(state.range(3)));
  const auto a = at::ones({m, k}), b = at::ones({k, n});
  for (auto _ : state) benchmark::DoNotOptimize(ritz::gemm_by(backend, a, b));
  state.SetItemsProcessed(state.iterations() * m * k * n);
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const int64_t threads : {1, 2}) {
    for (const int64_t s : {128, 256, 512, 1024, 2048, 4096}) bench->Args({s, s, s, threads});
    for (const auto& [m, k, n] : {std::array<int64_t, 3>{2048, 784, 128},
                                  {16384, 128, 64},
                                  {4096, 4096, 16},
                                  {16, 4096, 4096},
                                  {4096, 16, 4096},
                                  {2048, 64, 10},
                                  {2048, 784, 1024},
                                  {1024, 2048, 784},
                                  {64, 64, 64}})
      bench->Args({m, k, n, threads});
  }
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}

BENCHMARK_CAPTURE(product, gemm, ritz::GemmBackend::automatic)->Apply(shapes);
BENCHMARK_CAPTURE(product, kernel, ritz::GemmBackend::kernel)->Apply(shapes);
BENCHMARK_CAPTURE(product, onednn, ritz::GemmBackend::onednn)->Apply(shapes);
BENCHMARK_CAPTURE(product, mm, ritz::GemmBackend::mm)->Apply(shapes);

}  // namespace

BENCHMARK_MAIN();
