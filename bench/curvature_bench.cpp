// Curvature products of a network with a chain, beside what autograd would cost, in one run: a
// gradient (forward and backward: the unit of docs/performance.md), a second backward on a kept
// graph, and the hand-written kernels with one probe and with blocks.
//
//     build/release/bench/curvature_bench --benchmark_enable_random_interleaving=true
//         --benchmark_repetitions=5 --benchmark_report_aggregates_only=true --benchmark_filter=mlp
//
// Arguments: threads, and k, the probes in a block; items are probes.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/nn/detail/chain_kernels.h"
#include "ritz/nn/models.h"

namespace {

using ritz::nn::Loss;
using ritz::nn::make_network;
using ritz::nn::Network;
namespace detail = ritz::nn::detail;

struct Workload {
  Network network;
  ritz::Tensor inputs, targets;
};

const Workload& workload(bool resnet) {
  static const auto make = [](const std::string& model, std::vector<int64_t> shape, int64_t n) {
    ritz::RandomStream random(1, ritz::stream_id("bench"));
    Workload made{
        make_network(model, {.input_shape = shape, .outputs = 10, .tensor = at::kFloat}), {}, {}};
    shape.insert(shape.begin(), n);
    made.inputs = random.normal(shape, at::kFloat);
    made.targets = random.integers({n}, 0, 10);
    return made;
  };
  static const Workload mlp = make("mlp:784-128-64-10", {784}, 2048);
  static const Workload deep = make("resnet:20", {3, 32, 32}, 256);
  return resnet ? deep : mlp;
}

std::vector<ritz::Tensor> gradient(const Workload& w, bool graph) {
  const auto loss = Loss{}(w.network.forward(w.inputs), w.targets);
  return torch::autograd::grad({loss}, w.network.parameter_values(), {}, graph, graph);
}

void autograd_gradient(benchmark::State& state, bool resnet) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const auto& w = workload(resnet);
  for (auto _ : state) benchmark::DoNotOptimize(gradient(w, false));
  state.SetItemsProcessed(state.iterations());
}

void autograd_product(benchmark::State& state, bool resnet) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const auto& w = workload(resnet);
  const auto theta = w.network.parameter_values();
  const auto g = gradient(w, true);
  std::vector<ritz::Tensor> v;
  for (const auto& p : theta) v.push_back(at::ones_like(p));
  for (auto _ : state)
    benchmark::DoNotOptimize(torch::autograd::grad(g, theta, v, /*retain_graph=*/true));
  state.SetItemsProcessed(state.iterations());
}

void chain_product(benchmark::State& state, bool resnet) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const int64_t k = state.range(1);
  const auto& w = workload(resnet);
  const auto chain =
      detail::chain_derivatives(w.network, {}, w.inputs, w.targets, detail::Product::hessian);
  const auto V = at::ones({k, w.network.parameter_count()});
  const auto out = at::zeros_like(V);
  for (auto _ : state)
    chain->add_hessian_products(V, out, 1. / static_cast<double>(w.inputs.size(0)));
  state.SetItemsProcessed(state.iterations() * k);
}

void bind(benchmark::State& state, bool resnet) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  const auto& w = workload(resnet);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        detail::chain_derivatives(w.network, {}, w.inputs, w.targets, detail::Product::hessian));
  state.SetItemsProcessed(state.iterations());
}

void threads(benchmark::internal::Benchmark* bench) {
  bench->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();
}
void threads_and_probes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{1, 2}, {1, 8}})->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK_CAPTURE(autograd_gradient, mlp, false)->Apply(threads);
BENCHMARK_CAPTURE(autograd_product, mlp, false)->Apply(threads);
BENCHMARK_CAPTURE(bind, mlp, false)->Apply(threads);
BENCHMARK_CAPTURE(chain_product, mlp, false)->Apply(threads_and_probes);
BENCHMARK_CAPTURE(autograd_gradient, resnet20, true)->Apply(threads);
BENCHMARK_CAPTURE(autograd_product, resnet20, true)->Apply(threads);
BENCHMARK_CAPTURE(bind, resnet20, true)->Apply(threads);
BENCHMARK_CAPTURE(chain_product, resnet20, true)->Apply(threads_and_probes);

}  // namespace

BENCHMARK_MAIN();
