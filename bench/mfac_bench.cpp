// M-FAC's static inverse beside the row recursion and the best product rate; a step of its window
// beside reading the window twice.
//
//   build/release/bench/mfac_bench --benchmark_enable_random_interleaving=true
//       --benchmark_repetitions=3 --benchmark_report_aggregates_only=true
//
// One thread, float32. `flops` of the static inverse are 2 d m^2, what a product of symmetric and
// triangular matrices needs at least; those of "product" are 2 n^3.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "ritz/base/gemm.h"
#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/optim/gradient_window.h"
#include "ritz/optim/inverse_fisher.h"
#include "ritz/optim/window_factor.h"

namespace {

using at::Tensor;

constexpr int64_t kParameters = 1000000;
constexpr double kDamping = 1e-2;

Tensor gradients(int64_t m, int64_t d) {
  ritz::set_threads(1);
  return ritz::RandomStream(1).uniform({m, d}, at::TensorOptions(at::kFloat), -1, 1);
}

void set_flops(benchmark::State& state, double flops) {
  state.counters["flops"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

/// As published: v_i = g_i / lambda - sum_{j<i} v_j (v_j . g_i) / q_j, row after row.
void recursion(benchmark::State& state) {
  const int64_t m = state.range(0), d = kParameters;
  const at::NoGradGuard no_graph;
  const Tensor G = gradients(m, d);
  Tensor V = at::empty_like(G), q = at::empty({m});
  for (auto _ : state) {
    V.copy_(G);
    for (int64_t i = 0; i < m; ++i) {
      const Tensor g = G[i], v = V[i], before = V.narrow(0, 0, i);
      v.div_(kDamping);
      if (i > 0) v.sub_(before.t().mv(before.mv(g) / q.narrow(0, 0, i)));
      q[i] = v.dot(g) + static_cast<double>(m);
    }
  }
  set_flops(state, 2.0 * static_cast<double>(d * m * m));
}

void inverse(benchmark::State& state) {
  const int64_t m = state.range(0), block = state.range(1);
  const Tensor G = gradients(m, kParameters);
  Tensor V = at::empty_like(G);
  for (auto _ : state) {
    state.PauseTiming();
    V.copy_(G);  // in place: what a caller does that collects fresh gradients
    state.ResumeTiming();
    benchmark::DoNotOptimize(
        ritz::optim::InverseFisher(V, {.damping = kDamping, .block = block, .overwrite = true}));
  }
  set_flops(state, 2.0 * static_cast<double>(kParameters * m * m));
}

void product(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor a = gradients(n, n), b = gradients(n, n);
  const at::NoGradGuard no_graph;
  for (auto _ : state) benchmark::DoNotOptimize(ritz::gemm_nt(a, b));
  set_flops(state, 2.0 * static_cast<double>(n * n * n));
}

/// Replaces a row and preconditions its gradient.
void window_step(benchmark::State& state, const char* storage) {
  const int64_t m = state.range(0);
  const Tensor g = gradients(1, kParameters)[0];
  Tensor out = at::empty_like(g), K = at::zeros({m, m}, at::kDouble);
  ritz::optim::GradientWindow window(kParameters, g.options(), {.m = m, .storage = storage});
  ritz::optim::WindowFactor factor(m, kDamping, ritz::optim::WindowMode::cholesky);
  int64_t row = 0;
  for (auto _ : state) {
    window.replace(row, g);
    const Tensor s = window.dots(g);
    K[row].copy_(s);
    K.select(1, row).copy_(s);
    factor.replaced(K, row);
    window.combine(g, 1 / kDamping, factor.coefficients(s), out);
    row = (row + 1) % m;
  }
}

/// What a step cannot go below: twice the time to read m d numbers of `bytes` bytes.
void read_twice(benchmark::State& state) {
  const int64_t count = state.range(0) * kParameters * state.range(1) / 4;
  const Tensor all = at::ones({count}, at::kInt);
  const int32_t* from = all.const_data_ptr<int32_t>();
  using Sixteen = int32_t __attribute__((vector_size(64), aligned(4)));
  for (auto _ : state) {
    for (int pass = 0; pass < 2; ++pass) {
      Sixteen a{}, b{}, c{}, d{};
      for (int64_t i = 0; i + 64 <= count; i += 64) {
        a ^= *reinterpret_cast<const Sixteen*>(from + i);
        b ^= *reinterpret_cast<const Sixteen*>(from + i + 16);
        c ^= *reinterpret_cast<const Sixteen*>(from + i + 32);
        d ^= *reinterpret_cast<const Sixteen*>(from + i + 48);
      }
      a ^= b ^ c ^ d;
      int32_t found = a[0] ^ a[7];
      benchmark::DoNotOptimize(found);
    }
  }
}

BENCHMARK(product)->Arg(2048)->Unit(benchmark::kMillisecond);
BENCHMARK(recursion)->Arg(64)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK(inverse)
    ->Args({64, 0})
    ->Args({128, 0})
    ->Args({256, 0})
    ->Args({128, 128})
    ->Args({128, 2048})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(read_twice)->Args({256, 4})->Args({256, 2})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(window_step, float32, "full")->Arg(256)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(window_step, bfloat16, "bfloat16")->Arg(256)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(window_step, float16, "float16")->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
