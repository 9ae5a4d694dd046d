// What a factor of K-FAC costs, and its iterations on a 6 x 1024 perceptron.
//
//   build/release/bench/kfac_bench --benchmark_filter=factor
//   build/release/bench/kfac_bench --benchmark_filter=iteration
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "bench/perceptron.h"
#include "ritz/base/threads.h"
#include "ritz/optim/kfac.h"

namespace {

using at::Tensor;
using namespace ritz::optim;
using ritz::bench::Perceptron;

/// By the fastest way that libtorch has.
void covariance_and_inverse(benchmark::State& state) {
  ritz::set_threads(1);
  const Perceptron task;
  const Tensor M = at::eye(Perceptron::kWidth);
  for (auto _ : state) {
    M.mul_(0.95).addmm_(task.x.t(), task.x, 1, 0.05 / Perceptron::kBatch);
    benchmark::DoNotOptimize(at::cholesky_inverse(at::linalg_cholesky(M + 1e-2 * at::eye(1024))));
  }
}

/// Half of the covariance and a Cholesky factor, as Kfac does it.
void covariance_and_cholesky(benchmark::State& state) {
  ritz::set_threads(1);
  const Perceptron task;
  const Tensor M = at::eye(Perceptron::kWidth), L = at::zeros_like(M);
  for (auto _ : state) {
    add_gram(M, task.x, 0.95, 0.05 / Perceptron::kBatch);
    damped_cholesky(M, 1e-2, L);
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
  Kfac kfac(task.network, task.descent(),
            {.f = state.range(0),
             .factor_every = state.range(0),
             .damping = 1e-2,
             .form = KfacForm::inverse,
             .rescale = Rescale::layer});
  for (auto _ : state) task.step(kfac);
}

BENCHMARK(covariance_and_inverse)
    ->Name("factor/covariance and inverse")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(covariance_and_cholesky)
    ->Name("factor/covariance and Cholesky")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(plain_iteration)->Name("iteration/plain")->Iterations(20)->Unit(benchmark::kMillisecond);
// Whole periods of every f.
BENCHMARK(iteration)
    ->Name("iteration/kfac, f")
    ->Arg(1)
    ->Arg(10)
    ->Arg(100)
    ->Iterations(100)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
