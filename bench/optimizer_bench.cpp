// One step of the fused optimisers beside libtorch's own and beside bare memory traffic.
//
//   build/release/bench/optimizer_bench --benchmark_min_time=0.5
//
// The parameters are those of a 6 x 1024 perceptron. "traffic" moves as many words as Adam's rule
// must (reads w, g, m, v, writes w, m, v) and computes next to nothing: Adam's goal is 1.5 times
// it.
#include <benchmark/benchmark.h>
#include <torch/optim/adam.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/lamb.h"

namespace {

using at::Tensor;

std::vector<Tensor> parameters() {
  ritz::RandomStream random(1);
  std::vector<Tensor> all;
  for (int layer = 0; layer < 6; ++layer) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{1024, 1024}, {1024}}) {
      all.push_back(random.normal(shape, at::TensorOptions(at::kFloat)).requires_grad_());
      all.back().mutable_grad() = random.normal(shape, at::TensorOptions(at::kFloat));
    }
  }
  return all;
}

template <class Optimizer>
void step(benchmark::State& state) {
  ritz::set_threads(1);
  const auto all = parameters();
  Optimizer optimizer(all);
  for (auto _ : state) optimizer.step();
}

void traffic(benchmark::State& state) {
  ritz::set_threads(1);
  std::vector<std::vector<float>> w, g, m, v;
  for (const Tensor& each : parameters()) {
    for (auto* array : {&w, &g, &m, &v}) array->emplace_back(each.numel(), 1.f);
  }
  for (auto _ : state) {
    for (size_t k = 0; k < w.size(); ++k) {
      float *wk = w[k].data(), *gk = g[k].data(), *mk = m[k].data(), *vk = v[k].data();
      const int64_t n = static_cast<int64_t>(w[k].size());
      for (int64_t i = 0; i < n; i += 4) {
        using Four = float __attribute__((vector_size(16)));
        const auto load = [&](const float* p) {
          Four x;
          __builtin_memcpy(&x, p + i, sizeof x);
          return x;
        };
        const auto store = [&](float* p, Four x) { __builtin_memcpy(p + i, &x, sizeof x); };
        const Four d = load(gk);
        store(mk, load(mk) + d);
        store(vk, load(vk) + d);
        store(wk, load(wk) + d);
      }
    }
    benchmark::ClobberMemory();
  }
}

BENCHMARK(traffic)->Unit(benchmark::kMillisecond);
BENCHMARK(step<ritz::optim::Adam>)->Name("adam, ritz")->Unit(benchmark::kMillisecond);
BENCHMARK(step<torch::optim::Adam>)->Name("adam, libtorch")->Unit(benchmark::kMillisecond);
BENCHMARK(step<ritz::optim::Lamb>)->Name("lamb, ritz")->Unit(benchmark::kMillisecond);
BENCHMARK(step<ritz::optim::Sgd>)->Name("sgd, ritz")->Unit(benchmark::kMillisecond);
BENCHMARK(step<ritz::optim::Adagrad>)->Name("adagrad, ritz")->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
