// Koopman spectra: the pseudospectrum sweep, and the passes over data.
//
// BM_sweep: tau at 1000 points, N = 300, from a grid of Duffing's oscillator with radial functions;
// BM_sweep_eigvalsh: the same points through all eigenvalues of H(z), as the published programs do
// (goal: 6 times as long on the same cores; `error` is the largest difference in tau). BM_gram: G,
// A and L of pairs in mapped files (linear functions, so that products are all there is) beside
// BM_gemm, one product of the same flops (goal: 70 % of its rate). BM_reduce: the same by TSQR.
// Kernel EDMD beside PyDMD: bench/peers/run_koopman.sh.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <cstdio>
#include <filesystem>

#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/pseudospectrum.h"

namespace {

using namespace ritz::koopman;
using ritz::Tensor;

Tensor velocity(const Tensor& s) {
  const Tensor q = s.select(1, 0);
  return torch::stack({s.select(1, 1), q - q * q * q}, 1);
}

/// Duffing's flow over 0.3 from random states.
Snapshots duffing(int64_t M) {
  const Tensor x = ritz::RandomStream(1).uniform({M, 2}, torch::kFloat64, -1.5, 1.5);
  Tensor y = x;
  for (int k = 0; k < 30; ++k) {
    const double h = 0.01;
    const Tensor k1 = velocity(y), k2 = velocity(y + h / 2 * k1), k3 = velocity(y + h / 2 * k2);
    y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(y + h * k3));
  }
  return pairs(x, y);
}

const Reduction& reduction(int64_t N) {
  static std::map<int64_t, Reduction> known;
  const auto at = known.find(N);
  if (at != known.end()) return at->second;
  const Snapshots s = duffing(12000);
  const Lift lift = make_lift({.name = "rbf", .size = N}, s);
  return known.emplace(N, reduce(*lift.functions, s)).first->second;
}

/// 40 x 25 points above the real axis.
Tensor points() {
  return grid_points({.x0 = -1.2, .x1 = 1.14, .y0 = 0, .y1 = 1.44, .spacing = 0.06}).points;
}

void BM_sweep(benchmark::State& state) {
  const Reduction& r = reduction(state.range(0));
  const Tensor z = points();
  for (auto _ : state) {
    const Sweep sweep = pseudospectrum(r, z);
    state.counters["solves"] =
        static_cast<double>(sweep.solves) / static_cast<double>(sweep.points);
    state.counters["exact"] = static_cast<double>(sweep.exact);
    state.PauseTiming();
    const Tensor some = torch::arange(7, 1000, 97);
    const Tensor exact = pseudospectrum_exact(r, z.index_select(0, some)).tau;
    state.counters["error"] = (sweep.tau.index_select(0, some) - exact).abs().max().item<double>();
    state.counters["tau_min"] = sweep.tau.min().item<double>();
    state.ResumeTiming();
  }
}
BENCHMARK(BM_sweep)->Arg(300)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

void BM_sweep_eigvalsh(benchmark::State& state) {
  const Reduction& r = reduction(state.range(0));
  const Tensor z = points().slice(0, 0, 1000, 20);  // a twentieth of them
  const Tensor A = r.A.to(torch::kComplexDouble), S = r.S.to(torch::kComplexDouble);
  const Tensor L = A.mH().matmul(A) + S.mH().matmul(S), eye = torch::eye(A.size(0), A.options());
  for (auto _ : state) {
    for (int64_t k = 0; k < z.size(0); ++k) {
      const auto zk = z[k].item<c10::complex<double>>();
      const Tensor H = L - zk * A.mH() - std::conj(zk) * A + (zk * std::conj(zk)).real() * eye;
      benchmark::DoNotOptimize(at::linalg_eigvalsh(H)[0].item<double>());
    }
  }
  state.counters["of_points"] = 50;
}
BENCHMARK(BM_sweep_eigvalsh)->Arg(300)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

/// X and Y [M, d] as files, mapped.
class Files {
 public:
  Files(int64_t M, int64_t d) {
    folder_ = std::filesystem::temp_directory_path() / "ritz_koopman_bench";
    std::filesystem::create_directories(folder_);
    for (const char* name : {"X.npy", "Y.npy"}) {
      const Tensor x = ritz::RandomStream(2, ritz::stream_id(name)).normal({M, d}, torch::kFloat64);
      ritz::io::write_arrays(folder_ / name, {ritz::io::to_array("", x)}, {.force = true});
    }
  }
  ~Files() { std::filesystem::remove_all(folder_); }
  Snapshots snapshots() const {
    return pairs(ritz::io::to_tensor(ritz::io::read_array(folder_ / "X.npy")),
                 ritz::io::to_tensor(ritz::io::read_array(folder_ / "Y.npy")));
  }

 private:
  std::filesystem::path folder_;
};

void BM_gram(benchmark::State& state) {
  const int64_t M = state.range(0), N = state.range(1);
  const Files files(M, N);
  const Snapshots s = files.snapshots();
  const auto dictionary = linear_dictionary(N);
  for (auto _ : state) benchmark::DoNotOptimize(gram_matrices(*dictionary, s));
  state.counters["flops"] = benchmark::Counter(6. * static_cast<double>(M * N * N),
                                               benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_gram)->Args({100000, 300})->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_gemm(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor a = ritz::RandomStream(3).normal({n, n}, torch::kFloat64);
  for (auto _ : state) benchmark::DoNotOptimize(a.mm(a));
  state.counters["flops"] = benchmark::Counter(2. * static_cast<double>(n * n * n),
                                               benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_gemm)->Arg(2048)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_reduce(benchmark::State& state) {
  const int64_t M = state.range(0), N = state.range(1);
  const Snapshots s = pairs(ritz::RandomStream(4).normal({M, N}, torch::kFloat64),
                            ritz::RandomStream(5).normal({M, N}, torch::kFloat64));
  const auto dictionary = linear_dictionary(N);
  for (auto _ : state) benchmark::DoNotOptimize(reduce(*dictionary, s));
  state.counters["flops"] = benchmark::Counter(8. * static_cast<double>(M * N * N),
                                               benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_reduce)->Args({100000, 300})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
