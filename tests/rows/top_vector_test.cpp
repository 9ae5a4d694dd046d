// TopVector: section by section what the specification promises of it.
#include "ritz/rows/top_vector.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/detail/memory_meter.h"
#include "tests/dist/launch.h"

namespace ritz::rows {
namespace {

using torch::kFloat32;
using torch::kFloat64;

Tensor normal(at::IntArrayRef shape, uint64_t index = 0) {
  return RandomStream(5, stream_id("tests/top-vector", index)).normal(shape, kFloat64);
}

/// n rows with first direction u (rank one of strength sqrt(lam)) in isotropic noise, norm^2 about
/// 1 in all.
Tensor spiked(int64_t n, int64_t d, double lam, uint64_t index = 0) {
  const Tensor u = normal({d}, 1000 + index);
  RandomStream random(6, stream_id("tests/top-vector/spiked", index));
  const Tensor sign = random.rademacher({n, 1}, kFloat64);
  return random.normal({n, d}, kFloat64) / std::sqrt(n) +
         sign * (u / u.norm()) * std::sqrt(lam / n);
}

/// The generator of the specification's section 6: heavy rows among light ones, shuffled.
Tensor heavy_rows(int64_t n, int64_t d, double R, int64_t h, double s, uint64_t index = 0) {
  const Tensor basis = std::get<0>(torch::linalg_qr(normal({d, h + 1}, 2000 + index))).t();
  RandomStream random(7, stream_id("tests/top-vector/heavy", index));
  const double lam = R / 2;
  const Tensor light = random.normal({n, d}, kFloat64) / std::sqrt(n) +
                       random.rademacher({n, 1}, kFloat64) * basis[0] * std::sqrt(lam / n);
  const double part = R / (2 * h);
  const Tensor heavy = random.rademacher({h, 1}, kFloat64) *
                       (std::sqrt(part) * basis[0] + std::sqrt(s - part) * basis.slice(0, 1));
  return torch::cat({light, heavy}).index_select(0, random.permutation(n + h));
}

struct Exact {
  Tensor v;
  double sigma1, gap;
};
Exact exact(const Tensor& A) {
  const auto [w, V] = torch::linalg_eigh(A.t().mm(A));
  const int64_t d = w.size(0);
  return {V.select(1, d - 1), std::sqrt(w[d - 1].item<double>()),
          d > 1 ? w[d - 1].item<double>() / w[d - 2].item<double>() : 0};
}

double loss(const Tensor& v, const Tensor& truth) {
  const double c = v.to(kFloat64).dot(truth).item<double>();
  return 1 - c * c;
}

/// Rows in batches of odd sizes.
Direction run(DirectionStream& stream, const Tensor& rows, int64_t batch = 77) {
  for (const auto& part : rows.split(batch)) stream.update(part);
  return stream.result();
}
Direction run(const TopVectorOptions& options, const Tensor& rows, int64_t batch = 77) {
  TopVector stream(options);
  return run(stream, rows, batch);
}

TEST(TopVector, OneColumnAndRankOneAreExactAfterAPiece) {
  const auto one = run(TopVectorOptions{}, normal({500, 1}));
  EXPECT_EQ(one.vector.abs().item<double>(), 1);
  const Tensor u = normal({37});
  const auto rank_one = run(TopVectorOptions{.heavy = 3}, normal({900, 1}) * u);
  // Rounding of sums of 900 terms.
  EXPECT_LT(loss(rank_one.vector, u / u.norm()), 1e-12);
  EXPECT_NEAR(rank_one.sigma1 / exact(normal({900, 1}) * u).sigma1, 1, 0.3);
  EXPECT_TRUE(std::isinf(rank_one.gap));
}

TEST(TopVector, KeepingAllRowsIsTheExactSvdInEveryOrder) {
  const Tensor A = heavy_rows(300, 23, 6, 5, 2);
  const auto truth = exact(A);
  for (const int order : {0, 1, 2}) {
    const Tensor norms = A.norm(2, {1});
    const Tensor rows = order == 0 ? A : A.index_select(0, norms.argsort(0, order == 1));
    for (const int64_t first : {0, 306}) {  // in the heap, or because the stream is short
      const auto found = run(first == 0 ? TopVectorOptions{.heavy = 400}
                                        : TopVectorOptions{.heavy = 2, .first_rows = first},
                             rows);
      EXPECT_LT(loss(found.vector, truth.v), 1e-10);
      EXPECT_NEAR(found.sigma1, truth.sigma1, 1e-10);
      EXPECT_NEAR(found.gap, truth.gap, 1e-9);
      EXPECT_TRUE(found.status.ok());
      EXPECT_EQ(found.n, 305);
    }
  }
}

TEST(TopVector, NystromFactorIsExactWhereTheLightRowsHaveRankK) {
  // Rank 4, every piece sees the same four rows again and again: M_piece is M in proportion.
  const Tensor basis = normal({4, 30});
  const Tensor rows = basis.repeat({512, 1});
  const auto truth = exact(rows);
  for (const int64_t k : {4, 6}) {
    const auto found = run(TopVectorOptions{.heavy = 0, .block_width = k, .first_rows = 64}, rows);
    EXPECT_LT(loss(found.vector, truth.v), 1e-10);
    EXPECT_NEAR(found.sigma1 / truth.sigma1, 1, 1e-10);
    EXPECT_NEAR(found.gap / truth.gap, 1, 1e-8);
  }
}

TEST(TopVector, ScaleAndSignsOfRowsChangeNothing) {
  const Tensor A = heavy_rows(1500, 40, 12, 6, 2);
  const auto base = run(TopVectorOptions{.heavy = 12}, A);
  const Tensor signs = RandomStream(3).rademacher({A.size(0), 1}, kFloat64);
  EXPECT_LT(loss(run(TopVectorOptions{.heavy = 12}, A * signs).vector, base.vector), 1e-12);
  for (const double c : {1e150, 1e-150, 3.0, 1e-300, 1e300}) {
    const auto scaled = run(TopVectorOptions{.heavy = 12}, A * c);
    EXPECT_LT(loss(scaled.vector, base.vector), 1e-12) << c;
    EXPECT_NEAR(scaled.sigma1 / c / base.sigma1, 1, 1e-12) << c;
    EXPECT_NEAR(scaled.frobenius / c / base.frobenius, 1, 1e-12) << c;
  }
}

TEST(TopVector, LargerRowsThatComeLaterMoveTheScale) {
  // Tiny rows first; the others are all that counts.
  const Tensor A = heavy_rows(1500, 40, 12, 6, 2);
  const Tensor tiny = normal({700, 40}) * 1e-200, rows = torch::cat({tiny, A * 1e180});
  const auto found = run(TopVectorOptions{.heavy = 12}, rows);
  EXPECT_LT(loss(found.vector, exact(A).v), 0.05);
  EXPECT_NEAR(found.sigma1 / 1e180 / exact(A).sigma1, 1, 0.15);
}

TEST(TopVector, OrthogonalChangeOfBasisCarriesTheVectorAlong) {
  const Tensor A = heavy_rows(1200, 31, 12, 6, 2), start = normal({4, 31}, 9);
  const Tensor Q = std::get<0>(torch::linalg_qr(normal({31, 31}, 8)));
  const auto base = run(TopVectorOptions{.heavy = 12, .start = start}, A);
  const auto turned = run(TopVectorOptions{.heavy = 12, .start = start.mm(Q)}, A.mm(Q));
  EXPECT_LT(loss(turned.vector, Q.t().mv(base.vector)), 1e-12);
  EXPECT_NEAR(turned.sigma1, base.sigma1, 1e-12);
}

TEST(TopVector, BatchesOfAnySizeGiveTheSameAnswer) {
  const Tensor A = heavy_rows(1100, 29, 12, 6, 2);
  const auto base = run(TopVectorOptions{.heavy = 12}, A, 1100);
  for (const int64_t batch : {1, 7, 64, 257}) {  // sums of each row's products in one order
    const auto other = run(TopVectorOptions{.heavy = 12}, A, batch);
    EXPECT_LT(loss(other.vector, base.vector), 1e-13);
    EXPECT_EQ(other.heavy_rows, base.heavy_rows);
  }
}

TEST(TopVector, StridesAndSingleRowsAndHalfPrecisionAreTaken) {
  const Tensor A = heavy_rows(600, 20, 12, 4, 2);
  const auto base = run(TopVectorOptions{.heavy = 8}, A);
  TopVector columns({.heavy = 8}), singles({.heavy = 8});
  columns.update(A.t().contiguous().t());
  for (int64_t i = 0; i < A.size(0); ++i) singles.update(A[i]);
  EXPECT_LT(loss(columns.result().vector, base.vector), 1e-13);
  EXPECT_LT(loss(singles.result().vector, base.vector), 1e-13);
  const Tensor half = A.to(torch::kFloat16), brain = A.to(torch::kBFloat16);
  for (const Tensor& rows : {half, brain}) {
    const auto found = run(TopVectorOptions{.heavy = 8}, rows);
    EXPECT_EQ(found.vector.scalar_type(), kFloat32);
    EXPECT_LT(loss(found.vector, run(TopVectorOptions{.heavy = 8}, rows.to(kFloat64)).vector),
              1e-6);
  }
}

TEST(TopVector, CompressedRowsAreTheSameRows) {
  const Tensor dense =
      heavy_rows(900, 26, 12, 4, 2) * RandomStream(8).uniform({904, 26}, kFloat64).gt(0.6);
  const auto csr = dense.to_sparse_csr();
  const SparseRows rows{csr.crow_indices(), csr.col_indices(), csr.values(), 26};
  for (const bool centre : {false, true}) {
    const TopVectorOptions options{.heavy = 8, .stream = {.centre = centre}};
    TopVector sparse(options);
    sparse.update(rows.slice(0, 400));
    sparse.update(rows.slice(400, 504));
    TopVector plain(options);
    plain.update(dense.narrow(0, 0, 400));
    plain.update(dense.narrow(0, 400, 504));
    const auto a = sparse.result(), b = plain.result();
    EXPECT_LT(loss(a.vector, b.vector), 1e-12);
    EXPECT_EQ(a.heavy_rows, b.heavy_rows);
  }
}

TEST(TopVector, KeepsTheLargestRowsTheEarliestAmongEquals) {
  // Norms 1 ... 5 many times over; H = 7 keeps those of norm 5 that came first.
  const int64_t n = 700;
  const Tensor directions = normal({n, 9}), norms = torch::arange(n).remainder(5) + 1;
  const Tensor rows = directions / directions.norm(2, {1}, true) * norms.unsqueeze(1).to(kFloat64);
  const Tensor whole = torch::zeros({n, 9}, kFloat64);
  whole.select(1, 0).copy_(norms);  // exactly equal norms
  const auto found = run(TopVectorOptions{.heavy = 7}, whole);
  EXPECT_EQ(found.heavy_rows, (std::vector<int64_t>{4, 9, 14, 19, 24, 29, 34}));
  const auto falling =
      run(TopVectorOptions{.heavy = 7}, whole.index_select(0, norms.argsort(true, 0, true)));
  EXPECT_EQ(falling.heavy_rows, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(TopVector, HeavyRowsThatSpoilBlockPowerIterationDoNotSpoilIt) {
  double with = 0, without = 0;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Tensor A = heavy_rows(6000, 120, 20, 12, 2, seed);
    const auto truth = exact(A);
    const auto found = run(TopVectorOptions{.heavy = 24, .stream = {.seed = seed}}, A);
    with += loss(found.vector, truth.v);
    without += loss(run(TopVectorOptions{.heavy = 0, .stream = {.seed = seed}}, A).vector, truth.v);
    EXPECT_NEAR(found.sigma1 / truth.sigma1, 1, 0.1);
    const auto rank1 =
        run(TopVectorOptions{.heavy = 24, .merge = Merge::rank1, .stream = {.seed = seed}}, A);
    EXPECT_LT(loss(rank1.vector, found.vector), 1e-2);
  }
  EXPECT_LT(with, 0.25 * without);
}

TEST(TopVector, ThetaKeepsOnlyHeavyRows) {
  // L is set so that d L is well below n: average rows are then below the threshold.
  const Tensor A = heavy_rows(6000, 30, 20, 5, 2);
  const auto found = run(TopVectorOptions{.heavy = 64, .theta = true, .polylog = 20}, A);
  EXPECT_EQ(found.h_est, 5);
  EXPECT_LT(loss(found.vector, exact(A).v), 0.02);
  EXPECT_TRUE(found.status.ok());
}

TEST(TopVector, SubsamplingIsUnbiasedAndNeedsNoOrderOfBatches) {
  const Tensor A = heavy_rows(9000, 30, 20, 0, 0);
  double sigma = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const TopVectorOptions options{.heavy = 0, .subsample = 8, .stream = {.seed = seed}};
    const auto found = run(options, A);
    EXPECT_LT(loss(found.vector, exact(A).v), 0.1);
    EXPECT_LT(loss(run(options, A, 1000).vector, found.vector), 1e-12);
    sigma += found.sigma1 * found.sigma1 / 8;
  }
  const double truth = exact(A).sigma1;
  EXPECT_NEAR(sigma / truth / truth, 1, 0.05);
}

TEST(TopVector, SigmaIsUnbiasedOnTheGenerator) {
  double mean = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Tensor A = heavy_rows(5000, 60, 20, 6, 2, seed);
    const double sigma = run(TopVectorOptions{.heavy = 12, .stream = {.seed = seed}}, A).sigma1;
    mean += std::pow(sigma / exact(A).sigma1, 2) / 10;
  }
  EXPECT_NEAR(mean, 1, 0.05);
}

TEST(TopVector, ErrorHalvesWhenTheStreamDoubles) {
  std::vector<double> x, y;
  for (const int64_t n : {2048, 4096, 8192, 16384}) {
    double mean = 0;
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const Tensor A = spiked(n, 30, 10, seed);
      const Tensor u = normal({30}, 1000 + seed);
      mean += loss(run(TopVectorOptions{.heavy = 0, .stream = {.seed = seed}}, A, 4096).vector,
                   u / u.norm()) /
              12;
    }
    x.push_back(std::log(n));
    y.push_back(std::log(mean));
  }
  double mx = 0, my = 0, xy = 0, xx = 0;
  for (int i = 0; i < 4; ++i) mx += x[i] / 4, my += y[i] / 4;
  for (int i = 0; i < 4; ++i) xy += (x[i] - mx) * (y[i] - my), xx += (x[i] - mx) * (x[i] - mx);
  EXPECT_NEAR(xy / xx, -1, 0.2);
}

