// Samplers of designs.
//
//     build/release/bench/dpp_least_squares_bench --benchmark_enable_random_interleaving=true
//         --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
//
// dpp_plane: a projection DPP of m products of Legendre polynomials in two variables, by proposals
// and rejection; floor: 2 m^3 (H_m - 1) flops, 78 Mflop at m = 200. dpp_line: the same in one
// variable by the tridiagonal matrix. dpp_candidates: m of N candidate points whose orthonormal
// functions are given; `prepare` reads them once for their leverages (the floor of a first draw),
// `draw` is what each design costs then, `conditional` the textbook's loop over all candidates.
// gram_pilot: 200 designs and their Gram spectra, as `ritz design plan` tries them.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <algorithm>
#include <tuple>

#include "ritz/base/random.h"
#include "ritz/design/plan.h"

namespace {

using namespace ritz;
using namespace ritz::design;

// The first m indices of two variables by largest degree, as DPPy orders them.
std::shared_ptr<ProductSpace> plane(int64_t m) {
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int64_t i = 0; i * i < 4 * m; ++i)
    for (int64_t j = 0; j * j < 4 * m; ++j) all.emplace_back(i, j);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tuple(std::max(a.first, a.second), a) < std::tuple(std::max(b.first, b.second), b);
  });
  Tensor index = torch::empty({m, 2}, torch::kInt64);
  for (int64_t i = 0; i < m; ++i) {
    index[i][0] = all[static_cast<size_t>(i)].first;
    index[i][1] = all[static_cast<size_t>(i)].second;
  }
  return std::make_shared<ProductSpace>(parse_families("legendre", 2), index);
}

// An orthonormal matrix whose rows differ in length, as leverages do.
const Tensor& candidates(int64_t N, int64_t m) {
  static const Tensor phi = [&] {
    RandomStream random(1, stream_id("bench/candidates"));
    Tensor raw = random.normal({N, m}, torch::kFloat64);
    raw *= random.uniform({N, 1}, torch::kFloat64, 0.2, 3);
    return (std::get<0>(torch::linalg_qr(raw)) * std::sqrt(static_cast<double>(N))).contiguous();
  }();
  return phi;
}

void dpp_plane(benchmark::State& state) {
  const auto V = plane(state.range(0));
  uint64_t draw = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(sample_dpp(*V, {.sampler = DppSampler::rejection, .draw = draw++}));
}

void dpp_line(benchmark::State& state) {
  const auto V = product_space({.family = "legendre", .degree = state.range(0) - 1});
  uint64_t draw = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(sample_dpp(*V, {.sampler = DppSampler::tridiagonal, .draw = draw++}));
}

void dpp_candidates(benchmark::State& state, DppSampler sampler) {
  const CandidateSpace V(candidates(state.range(0), state.range(1)), {}, {.trusted = true});
  uint64_t draw = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(sample_dpp(V, {.sampler = sampler, .draw = draw++}));
}

void dpp_candidates_prepare(benchmark::State& state, bool draws) {
  const Tensor& phi = candidates(state.range(0), state.range(1));
  uint64_t draw = 0;
  for (auto _ : state) {
    const CandidateSpace V(phi, {}, {.trusted = true});
    if (draws) benchmark::DoNotOptimize(sample_dpp(V, {.draw = draw++}));
    benchmark::DoNotOptimize(V.dropped());
  }
}

void gram_pilot(benchmark::State& state) {
  const auto V = product_space({.family = "legendre", .dim = 2, .degree = 5});
  for (auto _ : state) benchmark::DoNotOptimize(pilot(*V, {.points = 63}, 200));
}

BENCHMARK(dpp_plane)->Arg(50)->Arg(200)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(dpp_line)->Arg(50)->Arg(200)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(dpp_candidates, draw, DppSampler::automatic)
    ->Args({100000, 100})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(dpp_candidates, conditional, DppSampler::conditional)
    ->Args({100000, 100})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(dpp_candidates_prepare, prepare, false)
    ->Args({100000, 100})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(dpp_candidates_prepare, prepare_and_draw, true)
    ->Args({100000, 100})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK(gram_pilot)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
