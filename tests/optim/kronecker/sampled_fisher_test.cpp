#include "ritz/optim/kronecker/sampled_fisher.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/random.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

constexpr int64_t kOut = 3, kIn = 5;

struct Case {
  at::ScalarType dtype;
  int64_t positions;
};

class SampledFisherOf : public testing::TestWithParam<Case> {
 protected:
  SampleRows rows(int64_t samples) {
    const at::TensorOptions options(GetParam().dtype);
    const int64_t n = samples * GetParam().positions;
    return {random_.normal({n, kIn}, options), random_.normal({n, kOut}, options),
            GetParam().positions};
  }
  /// The gradients themselves, [r, o i'], in float64.
  static Tensor gradients(const SampleRows& s) {
    const auto split = [&](const Tensor& x) {
      return x.to(at::kDouble).view({s.count(), s.positions, -1});
    };
    return at::bmm(split(s.G).transpose(1, 2), split(s.A)).flatten(1);
  }
  static Tensor dense_division(const Tensor& F, const Tensor& X, double damping) {
    const Tensor S = F + damping * at::eye(F.size(0), F.options());
    return at::linalg_solve(S, X.to(at::kDouble).reshape({-1, 1})).view({kOut, kIn});
  }
  void expect_close(const Tensor& found, const Tensor& expected, double factor = 1) const {
    // K / mu amplifies float32's rounding of the rows; 1e-4 leaves it a factor of 1000.
    const double tolerance = factor * (GetParam().dtype == at::kFloat ? 1e-4 : 1e-11);
    EXPECT_LT(((found.to(at::kDouble) - expected).norm() / expected.norm()).item<double>(),
              tolerance);
  }
  Tensor direction() { return random_.normal({kOut, kIn}, at::TensorOptions(GetParam().dtype)); }

 private:
  ritz::RandomStream random_{9, ritz::stream_id("test/fisher")};
};

TEST_P(SampledFisherOf, KernelIsTheGradientsGramMatrix) {
  for (const int64_t n : {1, 4, 11}) {  // both forms of the kernel: few rows and many
    const SampleRows s = rows(n);
    const Tensor U = gradients(s);
    expect_close(gradient_kernel(s), U.mm(U.t()));
    expect_close(gradient_norms2(s), U.square().sum(1));
  }
}

TEST_P(SampledFisherOf, AllSamplesInvertTheDampedFisherMatrix) {
  const SampleRows s = rows(7);
  const Tensor U = gradients(s), X = direction();
  expect_close(exact_fisher(s, 0.1).divide(X), dense_division(U.t().mm(U) / 7, X, 0.1));
}

TEST_P(SampledFisherOf, WeightsInvertTheWeightedMatrix) {
  const SampleRows s = rows(4);
  const Tensor pi = at::tensor({0.2, 1.0, 0.5, 0.9}, at::kDouble), X = direction();
  const Tensor U = gradients(s);
  const Tensor F = U.t().mm(U / pi.unsqueeze(1)) / 9;
  expect_close(weighted_fisher(s, pi, 9, 0.1).divide(X), dense_division(F, X, 0.1));
}

TEST_P(SampledFisherOf, EveryDrawOfAllSamplesIsExact) {
  const SampleRows s = rows(6);
  const Tensor X = direction(), pi = inclusion_probabilities(gradient_norms2(s), 6);
  EXPECT_EQ(systematic_sample(pi, 0.3).numel(), 6);
  expect_close(weighted_fisher(s, pi, 6, 0.2).divide(X),
               exact_fisher(s, 0.2).divide(X).to(at::kDouble));
}

TEST_P(SampledFisherOf, InterpolationOfFullRankIsExact) {
  const SampleRows s = rows(6);
  const Tensor X = direction();
  expect_close(interpolated_fisher(s, 6, 0.2).divide(X),
               exact_fisher(s, 0.2).divide(X).to(at::kDouble), 10);
}

TEST_P(SampledFisherOf, InterpolationInvertsTheProjectedMatrix) {
  const SampleRows s = rows(8);
  const Tensor X = direction(), U = gradients(s);
  const auto fisher = interpolated_fisher(s, 3, 0.2);
  // U's projection on the span of the rows that were kept.
  const Tensor US = gradients(fisher.rows);
  const Tensor V = std::get<0>(at::linalg_lstsq(US.t(), U.t()));
  const Tensor projected = US.t().mm(V);
  expect_close(fisher.divide(X), dense_division(projected.mm(projected.t()) / 8, X, 0.2), 10);
}

TEST_P(SampledFisherOf, RepeatedSamplesStopThePivots) {
  SampleRows s = rows(2);
  s.A = at::cat({s.A, s.A, s.A});
  s.G = at::cat({s.G, s.G, s.G});
  const Tensor X = direction();
  const auto fisher = interpolated_fisher(s, 5, 0.2);
  EXPECT_EQ(fisher.rows.count(), 2);
  expect_close(fisher.divide(X), exact_fisher(s, 0.2).divide(X).to(at::kDouble), 10);
}