TEST(TopVector, OrderWarningComesForSortedStreamsAndSeldomForShuffledOnes) {
  int alarms = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Tensor A = heavy_rows(3000, 40, seed % 2 == 0 ? 20 : 3, seed % 3 == 0 ? 10 : 0, 2, seed);
    const int64_t H = seed % 4 == 0 ? 0 : 16;
    alarms += run(TopVectorOptions{.heavy = H, .stream = {.seed = seed}}, A, 3010).order_not_random;
  }
  EXPECT_LE(alarms, 2);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Tensor spikes = spiked(1200, 60, 36, seed) * 1.0, noise = normal({6000, 60}, seed) / 78;
    const auto first = run(TopVectorOptions{.heavy = 16}, torch::cat({spikes, noise}));
    EXPECT_TRUE(first.order_not_random) << seed;
  }
}

TEST(TopVector, CentredRowsGiveTheFirstPrincipalComponent) {
  const Tensor A = heavy_rows(3000, 25, 20, 6, 2) + 5 * normal({25}, 77);
  const Tensor C = A - A.mean(0);
  const auto truth = exact(C);
  const auto all = run(TopVectorOptions{.heavy = 4000, .stream = {.centre = true}}, A);
  EXPECT_LT(loss(all.vector, truth.v), 1e-10);  // the Gram matrix is exact whatever the batches
  EXPECT_NEAR(all.sigma1, truth.sigma1, 1e-9);
  EXPECT_EQ(all.n, 3006);
  const auto found = run(TopVectorOptions{.heavy = 16, .stream = {.centre = true}}, A);
  EXPECT_LT(loss(found.vector, truth.v), 0.02);
  EXPECT_GT(loss(run(TopVectorOptions{.heavy = 16}, A).vector, truth.v), 0.5);
}

