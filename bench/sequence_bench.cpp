// State-space layers: kernels, convolutions, scans, steps and initialisations, float32.
//
// BM_kernel beside BM_naive_kernel: S4D's kernel with its gradient, H = 256, N = 32, L = 16384
// (goal: 50 times). BM_layer beside BM_naive_layer: kernel and convolution, B = 8, forward and
// backward (goal: 8 times); the naive ones are the complex Vandermonde product and libtorch's FFT,
// on as many threads. BM_scan beside BM_copy: L = 4096, P = 256 (goal: within 2 x). BM_step: one
// row, H = 256, N = 32 (goal: below 20 us). BM_init: PTD, n = 64 (goal: below 10 s on two cores).
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/sequence/convolution.h"
#include "ritz/sequence/discretise.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/perturbation.h"
#include "ritz/sequence/scan.h"
#include "ritz/sequence/step.h"
#include "ritz/sequence/vandermonde.h"

namespace {

using namespace ritz::sequence;
using ritz::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t index) {
  return ritz::RandomStream(1, ritz::stream_id("bench/sequence", index))
      .normal(shape, torch::kFloat32);
}

struct Layer {
  Tensor log_a, a, Bbar, C, D;
  explicit Layer(int64_t H, int64_t n) {
    const auto system = diagonal_hippo(n);
    const auto made = discretise(system.eigenvalues.expand({H, -1}),
                                 torch::logspace(-3, -1, H, 10, torch::kFloat64).unsqueeze(1));
    log_a = made.log_a.clone();
    a = made.a.clone();
    Bbar = made.gain * system.B;
    C = torch::complex(normal({H, n / 2}, 1), normal({H, n / 2}, 2)).to(torch::kComplexDouble);
    D = normal({H}, 3);
  }
};

Tensor naive_kernel(const Tensor& log_a, const Tensor& c, int64_t L) {
  const Tensor powers = (log_a.unsqueeze(-1) * torch::arange(L, torch::kFloat32)).exp();
  return torch::real((c.unsqueeze(-1) * powers).sum(1));
}
Tensor naive_convolution(const Tensor& u, const Tensor& K, const Tensor& D) {
  const int64_t L = u.size(2);
  const Tensor y = at::fft_irfft(at::fft_rfft(u, 2 * L) * at::fft_rfft(K, 2 * L), 2 * L);
  return y.slice(2, 0, L) + u * D.unsqueeze(1);
}

template <class Kernel>
void run_kernel(benchmark::State& state, c10::ScalarType type, const Kernel& kernel) {
  const int64_t H = state.range(0), N = state.range(1), L = state.range(2);
  const Layer layer(H, 2 * N);
  const Tensor log_a = layer.log_a.to(type).requires_grad_(true);
  const Tensor c = (layer.Bbar * layer.C).to(type).requires_grad_(true), g = normal({H, L}, 4);
  for (auto _ : state)
    benchmark::DoNotOptimize(torch::autograd::grad({kernel(log_a, c, L)}, {log_a, c}, {g}));
}
void BM_kernel(benchmark::State& state) {
  run_kernel(state, torch::kComplexDouble, [](const Tensor& log_a, const Tensor& c, int64_t L) {
    return vandermonde_kernel(log_a, c, L);
  });
}
void BM_naive_kernel(benchmark::State& state) {
  run_kernel(state, torch::kComplexFloat, naive_kernel);
}
BENCHMARK(BM_kernel)->Args({256, 32, 16384})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_naive_kernel)
    ->Args({256, 32, 16384})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

template <class Forward>
void run_layer(benchmark::State& state, c10::ScalarType type, const Forward& forward) {
  const int64_t H = state.range(0), N = state.range(1), L = state.range(2), B = state.range(3);
  const Layer layer(H, 2 * N);
  const Tensor log_a = layer.log_a.to(type).requires_grad_(true);
  const Tensor c = (layer.Bbar * layer.C).to(type).requires_grad_(true);
  const Tensor u = normal({B, H, L}, 5).requires_grad_(true), g = normal({B, H, L}, 6);
  const Tensor D = layer.D.requires_grad_(true);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        torch::autograd::grad({forward(log_a, c, u, D)}, {log_a, c, u, D}, {g}));
}
void BM_layer(benchmark::State& state) {
  run_layer(state, torch::kComplexDouble,
            [](const Tensor& log_a, const Tensor& c, const Tensor& u, const Tensor& D) {
              return causal_convolution(u, vandermonde_kernel(log_a, c, u.size(2)), D);
            });
}
void BM_naive_layer(benchmark::State& state) {
  run_layer(state, torch::kComplexFloat,
            [](const Tensor& log_a, const Tensor& c, const Tensor& u, const Tensor& D) {
              return naive_convolution(u, naive_kernel(log_a, c, u.size(2)), D);
            });
}
BENCHMARK(BM_layer)->Args({256, 32, 16384, 8})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_naive_layer)
    ->Args({256, 32, 16384, 8})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

void BM_convolution(benchmark::State& state) {
  const int64_t H = state.range(0), L = state.range(1), B = state.range(2);
  const Tensor u = normal({B, H, L}, 5), K = normal({H, L}, 6), D = normal({H}, 7);
  const bool own = state.range(3) == 1;
  for (auto _ : state)
    benchmark::DoNotOptimize(own ? causal_convolution(u, K, D) : naive_convolution(u, K, D));
}
BENCHMARK(BM_convolution)
    ->Args({256, 16384, 8, 1})
    ->Args({256, 16384, 8, 0})
    ->Args({128, 784, 32, 1})
    ->Args({128, 784, 32, 0})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

struct Scan {
  Tensor a, v;
  Scan(int64_t L, int64_t P) {
    a = Layer(1, 2 * P).a[0].clone();
    v = normal({1, L, 2 * P}, 8);
  }
};
void BM_scan(benchmark::State& state) {
  const Scan scan(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(diagonal_scan(scan.a, scan.v));
}
void BM_scan_gradient(benchmark::State& state) {
  const Scan scan(state.range(0), state.range(1));
  const Tensor a = scan.a.requires_grad_(true), v = scan.v.requires_grad_(true),
               g = scan.v.detach().flip(1);
  for (auto _ : state)
    benchmark::DoNotOptimize(torch::autograd::grad({diagonal_scan(a, v)}, {a, v}, {g}));
}
void BM_copy(benchmark::State& state) {
  const Scan scan(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(scan.v.clone());
}
BENCHMARK(BM_scan)->Args({4096, 256})->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(BM_scan_gradient)->Args({4096, 256})->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(BM_copy)->Args({4096, 256})->Unit(benchmark::kMicrosecond)->UseRealTime();

void BM_step(benchmark::State& state) {
  const int64_t H = state.range(0);
  const Layer layer(H, 2 * state.range(1));
  SisoStepper stepper(layer.a, layer.Bbar, layer.C, layer.D);
  const Tensor u = normal({H}, 9);
  Tensor y = torch::empty_like(u);
  for (auto _ : state) {
    if (state.range(2) == 1)
      benchmark::DoNotOptimize(stepper.step(u));
    else
      stepper.step(u.const_data_ptr<float>(), y.data_ptr<float>());
  }
}
BENCHMARK(BM_step)
    ->Args({256, 32, 0})
    ->Args({256, 32, 1})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void BM_init(benchmark::State& state) {
  for (auto _ : state) {
    const auto made = perturb_hippo(state.range(0));
    state.counters["kappa"] = made.kappa;
    state.counters["sup_error"] = *made.sup_error;
  }
}
BENCHMARK(BM_init)->Arg(32)->Arg(64)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
