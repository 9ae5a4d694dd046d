// The optimal brain surgeon against dense algebra, and its bookkeeping.
#include "ritz/compress/obs.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using namespace ritz::compress;
using at::Tensor;
using ritz::optim::FisherForm;
using ritz::optim::InverseFisher;

Tensor numbers(at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype = at::kDouble) {
  return ritz::RandomStream(seed, ritz::stream_id("test/numbers"))
      .normal(shape, at::TensorOptions(dtype));
}

/// Blocks of F = lambda I + G^T G / m as one dense matrix.
Tensor fisher(const Tensor& G, double damping, int64_t block) {
  Tensor F = G.t().mm(G) / static_cast<double>(G.size(0));
  if (block > 0) {
    const Tensor of = at::arange(G.size(1)).div(block, "floor");
    F = F * of.unsqueeze(0).eq(of.unsqueeze(1));
  }
  return F + damping * at::eye(G.size(1), at::kDouble);
}

double quadratic(const Tensor& F, const Tensor& change) {
  return change.dot(F.mv(change)).item<double>() / 2;
}

double relative(const Tensor& found, const Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

TEST(Obs, DroppingOneWeightZeroesItAndCostsItsSaliency) {
  const int64_t m = 12, d = 60;
  const Tensor G = numbers({m, d}, 1), w = numbers({d}, 2);
  for (const int64_t block : {0, 25, 7}) {
    const InverseFisher inverse(G, {.damping = 1e-2, .block = block});
    const Tensor diagonal = inverse.diagonal(), F = fisher(G, 1e-2, block);
    const Tensor rho = saliencies(w, diagonal);
    for (const int64_t q : {0, 31, 59}) {
      const auto update = independent_update(inverse, diagonal, w, at::tensor({q}));
      EXPECT_EQ((w + update.change)[q].item<double>(), 0);
      EXPECT_NEAR(quadratic(F, update.change) / rho[q].item<double>(), 1, 1e-10);
      EXPECT_NEAR(update.predicted / rho[q].item<double>(), 1, 1e-12);
      const auto joint = joint_update(G, {.damping = 1e-2, .block = block}, w, at::tensor({q}));
      EXPECT_LT(relative(joint.change, update.change), 1e-10);
      EXPECT_NEAR(joint.predicted / update.predicted, 1, 1e-10);
    }
  }
}

TEST(Obs, JointUpdateIsTheConstrainedMinimiserAndNeverWorseThanTheSum) {
  const int64_t m = 12, d = 60;
  const Tensor G = numbers({m, d}, 1), w = numbers({d}, 2);
  for (const int64_t count : {2, 10, 40, 60}) {
    for (const int64_t block : {0, 25, 7}) {
      const Tensor Q = ritz::RandomStream(3).permutation(d).narrow(0, 0, count);
      const Tensor F = fisher(G, 1e-2, block), P = at::inverse(F);
      const Tensor w_Q = w.index_select(0, Q);
      const Tensor P_Q = P.index_select(1, Q);
      const Tensor expected = -P_Q.mv(at::linalg_solve(P_Q.index_select(0, Q), w_Q));
      const auto joint = joint_update(G, {.damping = 1e-2, .block = block}, w, Q);
      EXPECT_LT(relative(joint.change, expected), 1e-9);
      EXPECT_NEAR(joint.predicted / quadratic(F, joint.change), 1, 1e-9);
      EXPECT_EQ((w + joint.change).index_select(0, Q).abs().max().item<double>(), 0);
      const InverseFisher inverse(G, {.damping = 1e-2, .block = block});
      const auto sum = independent_update(inverse, inverse.diagonal(), w, Q);
      EXPECT_LE(joint.predicted, quadratic(F, sum.change) * (1 + 1e-12));
    }
  }
}

// Blocks too large for batches are taken one at a time.
TEST(Obs, JointUpdateOfAWideBlockEqualsTheDefinition) {
  const int64_t m = 300, d = 15000;
  const Tensor G = numbers({m, d}, 1), w = numbers({d}, 2);
  const Tensor Q = ritz::RandomStream(3).permutation(d).narrow(0, 0, 700);
  const auto joint = joint_update(G, {.damping = 1e-2}, w, Q);
  Tensor G_S = G.clone();
  G_S.index_fill_(1, Q, 0);
  const Tensor a = G.index_select(1, Q).mv(w.index_select(0, Q));
  const Tensor S = G_S.mm(G_S.t()) + m * 1e-2 * at::eye(m, at::kDouble);
  Tensor expected = G_S.t().mv(at::linalg_solve(S, a));
  expected.index_copy_(0, Q, -w.index_select(0, Q));
  EXPECT_LT(relative(joint.change, expected), 1e-9);
  const Tensor Fd = 1e-2 * joint.change + G.t().mv(G.mv(joint.change)) / m;
  EXPECT_NEAR(joint.predicted / (joint.change.dot(Fd).item<double>() / 2), 1, 1e-9);
}

TEST(Obs, WoodFisherChoosesAndMovesTheSameWeightsAsBlockedMfac) {
  const int64_t m = 20, d = 500, block = 50;
  const Tensor G = numbers({m, d}, 1) * 0.3, w = numbers({d}, 2);
  Tensor changes[2], orders[2];
  int at = 0;
  for (const auto form : {FisherForm::vectors, FisherForm::recursion}) {
    const InverseFisher inverse(G, {.damping = 1e-5, .block = block, .form = form});
    const Tensor diagonal = inverse.diagonal(), rho = saliencies(w, diagonal);
    orders[at] = rho.argsort();
    changes[at++] = independent_update(inverse, diagonal, w, smallest(rho, 200)).change;
  }
  EXPECT_TRUE(at::equal(orders[0], orders[1]));
  EXPECT_LT((changes[0] - changes[1]).abs().max().item<double>(), 1e-5);
}

TEST(Obs, PicksTheSmallestScores) {
  const Tensor scores = at::tensor({3., 1., 2., 0., 5.}, at::kDouble);
  EXPECT_TRUE(at::equal(std::get<0>(smallest(scores, 3).sort()), at::tensor({1L, 2L, 3L})));
  EXPECT_EQ(smallest(scores, 0).numel(), 0);
}

TEST(Obs, RecomputationsFollowGeometricDensities) {
  EXPECT_EQ(recomputation_zeros(0, 0.9, 1000, 1), (std::vector<int64_t>{900}));
  const auto zeros = recomputation_zeros(500, 0.95, 1000, 4);
  ASSERT_EQ(zeros.size(), 4u);
  EXPECT_EQ(zeros.back(), 950);
  for (size_t j = 0; j < zeros.size(); ++j) {
    const double density = 0.5 * std::pow(0.1, (static_cast<double>(j) + 1) / 4);
    EXPECT_EQ(zeros[j], static_cast<int64_t>(std::floor(1000 * (1 - density) + 1e-9)));
  }
  EXPECT_THROW(recomputation_zeros(0, 0.5, 10, 0), ritz::InvalidArgument);
}

TEST(Obs, ZhuAndGuptasTargetsAreCubic) {
  const auto targets = zhu_gupta_targets(0.2, 0.9, 5);
  ASSERT_EQ(targets.size(), 5u);
  EXPECT_EQ(targets.back(), 0.9);
  EXPECT_NEAR(targets[0], 0.9 - 0.7 * 0.512, 1e-12);
  EXPECT_NEAR(targets[3], 0.9 - 0.7 * 0.008, 1e-12);
}

}  // namespace