TEST(TopVector, ZeroRowsAreCountedAndSkipped) {
  const Tensor A = spiked(2000, 20, 10);
  const Tensor zeros = torch::zeros_like(A);
  const Tensor mixed = torch::stack({A, zeros}, 1).reshape({4000, 20});
  const auto found = run(TopVectorOptions{.heavy = 4}, mixed);
  EXPECT_EQ(found.n, 4000);
  EXPECT_NEAR(found.sigma1 / exact(A).sigma1, 1, 0.1);
  // A stream that ends in nothing but zeros still knows where the rows pointed.
  const auto ended =
      run(TopVectorOptions{.heavy = 4}, torch::cat({A, torch::zeros({40000, 20}, kFloat64)}));
  EXPECT_LT(loss(ended.vector, exact(A).v), 0.1);
}

TEST(TopVector, StateIsWhatItSaysAndNothingElseStays) {
  for (const auto dtype : {kFloat32, kFloat64}) {
    for (const bool centre : {false, true}) {
      const int64_t d = 203, H = 10, k = 3;
      const Tensor A = normal({1500, d}).to(dtype);
      int64_t most = 0;
      std::optional<TopVector> stream;
      nn::detail::MemoryMeter meter;
      stream.emplace(TopVectorOptions{.heavy = H, .block_width = k, .stream = {.centre = centre}});
      for (int64_t i = 0; i < 1500; ++i) {
        stream->update(A[i]);
        // Tensors that outlive the update; the two lists of H numbers are no tensors.
        const int64_t kept = meter.live();
        const int64_t lists = stream->state_bits() / 8 - kept;
        ASSERT_GE(lists, 16 * H) << i;
        // Two numbers a kept row (n0 = 64 at first), three a piece.
        ASSERT_LE(lists, 16 * (i < 70 ? 64 : H) + 24 * 20) << i;
        most = std::max(most, 8 * kept);
      }
      const int64_t w = dtype == kFloat32 ? 32 : 64;
      // The specification's formula: 4 d k + k^2 words, H (d + 1) of w bits; the mean beside it.
      const int64_t formula = 64 * (4 * d * k + k * k) + w * H * (d + 1) + (centre ? 64 * d : 0);
      EXPECT_LE(stream->state_bits(), formula + 192 * 20 + 128 * H);
      const auto found = stream->result();
      EXPECT_GE(found.state_bits, most);
    }
  }
}

