// Sampling, coresets, their verification, joining and streams.
#include "ritz/rows/lp_sensitivity.h"

#include <gtest/gtest.h>

#include "ritz/base/error.h"
#include "tests/rows/lp_sensitivity/oracle.h"

namespace ritz::tests {
namespace {

using rows::coreset;
using rows::CoresetOptions;
using rows::draw_sample;
using rows::fixed_size_probabilities;
using rows::Sampler;
using rows::ScoreKind;
using rows::verify_embedding;

const ScoreKind kAllScores[] = {ScoreKind::root_leverage, ScoreKind::sensitivity,
                                ScoreKind::lewis,         ScoreKind::leverage,
                                ScoreKind::augmented,     ScoreKind::leverage_sensitivity,
                                ScoreKind::row_norm,      ScoreKind::uniform};

TEST(Sampling, WaterFillingSumsToTheSizeAndNeverExceedsOne) {
  const auto s = heavy_rows(501, 1, 1).abs().squeeze(1);
  for (const double m : {1.0, 7.0, 100.0, 333.5, 500.0}) {
    const auto q = fixed_size_probabilities(s, m);
    EXPECT_NEAR(q.sum().item<double>(), m, 1e-6);
    EXPECT_LE(q.max().item<double>(), 1);
    // Rows below one keep the ratios of their scores.
    const auto open = q < 1;
    const auto ratio = q.masked_select(open) / s.masked_select(open);
    if (ratio.size(0) > 1) {
      EXPECT_NEAR((ratio.max() / ratio.min()).item<double>(), 1, 1e-12);
    }
  }
  EXPECT_TRUE(fixed_size_probabilities(s, 501).eq(1).all().item<bool>());
  auto some = torch::zeros({10}, torch::kFloat64);
  some.slice(0, 0, 3).fill_(1);
  EXPECT_EQ(fixed_size_probabilities(some, 5).sum().item<double>(), 3);
}

TEST(Sampling, ARowsFateDependsOnItsNumberAlone) {
  const auto q = torch::full({1000}, 0.3, torch::kFloat64);
  const auto all = draw_sample(q, Sampler::bernoulli, 5);
  // The same rows in two shards.
  const auto first = draw_sample(q.slice(0, 0, 400), Sampler::bernoulli, 5, 0, torch::arange(400));
  const auto second =
      draw_sample(q.slice(0, 400), Sampler::bernoulli, 5, 0, torch::arange(400, 1000));
  EXPECT_TRUE(torch::equal(all.indices, torch::cat({first.indices, second.indices + 400})));
  EXPECT_FALSE(torch::equal(all.indices, draw_sample(q, Sampler::bernoulli, 6).indices));
}

TEST(Sampling, SystematicKeepsExactlySoManyAndAllThatAreCertain) {
  const auto s = heavy_rows(300, 1, 2).abs().squeeze(1);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto q = fixed_size_probabilities(s, 50);
    const auto kept = draw_sample(q, Sampler::systematic, seed);
    EXPECT_NEAR(static_cast<double>(kept.indices.size(0)), 50, 1);  // rounding at the last row
    EXPECT_EQ(q.index_select(0, kept.indices).eq(1).sum().item<int64_t>(),
              q.eq(1).sum().item<int64_t>());
  }
}

TEST(Sampling, EverySamplerIsUnbiased) {
  // E sum w_i f_i = sum f_i over 4000 draws: a z-test at 4.5 standard errors.
  const auto A = heavy_rows(60, 3, 3);
  const auto f = A.mv(gaussian(3, 1, 4).squeeze(1)).abs().pow(1.5);
  const auto q = fixed_size_probabilities(rows::leverage_scores(A), 20);
  for (const auto sampler : {Sampler::bernoulli, Sampler::multinomial, Sampler::systematic}) {
    const int draws = 4000;
    double sum = 0, squares = 0;
    for (int i = 0; i < draws; ++i) {
      const auto kept = draw_sample(q, sampler, static_cast<uint64_t>(i));
      const double value = (kept.weights * f.index_select(0, kept.indices)).sum().item<double>();
      sum += value;
      squares += value * value;
    }
    const double mean = sum / draws;
    const double se = std::sqrt((squares / draws - mean * mean) / draws);
    EXPECT_LT(std::abs(mean - f.sum().item<double>()), 4.5 * se) << static_cast<int>(sampler);
  }
}

TEST(Coreset, NormsAreUnbiasedThroughTheWholePath) {
  const auto A = heavy_rows(80, 2, 5), x = gaussian(2, 1, 6).squeeze(1);
  const double truth = std::pow(norm_p(A.mv(x), 1), 1);
  double sum = 0, squares = 0;
  const int draws = 600;
  for (int i = 0; i < draws; ++i) {
    const auto kept = coreset(A, {.p = 1, .size = {.rows = 25}, .seed = static_cast<uint64_t>(i)});
    const double value =
        (kept.weights * A.index_select(0, kept.indices).mv(x).abs()).sum().item<double>();
    sum += value;
    squares += value * value;
  }
  const double mean = sum / draws, se = std::sqrt((squares / draws - mean * mean) / draws);
  EXPECT_LT(std::abs(mean - truth), 4.5 * se);
}

TEST(Coreset, EveryScoreKeepsNormsAtAFixedSize) {
  const auto A = gaussian(2500, 4, 7);
  for (const double p : {1.0, 1.5, 3.0})
    for (const auto kind : kAllScores) {
      const auto kept = coreset(A, {.p = p,
                                    .score = kind,
                                    .size = {.rows = 1000},
                                    .sensitivities = rows::SensitivityMethod::approximate,
                                    .sample_rows = 250,
                                    .tolerance = 1e-4,
                                    .seed = 1});
      EXPECT_NEAR(static_cast<double>(kept.indices.size(0)), 1000, 150);
      const auto check = verify_embedding(A, kept.indices, kept.weights,
                                          {.p = p, .random_directions = 100, .ascents = 0});
      EXPECT_LT(check.distortion, 0.35) << rows::score_name(kind) << " p " << p;
    }
}

TEST(Coreset, AccuracyModeGrowsAsTheSquareOfOneOverEps) {
  const auto A = gaussian(60000, 3, 8);
  const auto size_at = [&](double eps) {
    CoresetOptions options{
        .p = 1, .score = ScoreKind::lewis, .size = {.eps = eps, .log_factor = 1}};
    return static_cast<double>(coreset(A, options).indices.size(0));
  };
  // d / eps^2 rows in the middle of the range, and the floor of one row.
  EXPECT_NEAR(size_at(0.1) / 300, 1, 0.25);
  EXPECT_NEAR(size_at(0.05) / 1200, 1, 0.15);
}

TEST(Coreset, RootLeverageRepeatsDownToItsFixedPoint) {
  const auto A = heavy_rows(20000, 5, 9);
  CoresetOptions options{.p = 1, .size = {.alpha = 0.1}, .recursive = true, .seed = 2};
  const auto kept = coreset(A, options);
  for (size_t i = 1; i < kept.sizes.size(); ++i) EXPECT_LT(kept.sizes[i], kept.sizes[i - 1]);
  EXPECT_LE(kept.sizes.size(), 8u);
  EXPECT_LT(static_cast<double>(kept.sizes.back()), 1.3 * 5 / 0.01);
  options.size = {.rows = 400};
  const auto fixed = coreset(A, options);
  EXPECT_NEAR(static_cast<double>(fixed.indices.size(0)), 400, 80);
  EXPECT_GT(fixed.sizes.size(), 1u);
  // Weights of the rounds multiply: norms are kept.
  const auto check = verify_embedding(A, fixed.indices, fixed.weights,
                                      {.p = 1, .random_directions = 200, .ascents = 0});
  EXPECT_LT(check.distortion, 0.8);
}

TEST(Coreset, LeverageAndSensitivityRepeatAboveTwo) {
  const auto A = heavy_rows(3000, 3, 10, 4);
  const auto kept = coreset(A, {.p = 4,
                                .score = ScoreKind::leverage_sensitivity,
                                .size = {.rows = 600},
                                .recursive = true,
                                .sensitivities = rows::SensitivityMethod::approximate,
                                .sample_rows = 500,
                                .tolerance = 1e-4});
  EXPECT_NEAR(static_cast<double>(kept.indices.size(0)), 600, 120);
  EXPECT_LT(verify_embedding(A, kept.indices, kept.weights,
                             {.p = 4, .random_directions = 200, .ascents = 0})
                .distortion,
            0.7);
}

TEST(Coreset, AsManyRowsAsThereAreKeepsAllWithWeightOne) {
  const auto A = heavy_rows(40, 3, 11);
  const auto kept = coreset(A, {.p = 1, .size = {.rows = 40}});
  EXPECT_TRUE(torch::equal(kept.indices, torch::arange(40)));
  EXPECT_TRUE(kept.weights.eq(1).all().item<bool>());
  EXPECT_EQ(kept.effective_rows, 40);
  const auto check = verify_embedding(A, kept.indices, kept.weights, {.p = 1});
  EXPECT_LT(check.distortion, 1e-12);
}

TEST(Coreset, RefusesWhatCannotBe) {
  const auto A = gaussian(50, 4, 1);
  EXPECT_THROW(coreset(A, {.p = 0.5, .size = {.rows = 10}}), InvalidArgument);
  EXPECT_THROW(coreset(A, {.size = {.rows = 3}}), InvalidArgument);  // below the rank
  EXPECT_THROW(coreset(A, {}), InvalidArgument);                     // no size
  EXPECT_THROW(coreset(A, {.size = {.rows = 10, .eps = 0.5}}), InvalidArgument);
  EXPECT_THROW(coreset(A, {.size = {.eps = 1.5}}), InvalidArgument);
  EXPECT_THROW(coreset(A, {.size = {.rows = 10}}, torch::zeros({50}, torch::kFloat64)),
               InvalidArgument);
  EXPECT_THROW(rows::parse_score("magic"), InvalidArgument);
  EXPECT_THROW(rows::parse_sampler("magic"), InvalidArgument);
  EXPECT_THROW(fixed_size_probabilities(-torch::ones({3}, torch::kFloat64), 1), InvalidArgument);
  for (const auto kind : kAllScores) EXPECT_EQ(rows::parse_score(rows::score_name(kind)), kind);
}

TEST(Verify, TwoIsTheGeneralisedEigenvalueProblem) {
  const auto A = heavy_rows(300, 4, 12);
  const auto kept = coreset(A, {.p = 2, .score = ScoreKind::leverage, .size = {.rows = 60}});
  const auto check = verify_embedding(A, kept.indices, kept.weights, {.p = 2});
  const auto R = std::get<1>(torch::linalg_qr(A));
  const auto B = torch::linalg_solve(R.t(), A.index_select(0, kept.indices).t()).t() *
                 kept.weights.sqrt().unsqueeze(1);
  const auto values = torch::linalg_svdvals(B).square();
  EXPECT_NEAR(check.distortion, (values - 1).abs().max().item<double>(), 1e-9);
}

TEST(Verify, WitnessAttainsTheDistortionAndHasUnitNorm) {
  const auto A = heavy_rows(500, 3, 13);
  for (const double p : {1.0, 1.5, 3.0, 6.0}) {
    const auto kept = coreset(A, {.p = p, .score = ScoreKind::lewis, .size = {.rows = 80}});
    const auto check = verify_embedding(A, kept.indices, kept.weights, {.p = p});
    EXPECT_NEAR(norm_p(A.mv(check.witness), p), 1, 1e-9) << p;
    const double kept_norm =
        (kept.weights * A.index_select(0, kept.indices).mv(check.witness).abs().pow(p))
            .sum()
            .item<double>();
    EXPECT_NEAR(std::abs(kept_norm - 1), check.distortion, 1e-8) << p;
    EXPECT_TRUE(check.monotone) << p;
  }
}

TEST(Verify, AscentFindsWhatADenseSearchInThePlaneFinds) {
  const auto A = heavy_rows(400, 2, 14);
  for (const double p : {1.0, 1.5, 4.0}) {
    const auto kept = coreset(A, {.p = p, .score = ScoreKind::lewis, .size = {.rows = 40}});
    const auto angle = torch::linspace(0, M_PI, 20001, torch::kFloat64);
    const auto X = torch::stack({angle.cos(), angle.sin()});
    const auto full = A.mm(X).abs().pow(p).sum(0);
    const auto few =
        (A.index_select(0, kept.indices).mm(X).abs().pow(p) * kept.weights.unsqueeze(1)).sum(0);
    const double truth = (few / full - 1).abs().max().item<double>();
    const auto check = verify_embedding(A, kept.indices, kept.weights, {.p = p});
    EXPECT_GT(check.distortion, truth * (1 - 1e-3)) << p;
  }
}

TEST(Verify, FindsTheSpikeThatRandomDirectionsMiss) {
  // One row is all there is of a direction; sampled, it got a weight of 50.
  auto A = gaussian(2000, 6, 15);
  A[0] *= 40;
  const auto indices = torch::arange(0, 2000, 2);
  auto weights = torch::full({1000}, 2.0, torch::kFloat64);
  weights[0] = 50;
  const auto blind = verify_embedding(
      A, indices, weights, {.p = 6, .random_directions = 50, .heavy_rows = 0, .ascents = 0});
  const auto found = verify_embedding(A, indices, weights, {.p = 6});
  EXPECT_GT(found.distortion, 45);
  EXPECT_GE(found.distortion, blind.distortion);
}

TEST(Verify, ASampleThatMissesADirectionIsOffByAll) {
  auto A = gaussian(100, 3, 16);
  A.slice(0, 0, 99).select(1, 2).zero_();
  const auto check =
      verify_embedding(A, torch::arange(50), torch::ones({50}, torch::kFloat64) * 2, {.p = 1});
  EXPECT_NEAR(check.smallest_ratio, 0, 1e-9);
  EXPECT_GE(check.distortion, 1 - 1e-9);
}

TEST(Verify, SurrogateOfManyRowsStillMeasuresOverAll) {
  const auto A = heavy_rows(3000, 3, 17);
  const auto kept = coreset(A, {.p = 1, .score = ScoreKind::lewis, .size = {.rows = 100}});
  const auto check =
      verify_embedding(A, kept.indices, kept.weights, {.p = 1, .surrogate_rows = 600});
  EXPECT_TRUE(check.surrogate);
  const double ratio = (kept.weights * A.index_select(0, kept.indices).mv(check.witness).abs())
                           .sum()
                           .item<double>() /
                       norm_p(A.mv(check.witness), 1);
  EXPECT_NEAR(std::abs(ratio - 1), check.distortion, 1e-9);
}

TEST(Verify, RefusesWhatDoesNotFit) {
  const auto A = gaussian(20, 2, 1);
  const auto w = torch::ones({2}, torch::kFloat64);
  EXPECT_THROW(verify_embedding(A, torch::tensor({0, 20}), w), InvalidArgument);
  EXPECT_THROW(verify_embedding(A, torch::tensor({0, 1, 2}), w), InvalidArgument);
  EXPECT_THROW(verify_embedding(A, torch::tensor({0, 1}), w * 0), InvalidArgument);
}

TEST(Merge, UnionOfCoresetsIsACoresetOfTheUnion) {
  const auto A = heavy_rows(6000, 4, 18);
  std::vector<rows::WeightedRows> parts;
  for (int64_t i = 0; i < 3; ++i) {
    const auto part = A.slice(0, 2000 * i, 2000 * (i + 1));
    const auto kept =
        coreset(part, {.p = 1, .size = {.rows = 800}, .seed = static_cast<uint64_t>(i)});
    parts.push_back({part.index_select(0, kept.indices), kept.weights, kept.indices + 2000 * i});
  }
  const auto all = rows::merge_coresets(parts, {.p = 1, .size = {.rows = 900}});
  EXPECT_NEAR(static_cast<double>(all.ids.size(0)), 900, 150);
  EXPECT_TRUE(torch::equal(all.rows, A.index_select(0, all.ids)));
  EXPECT_LT(verify_embedding(A, all.ids, all.weights, {.p = 1, .ascents = 0}).distortion, 0.5);
}

TEST(Stream, HoldsFewRowsAndKeepsNorms) {
  const auto A = heavy_rows(20000, 3, 19);
  rows::CoresetStream stream({.p = 1, .size = {.rows = 600}}, 1500);
  int64_t most = 0;
  for (int64_t begin = 0, step = 1; begin < 20000; begin += step, step = step % 977 + 113) {
    stream.update(A.slice(0, begin, std::min<int64_t>(begin + step, 20000)));
    most = std::max(most, stream.rows_held());
  }
  EXPECT_LE(most, 1500 + 5 * 700);
  const auto kept = stream.result();
  EXPECT_TRUE(torch::equal(kept.rows, A.index_select(0, kept.ids)));
  EXPECT_LT(verify_embedding(A, kept.ids, kept.weights, {.p = 1, .ascents = 0}).distortion, 0.6);
  // However the rows were handed over, the result is the same.
  rows::CoresetStream again({.p = 1, .size = {.rows = 600}}, 1500);
  again.update(A);
  EXPECT_TRUE(torch::equal(again.result().ids, kept.ids));
}

TEST(Stream, DropsBlocksOfZerosAndRefusesOthersShapes) {
  rows::CoresetStream stream({.p = 1, .size = {.rows = 10}}, 20);
  EXPECT_THROW(stream.result(), InvalidArgument);
  stream.update(torch::zeros({25, 2}, torch::kFloat64));
  const auto A = gaussian(40, 2, 1);
  stream.update(A);
  EXPECT_GT(stream.result().ids.min().item<int64_t>(), 19);
  EXPECT_THROW(stream.update(gaussian(3, 4, 1)), InvalidArgument);
  EXPECT_THROW(stream.update(A.to(torch::kFloat32)), InvalidArgument);
  EXPECT_THROW(stream.update(A * NAN), InvalidArgument);
  EXPECT_THROW(rows::CoresetStream({.size = {.eps = 0.5}}), InvalidArgument);
  EXPECT_THROW(rows::CoresetStream({.size = {.rows = 50}}, 50), InvalidArgument);
}

}  // namespace
}  // namespace ritz::tests
