// Batch spectra and the learner, in units of one gradient on the same samples.
//
//     build/release/bench/batch_scaling_bench --benchmark_enable_random_interleaving=true
//         --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
//
// gradient: forward and backward of one batch. batch_extremes: 15 Lanczos steps on one batch's
// Hessian (floor: about 15 x 2 gradients, and 4 * 15^2 * P flops). learner_call: the same with the
// draw of the batch and the decision. training_epoch: an epoch of the trainer, plain or with the
// learner. `peak_bytes` is the resident memory above what the process held before.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "ritz/base/random.h"
#include "ritz/nn/models.h"
#include "ritz/optim/batch_scaling.h"
#include "ritz/optim/first_order.h"

namespace {

using namespace ritz;
using namespace ritz::optim;

struct Workload {
  nn::Objective objective;
  dist::ProcessGroup alone;
};

Workload& workload() {
  static Workload made = [] {
    RandomStream random(1, stream_id("bench/batch-scaling"));
    Workload w;
    w.objective = {nn::make_network("mlp:784-128-64-10", {.input_shape = {784}}),
                   {},
                   random.normal({4096, 784}, torch::kFloat32),
                   random.integers({4096}, 0, 10)};
    return w;
  }();
  return made;
}

// Bytes of a line of /proc/self/status ("VmHWM:", "VmRSS:").
double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return 1024 * std::stod(line.substr(key.size()));
  return 0;
}

nn::Objective batch_of(int64_t B) {
  const auto& objective = workload().objective;
  return nn::subset(objective, batch_rows(B, 0, objective.inputs.size(0), false, 0));
}

void gradient(benchmark::State& state) {
  const auto batch = batch_of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(nn::gradient(batch));
}

void batch_extremes(benchmark::State& state) {
  const auto& objective = workload().objective;
  const BatchOperator curvature = [&](const Tensor& rows) {
    return nn::hessian(nn::subset(objective, rows));
  };
  for (auto _ : state)
    benchmark::DoNotOptimize(batch_spectra(curvature, objective.inputs.size(0),
                                           {.batch_sizes = {state.range(0)}, .batches = 1}));
}

void learner_call(benchmark::State& state) {
  auto& w = workload();
  SpectralLearner learner(w.objective.network, {}, {w.objective.inputs, w.objective.targets},
                          w.alone, {.batch = state.range(0), .every = 1});
  int64_t step = 0;
  for (auto _ : state) {
    Controls controls;
    learner.before_step(++step, controls);
  }
}

void training_epoch(benchmark::State& state, bool learns) {
  auto& w = workload();
  const double before = status_bytes("VmRSS:");
  const Split data{w.objective.inputs, w.objective.targets};
  const auto start = w.objective.network.flat_parameters();
  for (auto _ : state) {
    w.objective.network.set_flat_parameters(start);
    Sgd sgd(w.objective.network.parameter_values(), {.lr = 0.01, .momentum = 0.9});
    SpectralLearner learner(w.objective.network, {}, data, w.alone, {.batch = state.range(0)});
    train({w.objective.network, {}, data, sgd, w.alone, learns ? &learner : nullptr},
          {.batch = state.range(0), .steps = 4096 / state.range(0), .lr = 0.01});
  }
  w.objective.network.set_flat_parameters(start);
  state.counters["peak_bytes"] = std::max(0.0, status_bytes("VmHWM:") - before);
}

BENCHMARK(gradient)->Arg(32)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(batch_extremes)->Arg(32)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(learner_call)->Arg(32)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(training_epoch, plain, false)
    ->Arg(128)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(training_epoch, learner, true)
    ->Arg(128)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