TEST(TopVector, AStreamIsReadOnceAndInOrder) {
  // Every batch is destroyed as soon as it was taken: a second look at it would find NaN.
  const Tensor A = heavy_rows(2000, 30, 12, 6, 2), rows = A.clone();
  TopVector stream({.heavy = 12});
  for (const auto& batch : rows.split(100)) {
    stream.update(batch);
    batch.fill_(std::nan(""));
  }
  const auto found = stream.result();
  EXPECT_LT(loss(found.vector, run(TopVectorOptions{.heavy = 12}, A).vector), 1e-13);
  // result() may be asked for again, and in between.
  EXPECT_EQ(loss(stream.result().vector, found.vector), loss(found.vector, found.vector));
}

TEST(TopVector, StatusTellsShortStreamsFromTooManyHeavyRows) {
  const Tensor A = heavy_rows(3000, 40, 12, 30, 2);
  EXPECT_TRUE(run(TopVectorOptions{.heavy = 8}, A).status.short_stream);
  const auto overflow = run(TopVectorOptions{.heavy = 8, .polylog = 10}, A);
  EXPECT_TRUE(overflow.status.heavy_overflow);
  EXPECT_FALSE(overflow.status.short_stream);
  EXPECT_EQ(overflow.h_est, 8);
  const auto enough = run(TopVectorOptions{.heavy = 60, .polylog = 10}, A);
  EXPECT_TRUE(enough.status.ok());
  EXPECT_EQ(enough.h_est, 30);
  const auto isotropic = run(TopVectorOptions{.heavy = 4, .polylog = 1}, normal({40000, 10}), 4000);
  EXPECT_TRUE(isotropic.status.gap_small);
  EXPECT_EQ(isotropic.status.names(), std::vector<std::string>{"gap_small"});
}

