// MKOR's renewal beside what it replaces and beside bare memory traffic, and its iterations on a
// 6 x 1024 perceptron (K-FAC's: kfac_bench).
//
//   build/release/bench/mkor_bench --benchmark_filter=factor
//   build/release/bench/mkor_bench --benchmark_filter=iteration
//
// "triad" is x = y + s z over arrays of the factor's size: three words an entry, as a renewal reads
// its factor twice and writes it once.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "bench/perceptron.h"
#include "ritz/base/threads.h"
#include "ritz/optim/mkor.h"

namespace {

using at::Tensor;
using namespace ritz::optim;
using ritz::bench::Perceptron;

void triad(benchmark::State& state) {
  ritz::set_threads(1);
  const int64_t n = state.range(0) * state.range(0);
  const Tensor x = at::zeros({n}), y = at::ones({n}), z = at::ones({n});
  float *xp = x.data_ptr<float>(), *yp = y.data_ptr<float>(), *zp = z.data_ptr<float>();
  for (auto _ : state) {
    using Four = float __attribute__((vector_size(16)));
    for (int64_t i = 0; i < n; i += 4) {
      Four a, b;
      __builtin_memcpy(&a, yp + i, sizeof a);
      __builtin_memcpy(&b, zp + i, sizeof b);
      a += 0.5f * b;
      __builtin_memcpy(xp + i, &a, sizeof a);
    }
    benchmark::ClobberMemory();
  }
}

void renewal(benchmark::State& state, at::ScalarType stored) {
  ritz::set_threads(1);
  const int64_t d = state.range(0);
  const Tensor M = at::eye(d, stored);
  const Tensor V = 0.1 * ritz::RandomStream(1).normal({1, d}, at::kFloat);
  for (auto _ : state) renew_factor(M, V);
}

/// What K-FAC does to a factor, by the fastest way that libtorch has.
void covariance_and_inverse(benchmark::State& state) {
  ritz::set_threads(1);
  const Perceptron task;
  const Tensor M = at::eye(Perceptron::kWidth);
  for (auto _ : state) {
    M.mul_(0.95).addmm_(task.x.t(), task.x, 1, 0.05 / Perceptron::kBatch);
    benchmark::DoNotOptimize(at::cholesky_inverse(at::linalg_cholesky(M + 1e-2 * at::eye(1024))));
  }
}

void plain_iteration(benchmark::State& state) {
  ritz::set_threads(1);
  const Perceptron task;
  const auto sgd = task.descent();
  for (auto _ : state) task.step(*sgd);
}

void iteration(benchmark::State& state) {
  ritz::set_threads(1);
  const Perceptron task;
  Mkor mkor(task.network, task.descent(), {.f = state.range(0)});
  for (auto _ : state) task.step(mkor);
}

BENCHMARK(triad)->Name("factor/triad")->Arg(1024)->Arg(4096)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(renewal, float32, at::kFloat)
    ->Name("factor/renewal float32")
    ->Arg(1024)
    ->Arg(4096)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(renewal, float16, at::kHalf)
    ->Name("factor/renewal float16")
    ->Arg(1024)
    ->Arg(4096)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(covariance_and_inverse)
    ->Name("factor/covariance and inverse 1024")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(plain_iteration)->Name("iteration/plain")->Iterations(20)->Unit(benchmark::kMillisecond);
// Whole periods of every f.
BENCHMARK(iteration)
    ->Name("iteration/mkor, f")
    ->Arg(1)
    ->Arg(10)
    ->Arg(100)
    ->Iterations(100)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
