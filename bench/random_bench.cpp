// Random fills beside libtorch's own generators and beside memset, the speed of memory; items are
// numbers.
//
//     build/release/bench/random_bench --benchmark_enable_random_interleaving=true
//     --benchmark_repetitions=5
//
// Arguments: numbers, threads. 2^16 float32 lie in the second cache, 2^24 in memory.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <cstring>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"

namespace {

template <typename Fill>
void filling(benchmark::State& state, at::ScalarType type, const Fill& fill) {
  ritz::set_threads(static_cast<int>(state.range(1)));
  const auto x = at::zeros({state.range(0)}, type);
  for (auto _ : state) {
    fill(x);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(x.nbytes()));
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (const int64_t threads : {1, 2}) {
    for (const int64_t n : {1 << 16, 1 << 24}) bench->Args({n, threads});
  }
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void memory(benchmark::State& state, at::ScalarType type) {
  filling(state, type, [](const at::Tensor& x) { std::memset(x.data_ptr(), 1, x.nbytes()); });
}
void ritz_normal(benchmark::State& state, at::ScalarType type) {
  ritz::RandomStream random(1);
  filling(state, type, [&](const at::Tensor& x) { random.fill_normal(x); });
}
void torch_normal(benchmark::State& state, at::ScalarType type) {
  filling(state, type, [](const at::Tensor& x) { x.normal_(); });
}
void ritz_uniform(benchmark::State& state, at::ScalarType type) {
  ritz::RandomStream random(1);
  filling(state, type, [&](const at::Tensor& x) { random.fill_uniform(x); });
}
void torch_uniform(benchmark::State& state, at::ScalarType type) {
  filling(state, type, [](const at::Tensor& x) { x.uniform_(); });
}
void ritz_rademacher(benchmark::State& state, at::ScalarType type) {
  ritz::RandomStream random(1);
  filling(state, type, [&](const at::Tensor& x) { random.fill_rademacher(x); });
}
void torch_bernoulli(benchmark::State& state, at::ScalarType type) {
  filling(state, type, [](const at::Tensor& x) { x.bernoulli_(0.5).mul_(2).sub_(1); });
}

#define RITZ_BOTH_TYPES(name)                                 \
  BENCHMARK_CAPTURE(name, float32, at::kFloat)->Apply(sizes); \
  BENCHMARK_CAPTURE(name, float64, at::kDouble)->Apply(sizes)
RITZ_BOTH_TYPES(memory);
RITZ_BOTH_TYPES(ritz_normal);
RITZ_BOTH_TYPES(torch_normal);
RITZ_BOTH_TYPES(ritz_uniform);
RITZ_BOTH_TYPES(torch_uniform);
RITZ_BOTH_TYPES(ritz_rademacher);
RITZ_BOTH_TYPES(torch_bernoulli);

void ritz_permutation(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ritz::RandomStream(1).permutation(state.range(0)));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
void torch_permutation(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(at::randperm(state.range(0), at::kLong));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ritz_permutation)->Arg(60000)->Arg(1 << 22)->Unit(benchmark::kMicrosecond);
BENCHMARK(torch_permutation)->Arg(60000)->Arg(1 << 22)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