TEST(TopVector, MergedStreamsKnowWhatEachKnew) {
  const Tensor A = heavy_rows(6000, 40, 20, 8, 2);
  const auto truth = exact(A);
  const TopVectorOptions options{.heavy = 16};
  for (const int64_t cut : {3000, 30, 5990}) {  // either may still keep all of its rows
    for (const double scale : {1.0, 1e-160}) {
      TopVector a(options), b(options);
      a.update(A.slice(0, 0, cut) * scale);
      b.update(A.slice(0, cut) * scale);
      a.merge(b);
      const auto found = a.result();
      EXPECT_EQ(found.n, A.size(0));
      EXPECT_LT(loss(found.vector, truth.v), 0.05) << cut;
      EXPECT_NEAR(found.sigma1 / scale / truth.sigma1, 1, 0.1) << cut;
      EXPECT_EQ(found.heavy_rows, run(options, A).heavy_rows) << cut;
      a.update(A * scale);
      EXPECT_EQ(a.result().n, 2 * A.size(0));
      EXPECT_LT(loss(a.result().vector, truth.v), 0.05) << cut;
    }
  }
  // Two short streams: still exact; centred ones know the difference of their means.
  const Tensor few = A.slice(0, 0, 100) + torch::arange(100).unsqueeze(1) * normal({40}, 3);
  TopVector a({.stream = {.centre = true}}), b({.stream = {.centre = true}});
  a.update(few.slice(0, 0, 37));
  b.update(few.slice(0, 37));
  a.merge(b);
  EXPECT_LT(loss(a.result().vector, exact(few - few.mean(0)).v), 1e-10);
}