TEST_P(SampledFisherOf, NoGradientAtAllLeavesTheDampingAlone) {
  SampleRows s = rows(4);
  s.G.zero_();
  const Tensor X = direction(), expected = X.to(at::kDouble) / 0.5;
  expect_close(exact_fisher(s, 0.5).divide(X), expected);
  expect_close(interpolated_fisher(s, 2, 0.5).divide(X), expected);
  const Tensor pi = inclusion_probabilities(gradient_norms2(s), 2);
  expect_close(
      weighted_fisher(s.pick(systematic_sample(pi, 0.5)), at::full({2}, 0.5, at::kDouble), 4, 0.5)
          .divide(X),
      expected);
}

// Gradients of 1e8 beside a damping of 1: K's own rounding is larger than the shift.
TEST_P(SampledFisherOf, HugeGradientsAreDividedAllTheSame) {
  SampleRows s = rows(40);
  s.A.mul_(1e6);
  s.G.mul_(1e6);
  const Tensor X = direction();
  for (const auto& fisher : {exact_fisher(s, 1e-6), interpolated_fisher(s, 10, 1e-6)}) {
    EXPECT_TRUE(at::isfinite(fisher.divide(X)).all().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(Kronecker, SampledFisherOf,
                         testing::Values(Case{at::kFloat, 1}, Case{at::kDouble, 1},
                                         Case{at::kFloat, 6}, Case{at::kDouble, 6}),
                         [](const auto& info) {
                           return std::string(c10::toString(info.param.dtype)) +
                                  std::to_string(info.param.positions);
                         });

TEST(Sampling, ProbabilitiesSumToTheSizeAndFollowTheScores) {
  const Tensor scores = at::tensor({1.0, 2.0, 4.0, 100.0, 3.0}, at::kDouble);
  const Tensor pi = inclusion_probabilities(scores, 3);
  EXPECT_NEAR(pi.sum().item<double>(), 3, 1e-14);
  EXPECT_EQ(pi[3].item<double>(), 1);  // 100 would be above it
  EXPECT_NEAR(pi[1].item<double>(), 2 * 2.0 / 10, 1e-15);
  EXPECT_NEAR(pi[2].item<double>(), 2 * 4.0 / 10, 1e-15);
}

TEST(Sampling, ProbabilitiesAtTheEdges) {
  const Tensor two = at::tensor({0.0, 5.0, 0.0, 1.0}, at::kDouble);
  EXPECT_TRUE(
      at::equal(inclusion_probabilities(two, 3), at::tensor({0.0, 1.0, 0.0, 1.0}, at::kDouble)));
  EXPECT_TRUE(
      at::equal(inclusion_probabilities(at::zeros({4}), 1), at::full({4}, 0.25, at::kDouble)));
  EXPECT_TRUE(
      at::equal(inclusion_probabilities(two, 9), at::tensor({0.0, 1.0, 0.0, 1.0}, at::kDouble)));
}

// Over a fine grid of u each item is drawn in its share of cases (u is the only chance), and each
// draw has as many items as the probabilities sum to.
TEST(Sampling, SystematicDrawsKeepSizeAndShares) {
  const Tensor pi = at::tensor({0.3, 1.0, 0.05, 0.65, 0.5, 0.5}, at::kDouble);
  Tensor counts = at::zeros({6}, at::kDouble);
  const int grid = 1000;
  for (int k = 0; k < grid; ++k) {
    const Tensor drawn = systematic_sample(pi, (k + 0.5) / grid);
    EXPECT_EQ(drawn.numel(), 3);
    counts.index_add_(0, drawn, at::ones({drawn.numel()}, at::kDouble));
  }
  EXPECT_LT((counts / grid - pi).abs().max().item<double>(), 2.0 / grid);
}

// Pivoting the diagonal is the QR decomposition with column pivoting of the rows' transpose: each
// pivot is the row farthest from the span of the earlier ones.
TEST(PivotedCholesky, PivotsAreTheFarthestRows) {
  const Tensor U = ritz::RandomStream(3).normal({9, 4}, at::TensorOptions(at::kDouble));
  const auto [pivots, L] = pivoted_cholesky(U.mm(U.t()), 4, 2.2e-16);
  Tensor left = U.clone();
  for (int64_t k = 0; k < 4; ++k) {
    const int64_t farthest = left.norm(2, 1).argmax().item<int64_t>();
    EXPECT_EQ(pivots[k].item<int64_t>(), farthest);
    const Tensor q = left[farthest] / left[farthest].norm();
    left = left - left.mv(q).outer(q);
  }
  EXPECT_LT((L.mm(L.t()) - U.mm(U.t())).abs().max().item<double>(), 1e-13);
  const Tensor own = L.index_select(0, pivots);
  EXPECT_TRUE(at::equal(own, own.tril()));
}

}  // namespace
