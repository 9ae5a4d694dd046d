#include "ritz/optim/batch_scaling/spectra.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "ritz/optim/batch_scaling/theory.h"
#include "tests/dist/launch.h"

namespace ritz::optim {
namespace {

constexpr int64_t kN = 30, kP = 9;

/// Symmetric matrices of single samples, [N, P, P]: a common part and noise.
torch::Tensor sample_matrices(torch::Dtype dtype = torch::kFloat64) {
  RandomStream random(4, stream_id("spectra-test"));
  const auto G = random.normal({kN, kP, kP}, torch::kFloat64);
  auto H = (G + G.transpose(1, 2)) / 2;
  H += torch::diag(torch::linspace(-2, 6, kP, torch::kFloat64));
  return H.to(dtype);
}

BatchOperator batch_operator(const torch::Tensor& H) {
  return [H](const Tensor& rows) {
    return std::make_shared<DenseOperator>(H.index_select(0, rows).mean(0));
  };
}

TEST(BatchSpectra, AreThoseOfTheDrawnBatches) {
  const auto H = sample_matrices();
  const auto sizes = batch_spectra(batch_operator(H), kN,
                                   {.batch_sizes = {1, 7}, .batches = 5, .steps = kP, .seed = 3});
  ASSERT_EQ(sizes.size(), 2u);
  for (const auto& size : sizes) {
    double mean = 0, square = 0;
    for (int64_t r = 0; r < 5; ++r) {
      const auto rows = batch_rows(size.batch, r, kN, false, 3);
      const auto values = torch::linalg_eigvalsh(H.index_select(0, rows).mean(0));
      EXPECT_NEAR(size.largest[r], values[-1].item<double>(), 1e-10);
      EXPECT_NEAR(size.smallest[r], values[0].item<double>(), 1e-10);
      mean += size.largest[r] / 5;
    }
    for (const double value : size.largest) square += (value - mean) * (value - mean);
    EXPECT_NEAR(size.lambda_1, mean, 1e-12);
    EXPECT_NEAR(size.lambda_1_se, std::sqrt(square / 4 / 5), 1e-12);
    EXPECT_DOUBLE_EQ(size.b, effective_batch(size.batch, kN));
  }
}

TEST(BatchSpectra, AllSamplesAreOneBatchWithoutExcess) {
  const auto H = sample_matrices();
  const auto size =
      batch_spectra(batch_operator(H), kN, {.batch_sizes = {kN}, .batches = 5, .steps = kP})
          .front();
  ASSERT_EQ(size.largest.size(), 1u);
  EXPECT_NEAR(size.lambda_1, torch::linalg_eigvalsh(H.mean(0))[-1].item<double>(), 1e-10);
  EXPECT_TRUE(std::isnan(size.lambda_1_se));
  EXPECT_TRUE(std::isinf(size.b));
}

TEST(BatchSpectra, DrawWithAndWithoutReplacement) {
  const auto without = batch_rows(kN, 0, kN, false, 1);
  EXPECT_EQ(std::get<0>(without.sort()).eq(torch::arange(kN)).sum().item<int64_t>(), kN);
  const auto with = batch_rows(4 * kN, 0, kN, true, 1);
  EXPECT_EQ(with.size(0), 4 * kN);
  EXPECT_TRUE(with.ge(0).logical_and(with.lt(kN)).all().item<bool>());
  const auto size =
      batch_spectra(batch_operator(sample_matrices()), kN,
                    {.batch_sizes = {2 * kN}, .batches = 3, .steps = kP, .replacement = true})
          .front();
  EXPECT_EQ(size.b, 2 * kN);
  EXPECT_FALSE(torch::equal(batch_rows(5, 0, kN, false, 1), batch_rows(5, 1, kN, false, 1)));
  EXPECT_TRUE(torch::equal(batch_rows(5, 1, kN, false, 1), batch_rows(5, 1, kN, false, 1)));
}

// Five standard errors of each component over 400 batches.
TEST(BatchSpectra, BatchesAreUnbiased) {
  const auto H = sample_matrices();
  const auto v = RandomStream(1).normal({kP}, torch::kFloat64);
  std::vector<torch::Tensor> products;
  for (int64_t r = 0; r < 400; ++r)
    products.push_back(batch_operator(H)(batch_rows(4, r, kN, false, 2))->apply(v));
  const auto all = torch::stack(products);
  const auto error = (all.mean(0) - H.mean(0).mv(v)).abs();
  const auto se = all.std(0) / std::sqrt(400.);
  EXPECT_TRUE(error.le(5 * se).all().item<bool>());
}

// Jensen: the largest eigenvalue is convex, so its mean over batches is at least that of the mean.
TEST(BatchSpectra, TheMeanExtremeLiesOutsideTheFullOne) {
  const auto H = sample_matrices();
  const auto values = torch::linalg_eigvalsh(H.mean(0));
  const auto size =
      batch_spectra(batch_operator(H), kN, {.batch_sizes = {5}, .batches = 200, .steps = kP})
          .front();
  EXPECT_GT(size.lambda_1, values[-1].item<double>() - 3 * size.lambda_1_se);
  EXPECT_LT(size.lambda_P, values[0].item<double>() + 3 * size.lambda_P_se);
  // And here by far, so that the sign of the excess could not be wrong.
  EXPECT_GT(size.lambda_1, values[-1].item<double>() + 3 * size.lambda_1_se);
}

TEST(BatchSpectra, SinglePrecisionAgrees) {
  const BatchSpectraOptions options{.batch_sizes = {3}, .batches = 4, .steps = kP, .seed = 1};
  const auto wide = batch_spectra(batch_operator(sample_matrices()), kN, options).front();
  const auto narrow =
      batch_spectra(batch_operator(sample_matrices(torch::kFloat32)), kN, options).front();
  for (size_t r = 0; r < 4; ++r) EXPECT_NEAR(wide.largest[r], narrow.largest[r], 1e-5 * 10);
}

TEST(BatchSpectra, RefuseWhatCannotBe) {
  const auto op = batch_operator(sample_matrices());
  EXPECT_THROW(batch_spectra(op, kN, {.batch_sizes = {kN + 1}}), InvalidArgument);
  EXPECT_THROW(batch_spectra(op, kN, {.batch_sizes = {0}}), InvalidArgument);
  EXPECT_THROW(batch_spectra(op, kN, {.batch_sizes = {0}, .replacement = true}), InvalidArgument);
  EXPECT_THROW(batch_spectra(op, kN, {.batch_sizes = {1}, .steps = 0}), InvalidArgument);
  EXPECT_THROW(batch_spectra(op, kN, {.batch_sizes = {1}, .batches = -1}), InvalidArgument);
  EXPECT_THROW(batch_spectra(op, 0, {.batch_sizes = {1}}), InvalidArgument);
}

TEST(BatchSpectra, NameTheBatchWhoseProductIsNotFinite) {
  auto H = sample_matrices();
  H[batch_rows(1, 2, kN, false, 0)[0].item<int64_t>()] = std::numeric_limits<double>::quiet_NaN();
  try {
    batch_spectra(batch_operator(H), kN, {.batch_sizes = {1}, .batches = 3, .steps = 4});
    FAIL() << "no error";
  } catch (const NotConverged& error) {
    EXPECT_NE(std::string(error.what()).find("of size 1"), std::string::npos) << error.what();
  }
}

TEST(FullExtremes, AreBothEndsWithTheirVectors) {
  const auto H = sample_matrices().mean(0);
  const auto ends = full_extremes(DenseOperator(H), {.tolerance = 1e-8});
  const auto values = torch::linalg_eigvalsh(H);
  EXPECT_NEAR(ends.largest.values[0].item<double>(), values[-1].item<double>(), 1e-8);
  EXPECT_NEAR(ends.smallest.values[0].item<double>(), values[0].item<double>(), 1e-8);
  const auto v = ends.largest.vectors[0];
  EXPECT_NEAR((H.mv(v) - values[-1] * v).norm().item<double>(), 0, 1e-6);
  const auto single = full_extremes(DenseOperator(torch::full({1, 1}, 3., torch::kFloat64)));
  EXPECT_NEAR(single.largest.values[0].item<double>(), 3, 1e-12);
}

TEST(Ranks, DISABLED_ShareTheBatches) {
  auto group = dist::ProcessGroup::from_environment();
  const BatchSpectraOptions options{.batch_sizes = {1, 4}, .batches = 5, .steps = kP, .seed = 3};
  const auto op = batch_operator(sample_matrices());
  const auto alone = batch_spectra(op, kN, options),
             shared = batch_spectra(op, kN, options, &group);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(alone[i].largest, shared[i].largest);
    EXPECT_EQ(alone[i].smallest, shared[i].smallest);
    EXPECT_EQ(alone[i].lambda_1_se, shared[i].lambda_1_se);
  }
}

TEST(Ranks, TwoProcessesMeasureWhatOneDoes) {
  for (const auto pid : test::start_ranks(2, "Ranks.DISABLED_ShareTheBatches"))
    EXPECT_EQ(test::finish(pid), 0);
}

}  // namespace
}  // namespace ritz::optim