TEST(TopVector, MergeRefusesWhatDoesNotFit) {
  TopVector a({.heavy = 4}), b({.heavy = 5}), c({.heavy = 4}), empty({.heavy = 4});
  a.update(normal({10, 3}));
  b.update(normal({10, 3}));
  c.update(normal({10, 4}));
  EXPECT_THROW(a.merge(b), InvalidArgument);
  EXPECT_THROW(a.merge(c), InvalidArgument);
  EXPECT_THROW(a.merge(a), InvalidArgument);
  a.merge(empty);
  EXPECT_EQ(a.rows(), 10);
}

// Every rank has its share of the rows; the last has fewer, or none.
TEST(TopVector, DISABLED_RanksFindTheDirectionOfAllRows) {
  auto group = dist::ProcessGroup::from_environment();
  const int world = group.world_size(), rank = group.rank();
  const Tensor A = heavy_rows(9000, 50, 20, 8, 2);
  const auto truth = exact(A);
  const int64_t d = 50, H = 16, k = 4;
  for (const int64_t n : {9008, 8000, 60, 3}) {
    const int64_t share = n == 9008 ? n / world : n / (2 * world);
    const int64_t begin = rank * share;
    const int64_t end =
        rank + 1 == world ? (n == 3 ? begin : begin + share / 2 + 1) : begin + share;
    TopVector stream({.heavy = H, .block_width = k, .stream = {.cols = d, .first_row = begin}},
                     &group);
    const int64_t before = group.words_sent();
    if (end > begin)
      for (const auto& part : A.slice(0, begin, end).split(61 + rank)) stream.update(part);
    const bool empty = n == 3 && (world - 1) * share == 0;
    if (empty) {
      EXPECT_THROW(stream.result(), InvalidArgument);
      continue;
    }
    const auto found = stream.result();
    const int64_t words = group.words_sent() - before;
    const Tensor all = group.all_gather(found.vector);
    EXPECT_TRUE(torch::equal(all[0], all[world - 1]));
    EXPECT_EQ(found.n, (world - 1) * share + (n == 3 ? 0 : share / 2 + 1));
    if (n == 9008) {
      EXPECT_LT(loss(found.vector, truth.v), 0.02);
      EXPECT_GE(found.h_est, 5);  // of 8, less those that no rank was given
      // p d k words for the pieces' products, H (d + 3) and a few for the end.
      const auto p = static_cast<int64_t>(found.lambda_by_piece.size());
      EXPECT_LE(words, (p + 1) * (d * k + 8) + H * (d + 3) + 64);
    }
    if (n == 60) {
      const Tensor rows = A.slice(0, 0, found.n);
      EXPECT_LT(loss(found.vector, exact(rows).v), 1e-10);  // all were kept: exact
    }
    // Asking again changes nothing.
    EXPECT_TRUE(torch::equal(stream.result().vector, found.vector));
  }
}

