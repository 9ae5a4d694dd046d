// Whole sequence models: a step of a stream, and a training step.
//
//   build/release/bench/sequence_model_bench --benchmark_min_time=0.5
//
// "stream" is one row in, one answer out, through encoder, blocks (layer, GLU, layer norm), pooling
// and decoder; "train" is forward, backward and the optimiser on 16 sequences of 1024 steps. The
// arguments are layers x width x states.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "ritz/base/threads.h"
#include "ritz/sequence/model/lengths.h"
#include "ritz/sequence/model/model.h"
#include "ritz/sequence/model/parameter_groups.h"

namespace {

using namespace ritz::sequence;

std::shared_ptr<SequenceModel> model(const std::string& text) {
  ModelOptions options{.channels = 3, .outputs = 10};
  parse_model(text, options);
  options.layer.perturbation.generator = Generator::path;
  return std::make_shared<SequenceModel>(options);
}

void stream(benchmark::State& state, const std::string& text) {
  ritz::set_threads(1);
  const auto made = model(text);
  made->eval();
  auto steps = made->stream();
  const at::Tensor u = at::ones({1, 3});
  const at::NoGradGuard no_graph;
  for (auto _ : state) benchmark::DoNotOptimize(steps.push(u).data_ptr());
}

void train(benchmark::State& state, const std::string& text) {
  ritz::set_threads(1);
  const auto network = make_network(model(text));
  network.set_training(true);
  const auto adamw = make_adamw(network);
  const at::Tensor u = pack(at::ones({16, 1024, 3}));
  for (auto _ : state) {
    adamw->zero_grad();
    network.forward(u).square().sum().backward();
    adamw->step();
  }
}

const auto registered = [] {
  for (const char* text : {"s4-ptd:1x256x64", "s4-ptd:4x64x64", "s4d:4x64x64", "s4:4x64x64",
                           "s5:4x64x64", "gru:4x64x64"}) {
    benchmark::RegisterBenchmark((std::string("stream/") + text).c_str(), stream, text)
        ->Unit(benchmark::kMicrosecond);
  }
  for (const char* text : {"s4-ptd:4x64x64", "s4:4x64x64", "s5:4x64x64", "gru:4x64x64"}) {
    benchmark::RegisterBenchmark((std::string("train/") + text).c_str(), train, text)
        ->Unit(benchmark::kMillisecond);
  }
  return 0;
}();

}  // namespace

BENCHMARK_MAIN();
