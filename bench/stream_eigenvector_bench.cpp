// The first direction of rows that come once, d = 2000, float32.
//
// BM_product: Y += sum a (a^T Z), k = 4, a batch of 256 rows: ritz's kernel (0) and libtorch's two
// matrix products with Z as rows (1) and as columns (2); `rows_a_us` are rows a microsecond.
// BM_file: a mapped file of RITZ_BENCH_ROWS rows (default 100000, 0.8 GB) in the folder TMPDIR,
// read (0), read and multiplied by two matrix products (1), given to TopVector (2): (2) is measured
// against (1) (goal: at most 1.5); `peak_mb` is resident memory above what the process held before.
// BM_oja: Oja's rule at one rate; BM_oja_grid: at all, by blocks (32) and row by row (1).
#include <benchmark/benchmark.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

#include "ritz/base/random.h"
#include "ritz/rows/row_source.h"
#include "ritz/rows/top_vector.h"
#include "ritz/rows/top_vector/detail/row_kernels.h"

namespace {

using ritz::Tensor;
using torch::kFloat32;
using torch::kFloat64;

constexpr int64_t kCols = 2000, kWidth = 4, kBatch = 256;

Tensor rows_of(int64_t n) {
  ritz::RandomStream random(1, ritz::stream_id("bench/rows"));
  return random.normal({n, kCols}, kFloat32) / std::sqrt(static_cast<double>(kCols));
}

void note(benchmark::State& state, int64_t rows) {
  state.counters["rows_a_us"] = benchmark::Counter(static_cast<double>(rows) * 1e-6,
                                                   benchmark::Counter::kIsIterationInvariantRate);
}

void BM_product(benchmark::State& state) {
  const Tensor A = rows_of(kBatch);
  Tensor Z = torch::randn({kWidth, kCols}, kFloat64), Y = torch::zeros_like(Z);
  std::vector<int64_t> all(kBatch);
  std::iota(all.begin(), all.end(), 0);
  const Tensor Zs = Z.to(kFloat32), columns = Zs.t().contiguous();
  Tensor Ys = torch::zeros_like(Zs), Yc = torch::zeros_like(columns);
  for (auto _ : state) {
    if (state.range(0) == 0) ritz::rows::detail::add_gram_product(A, all, {}, Z, Y);
    if (state.range(0) == 1) Ys.addmm_(Zs.mm(A.t()), A);
    if (state.range(0) == 2) Yc.addmm_(A.t(), A.mm(columns));
  }
  note(state, kBatch);
}
BENCHMARK(BM_product)->DenseRange(0, 2)->UseRealTime()->Unit(benchmark::kMicrosecond);

/// A raw file of so many rows; removed with the object.
struct File {
  std::string path;
  int64_t rows;
  File() {
    const char* wanted = std::getenv("RITZ_BENCH_ROWS");
    rows = wanted == nullptr ? 100000 : std::atoll(wanted);
    path = (std::filesystem::temp_directory_path() / ("ritz_bench_" + std::to_string(getpid())))
               .string();
    std::ofstream out(path, std::ios::binary);
    const Tensor block = rows_of(5000);
    for (int64_t done = 0; done < rows; done += block.size(0))
      out.write(static_cast<const char*>(block.const_data_ptr()),
                4 * kCols * std::min(block.size(0), rows - done));
  }
  ~File() { std::filesystem::remove(path); }
};

double status_mb(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key, 0) == 0) return std::stod(line.substr(key.size())) / 1024;
  return 0;
}

void BM_file(benchmark::State& state) {
  static const File file;
  Tensor Z = torch::randn({kWidth, kCols}), Y = torch::zeros_like(Z);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts from here
  const double before = status_mb("VmRSS:");
  for (auto _ : state) {
    const auto source = ritz::rows::open_rows(file.path, {.raw = "float32", .columns = kCols});
    ritz::rows::RowBatch batch;
    ritz::rows::TopVector stream({.heavy = 64, .block_width = kWidth});
    double sum = 0;
    while (source->next(batch)) {
      if (state.range(0) == 0) sum += batch.dense.sum().item<double>();
      if (state.range(0) == 1)
        for (const auto& part : batch.dense.split(kBatch)) Y.addmm_(Z.mm(part.t()), part);
      if (state.range(0) == 2) stream.update(batch.dense);
    }
    if (state.range(0) == 2) sum = stream.result().sigma1;
    benchmark::DoNotOptimize(sum);
  }
  state.counters["peak_mb"] = status_mb("VmHWM:") - before;
  note(state, file.rows);
}
BENCHMARK(BM_file)->DenseRange(0, 2)->Iterations(2)->UseRealTime()->Unit(benchmark::kSecond);

void BM_oja(benchmark::State& state) {
  const Tensor A = rows_of(2048);
  ritz::rows::Oja stream({.rates = {0.1}});
  for (auto _ : state) stream.update(A);
  note(state, A.size(0));
}
BENCHMARK(BM_oja)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_oja_grid(benchmark::State& state) {
  const Tensor A = rows_of(2048);
  ritz::rows::OjaGrid stream({.block = state.range(0)});
  stream.update(A);
  for (auto _ : state) stream.update(A);
  state.counters["rates"] = static_cast<double>(stream.active());
  note(state, A.size(0));
}
BENCHMARK(BM_oja_grid)->Arg(32)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
