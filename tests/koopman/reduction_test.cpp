#include "ritz/koopman/reduction.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

#include "ritz/koopman/edmd.h"
#include "tests/koopman/systems.h"

namespace ritz::koopman {
namespace {

using namespace tests;

struct Direct {
  Tensor PX, PY, w;  // w as a column
};
Direct direct(const Dictionary& dictionary, const Snapshots& s) {
  return {dictionary(s.x()), dictionary(s.y()), s.pair_weights().unsqueeze(1)};
}

TEST(Reduction, BothRoutesReproduceTheGramMatricesOfRealAndComplexFunctions) {
  const Snapshots s = trajectories(normal({7, 30, 2}, 1));
  for (const DictionaryPtr& d : {polynomial_dictionary(2, 9), fourier_dictionary(2, 9, 5.)}) {
    const auto [PX, PY, w] = direct(*d, s);
    const auto check = [&](const GramMatrices& g, double tolerance) {
      EXPECT_LT(difference(g.G, PX.mH().matmul(w * PX)), tolerance);
      EXPECT_LT(difference(g.A, PX.mH().matmul(w * PY)), tolerance);
      EXPECT_LT(difference(g.L, PY.mH().matmul(w * PY)), tolerance);
    };
    const double size = PX.mH().matmul(w * PX).abs().max().item<double>();
    check(gram_matrices(*d, s, {.block = 11}), 1e-13 * size);
    // 8 N rows at least are taken at a time, so that a second block is one of 203 - 72.
    const Reduction r = reduce(*d, s, {.block = 1});
    EXPECT_EQ(r.rank(), 9);
    EXPECT_EQ(r.pairs, 203);
    EXPECT_EQ(r.A.is_complex(), PX.is_complex());
    check(r.gram(), 1e-12 * size);
    check(reduce(*d, s, {.route = ReductionOptions::Route::gram}).gram(), 1e-10 * size);
  }
}

TEST(Reduction, WeightsCountLikeRepeatedPairs) {
  const Tensor x = normal({12, 2}, 2), y = normal({12, 2}, 3);
  const Tensor counts = torch::tensor({1, 2, 3, 1, 1, 2, 1, 4, 1, 1, 2, 1});
  const auto dictionary = polynomial_dictionary(2, 5);
  const auto twice = [&](const Tensor& t) { return t.repeat_interleave(counts, 0); };
  const Reduction a = reduce(*dictionary, pairs(x, y, {.weights = counts}));
  const Reduction b = reduce(*dictionary, pairs(twice(x), twice(y)));
  EXPECT_LT(difference(a.R, b.R * std::sqrt(20.)), 1e-12);
  EXPECT_LT(difference(a.A, b.A), 1e-11);
}

TEST(Reduction, Float32DataAreComputedInFloat64) {
  const Tensor x = normal({80, 3}, 4, torch::kFloat32);
  const auto dictionary = polynomial_dictionary(3, 10);
  const Reduction a = reduce(*dictionary, trajectories(x));
  const Reduction b = reduce(*dictionary, trajectories(x.to(torch::kFloat64)));
  EXPECT_EQ(a.R.scalar_type(), torch::kFloat64);
  EXPECT_TRUE(a.R.equal(b.R));
}

TEST(Reduction, DependentFunctionsAreDroppedAndReported) {
  const Tensor x = normal({60, 2}, 5);
  Tensor map = torch::zeros({5, 2}, torch::kFloat64);
  map[0][0] = 1;
  map[1][0] = 1e6;   // the same function in other units
  map[3][1] = 1e-6;  // small, but a function of its own; 2 and 4 vanish
  for (const auto route : {ReductionOptions::Route::qr, ReductionOptions::Route::gram}) {
    const Reduction r = reduce(*linear_dictionary(2, map), trajectories(x), {.route = route});
    EXPECT_EQ(r.functions, 5);
    ASSERT_EQ(r.rank(), 2);
    EXPECT_EQ(r.kept[1].item<int64_t>(), 3);
    EXPECT_LT(r.kept[0].item<int64_t>(), 2);
    // What is left is the space of both coordinates.
    const Reduction plain = reduce(*linear_dictionary(2), trajectories(x), {.route = route});
    const auto angles = [](const Reduction& q) { return std::get<0>(edmd(q).values.abs().sort()); };
    EXPECT_LT(difference(angles(r), angles(plain)), 1e-7);
  }
  EXPECT_THROW(reduce(*linear_dictionary(2), trajectories(x * 0)), InvalidArgument);
}

TEST(Reduction, AsManyFunctionsAsPairsLeaveNoResidual) {
  const Snapshots s = trajectories(normal({9, 12}, 6));
  const Reduction r = reduce(*linear_dictionary(12), s);
  EXPECT_EQ(r.rank(), 8);
  EXPECT_TRUE(r.residuals_are_empty());
  EXPECT_LT(edmd(r).residuals.max().item<double>(), 1e-6);
}

TEST(Reduction, TheIsometryDefectTellsPreservedMeasuresFromOthers) {
  const auto waves = fourier_dictionary(2, 9, 2 * std::numbers::pi);
  for (uint64_t k = 0; k < 5; ++k) {
    const Reduction kept = reduce(*waves, standard_map_pairs(20000, k));
    EXPECT_LT(isometry_defect(kept), isometry_threshold(kept));
    EXPECT_NEAR(isometry_threshold(kept), 3 * std::sqrt(9. / 20000), 1e-15);
  }
  const Reduction lost = reduce(*fourier_dictionary(1, 25, 1), logistic_pairs(20000, 2));
  EXPECT_GT(isometry_defect(lost), 10 * isometry_threshold(lost));
}

TEST(Reduction, TheDefectIsTheNormOfTheGramMatricesDifference) {
  const Snapshots s = linear_pairs(normal({3, 3}, 7), 40);
  const Reduction r = reduce(*linear_dictionary(3), s);
  const GramMatrices g = r.gram();
  const Tensor C = at::linalg_cholesky(g.G).inverse();
  const Tensor Lp = C.matmul(g.L).matmul(C.t());
  EXPECT_NEAR(isometry_defect(r),
              at::linalg_eigvalsh(Lp - torch::eye(3, torch::kFloat64)).abs().max().item<double>(),
              1e-12);
}

TEST(Reduction, WhatDoesNotFitIsRefused) {
  const Snapshots s = trajectories(normal({9, 2}, 8));
  EXPECT_THROW(reduce(*linear_dictionary(3), s), InvalidArgument);
  EXPECT_THROW(reduce(*linear_dictionary(2), split(s, 0).holdout), InvalidArgument);
  EXPECT_THROW(reduce(*linear_dictionary(2), s, {.block = 0}), InvalidArgument);
}

/// Largest error of <psi_k, psi_j> against the integral.
double quadrature_error(const Tensor& nodes) {
  const GramMatrices g = gram_matrices(*fourier_dictionary(1, 9, 1), pairs(nodes, nodes));
  return difference(g.G, torch::eye(9, torch::kComplexDouble));
}

TEST(Reduction, RandomNodesConvergeLikeTheRootAndTheTrapezoidRuleSpectrally) {
  const auto random = [](int64_t M) {
    double sum = 0;
    for (uint64_t k = 0; k < 20; ++k) {
      sum += quadrature_error(RandomStream(9, k).uniform({M, 1}, torch::kFloat64));
    }
    return sum / 20;
  };
  // 16 times the nodes, a quarter of the error; the mean of 20 maxima scatters by under 10 %.
  EXPECT_NEAR(random(200) / random(3200), 4, 0.8);
  const auto trapezoid = [](int64_t M) {
    return quadrature_error((torch::arange(M, torch::kFloat64) / M).unsqueeze(1));
  };
  EXPECT_GT(trapezoid(8), 0.9);    // aliased: waves -4 and 4 are the same on eight nodes
  EXPECT_LT(trapezoid(9), 1e-14);  // exact from nine on
}

}  // namespace
}  // namespace ritz::koopman