TEST(TopVector, RanksFindTheDirectionOfAllRows) {
  for (const int world : {2, 3})
    for (const auto pid :
         test::start_ranks(world, "TopVector.DISABLED_RanksFindTheDirectionOfAllRows"))
      EXPECT_EQ(test::finish(pid), 0);
}

TEST(TopVector, BadRowsAreNamedOrPassedOver) {
  Tensor A = spiked(800, 15, 10).to(kFloat32);
  const auto clean = run(TopVectorOptions{.heavy = 4},
                         torch::cat({A.slice(0, 0, 300), A.slice(0, 301, 650), A.slice(0, 651)}));
  A[300][3] = std::nanf("");
  A[650][0] = std::numeric_limits<float>::infinity();
  try {
    run(TopVectorOptions{.heavy = 4}, A);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("row 300"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("column 3"), std::string::npos) << error.what();
  }
  const auto found = run(TopVectorOptions{.heavy = 4, .stream = {.skip_bad = true}}, A);
  EXPECT_EQ(found.skipped, 2);
  EXPECT_EQ(found.n, 798);
  EXPECT_LT(loss(found.vector, clean.vector.to(kFloat64)), 1e-6);  // float32
  for (const int64_t row : found.heavy_rows) EXPECT_TRUE(row != 300 && row != 650);
}

TEST(TopVector, BadArgumentsAreNamed) {
  EXPECT_THROW(TopVector({.heavy = -1}), InvalidArgument);
  EXPECT_THROW(TopVector({.schedule = Schedule::equal}), InvalidArgument);
  EXPECT_THROW(TopVector({.heavy = 8, .first_rows = 8}), InvalidArgument);
  EXPECT_THROW(TopVector({.subsample = -1}), InvalidArgument);
  TopVector wide({.block_width = 6});
  EXPECT_THROW(wide.update(normal({10, 5})), InvalidArgument);
  TopVector large({.heavy = 1000, .stream = {.memory_limit = 1000000}});
  EXPECT_THROW(large.update(normal({1, 2000})), InvalidArgument);
  TopVector stream;
  EXPECT_THROW(stream.result(), InvalidArgument);
  stream.update(torch::zeros({10, 5}, kFloat64));
  try {
    stream.result();
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("zero_matrix"), std::string::npos);
  }
  EXPECT_THROW(stream.update(normal({10, 6})), InvalidArgument);
  EXPECT_THROW(stream.update(normal({10, 5}).to(kFloat32)), InvalidArgument);
  EXPECT_THROW(stream.update(torch::zeros({10, 5}, torch::kInt64)), InvalidArgument);
  EXPECT_THROW(stream.update(Tensor()), InvalidArgument);
  EXPECT_THROW(stream.update(normal({2, 2, 2})), InvalidArgument);
}

}  // namespace
}  // namespace ritz::rows
