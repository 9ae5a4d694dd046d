#include "ritz/rows/top_vector/baselines.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/nn/detail/memory_meter.h"
#include "ritz/rows/top_vector/heavy_rows.h"

namespace ritz::rows {
namespace {

using torch::kFloat64;

Tensor normal(at::IntArrayRef shape, uint64_t index = 0) {
  return RandomStream(13, stream_id("tests/baselines", index)).normal(shape, kFloat64);
}

Tensor spiked(int64_t n, int64_t d, double lam) {
  const Tensor u = normal({d}, 1) / normal({d}, 1).norm();
  return normal({n, d}, 2) / std::sqrt(n) +
         RandomStream(4).rademacher({n, 1}, kFloat64) * u * std::sqrt(lam / n);
}

struct Exact {
  Tensor v;
  double sigma1;
};
Exact exact(const Tensor& A) {
  const auto [w, V] = torch::linalg_eigh(A.t().mm(A));
  return {V.select(1, w.size(0) - 1), w[w.size(0) - 1].sqrt().item<double>()};
}

double corr(const Tensor& v, const Tensor& u) {
  const double c = v.to(kFloat64).dot(u).item<double>();
  return c * c;
}

Direction run(DirectionStream& stream, const Tensor& rows, int64_t batch = 50) {
  for (const auto& part : rows.split(batch)) stream.update(part);
  return stream.result();
}

using Make = std::function<std::unique_ptr<DirectionStream>()>;
struct Method {
  std::string name;
  Make make;
  double least_corr, sigma_tolerance;
};
// AdaOja's rate falls only as fast as its gradients' sum; sigma_1 of FD is biased low by its bound.
const Method kMethods[] = {
    {"AdaOja", [] { return std::make_unique<AdaOja>(AdaOjaOptions{}); }, 0.8, 0.25},
    {"HistoryPca", [] { return std::make_unique<HistoryPca>(HistoryPcaOptions{}); }, 0.98, 0.1},
    {"FrequentDirections",
     [] { return std::make_unique<FrequentDirections>(FrequentDirectionsOptions{}); }, 0.9, 0.3},
    {"Reservoir", [] { return std::make_unique<Reservoir>(ReservoirOptions{.rows = 400}); }, 0.8,
     0.2},
    {"BlockPower",
     [] {
       return std::make_unique<TopVector>(
           TopVectorOptions{.heavy = 0, .schedule = Schedule::equal, .rows = 4000, .pieces = 5});
     },
     0.95, 0.1}};

class Baselines : public testing::TestWithParam<Method> {};

TEST_P(Baselines, FindTheDirectionOfAShuffledStream) {
  const Tensor A = spiked(4000, 40, 20);
  const auto truth = exact(A);
  const auto& method = GetParam();
  const auto stream = method.make();
  const auto found = run(*stream, A);
  EXPECT_GT(corr(found.vector, truth.v), method.least_corr);
  EXPECT_NEAR(found.sigma1 / truth.sigma1, 1, method.sigma_tolerance);
  EXPECT_EQ(found.n, 4000);
  EXPECT_NEAR(found.vector.norm().item<double>(), 1, 1e-12);
  // Batches of other sizes and signs of rows change nothing; asking twice neither.
  const auto other = method.make();
  EXPECT_NEAR(corr(run(*other, -A, 1).vector, found.vector), 1, 1e-10);
  EXPECT_NEAR(corr(stream->result().vector, found.vector), 1, 1e-12);
}

TEST_P(Baselines, TakeRowsNearTheEndsOfDouble) {
  const Tensor A = spiked(1000, 20, 20);
  const auto base = GetParam().make();
  const auto reference = run(*base, A);
  for (const double c : {1e150, 1e-150}) {
    const auto stream = GetParam().make();
    const auto found = run(*stream, A * c);
    // AdaOja's b0 is in units of the rows: far below them at 1e150, far above at 1e-150.
    if (GetParam().name == "AdaOja") {
      EXPECT_TRUE(at::isfinite(found.vector).all().item<bool>());
      continue;
    }
    EXPECT_NEAR(corr(found.vector, reference.vector), 1, 1e-10);
    EXPECT_NEAR(found.sigma1 / c / reference.sigma1, 1, 1e-10);
  }
}

TEST_P(Baselines, StateIsWhatItSays) {
  const Tensor A = spiked(1000, 120, 20);
  std::unique_ptr<DirectionStream> stream;
  nn::detail::MemoryMeter meter;
  stream = GetParam().make();
  for (const auto& part : A.split(33)) {
    stream->update(part);
    const int64_t lists = stream->state_bits() / 8 - meter.live();
    EXPECT_GE(lists, 0);
    EXPECT_LE(lists, 8 * 400 + 512);  // numbers that are no tensors
  }
}

TEST_P(Baselines, GoOnAfterAnswersAndShortStreams) {
  const Tensor A = spiked(900, 20, 20);
  const auto stream = GetParam().make(), straight = GetParam().make();
  stream->update(A.slice(0, 0, 3));
  EXPECT_TRUE(at::isfinite(stream->result().vector).all().item<bool>());
  stream->update(A.slice(0, 3));
  EXPECT_NEAR(corr(stream->result().vector, run(*straight, A).vector), 1, 1e-10);
}

INSTANTIATE_TEST_SUITE_P(All, Baselines, testing::ValuesIn(kMethods),
                         [](const auto& info) { return info.param.name; });

TEST(FrequentDirections, SketchKeepsItsBound) {
  // ||M - S^T S|| <= ||A - A_j||_F^2 / (l - j) for every j < l, and M >= S^T S.
  const Tensor A = normal({900, 40}) * torch::linspace(3, 0.1, 40, kFloat64).square();
  const Tensor M = A.t().mm(A), tail = std::get<0>(torch::linalg_eigh(M)).flip(0);
  for (const int64_t l : {5, 13}) {
    FrequentDirections stream({.rows = l});
    run(stream, A);
    const Tensor S = stream.sketch();
    EXPECT_LE(S.size(0), 2 * l);
    const Tensor gap = std::get<0>(torch::linalg_eigh(M - S.t().mm(S)));
    const double most = gap.max().item<double>();
    EXPECT_GE(gap.min().item<double>(), -1e-9 * tail[0].item<double>());
    for (int64_t j = 0; j < l; ++j)
      EXPECT_LE(most, tail.slice(0, j).sum().item<double>() / static_cast<double>(l - j)) << j;
  }
  FrequentDirections few({.rows = 30});
  EXPECT_NEAR(corr(run(few, A.slice(0, 0, 60)).vector, exact(A.slice(0, 0, 60)).v), 1, 1e-12);
}

TEST(Reservoir, DrawsRowsByTheirSquaredNorms) {
  // Rows along axes: the share of place i is its squared norm's.
  const Tensor norms2 = torch::tensor({4., 1., 3., 2.}, kFloat64);
  const Tensor rows = torch::diag(norms2.sqrt());
  Reservoir stream({.rows = 40000});
  for (const auto& row : rows.split(1)) stream.update(row);
  const auto found = stream.result();
  // sigma_1^2 is ||A||_F^2 times the share of the first axis, 0.4 +- sqrt(.24 / 40000).
  EXPECT_NEAR(found.sigma1 * found.sigma1 / 10, 0.4, 4 * std::sqrt(0.24 / 40000));
  EXPECT_NEAR(found.gap, 4. / 3, 0.05);
}

TEST(Baselines, BadArgumentsAreNamed) {
  EXPECT_THROW(AdaOja({.batch = 0}), InvalidArgument);
  EXPECT_THROW(AdaOja({.b0 = 0}), InvalidArgument);
  EXPECT_THROW(HistoryPca({.inner = 0}), InvalidArgument);
  EXPECT_THROW(FrequentDirections({.rows = 0}), InvalidArgument);
  EXPECT_THROW(Reservoir({.rows = 0}), InvalidArgument);
  HistoryPca wide({.block_width = 5});
  EXPECT_THROW(wide.update(normal({3, 4})), InvalidArgument);
}

}  // namespace
}  // namespace ritz::rows
