#include "ritz/nn/loss.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::nn {
namespace {

constexpr int64_t kN = 7, kC = 5;

Tensor make_outputs() {
  RandomStream random(3, stream_id("loss-test/outputs"));
  return random.normal({kN, kC}, at::kDouble, 0, 2).requires_grad_();
}

Tensor make_targets(LossKind kind) {
  RandomStream random(3, stream_id("loss-test/targets"));
  if (kind == LossKind::cross_entropy) return random.integers({kN}, 0, kC);
  if (kind == LossKind::bernoulli) return random.uniform({kN, kC}, at::kDouble);
  return random.normal({kN, kC}, at::kDouble);
}

class EveryLoss : public testing::TestWithParam<Loss> {};
INSTANTIATE_TEST_SUITE_P(Losses, EveryLoss,
                         testing::Values(Loss{}, Loss{.label_smoothing = 0.1}, Loss{.mean = false},
                                         Loss{.kind = LossKind::mean_squared_error},
                                         Loss{.kind = LossKind::bernoulli, .mean = false}));

TEST_P(EveryLoss, IsTheSumOrMeanOfItsSamples) {
  const Loss loss = GetParam();
  const Tensor z = make_outputs(), y = make_targets(loss.kind);
  const Tensor each = loss.per_sample(z, y);
  ASSERT_EQ(each.sizes(), (std::vector<int64_t>{kN}));
  const double expected = each.sum().item<double>() / (loss.mean ? kN : 1);
  EXPECT_NEAR(loss(z, y).item<double>(), expected, 1e-13 * std::abs(expected));
}

TEST_P(EveryLoss, ClosedFormGradientAndHessianAreAutograds) {
  const Loss loss = GetParam();
  const Tensor z = make_outputs(), y = make_targets(loss.kind);
  const Tensor g = torch::autograd::grad({loss.per_sample(z, y).sum()}, {z}, {}, true, true)[0];
  EXPECT_LT((g - loss.output_gradient(z, y)).abs().max().item<double>(), 1e-13);
  const Tensor u = RandomStream(5).normal({3, kN, kC}, at::kDouble);
  const Tensor closed = loss.output_hessian_product(z, u);
  for (int64_t k = 0; k < 3; ++k) {
    const Tensor Hu = torch::autograd::grad({g}, {z}, {u[k]}, true)[0];
    EXPECT_LT((Hu - closed[k]).abs().max().item<double>(), 1e-13);
    EXPECT_LT((Hu - loss.output_hessian_product(z, u[k])).abs().max().item<double>(), 1e-13);
  }
}

TEST(Loss, CrossEntropyWithSmoothingIsLibtorchs) {
  const Tensor z = make_outputs(), y = make_targets(LossKind::cross_entropy);
  const Tensor theirs = at::cross_entropy_loss(z, y, {}, at::Reduction::Mean, -100, 0.2);
  EXPECT_NEAR(Loss{.label_smoothing = 0.2}(z, y).item<double>(), theirs.item<double>(), 1e-13);
}

TEST(Loss, BernoulliStaysExactForLargeOutputs) {
  const Tensor z = at::tensor({40.0, -40.0, 800.0, -800.0}, at::kDouble).view({4, 1});
  const Tensor y = at::tensor({1.0, 0.0, 0.0, 1.0}, at::kDouble).view({4, 1});
  const Tensor each = Loss{.kind = LossKind::bernoulli}.per_sample(z, y);
  EXPECT_NEAR(each[0].item<double>() / std::exp(-40.0), 1, 1e-12);
  EXPECT_NEAR(each[1].item<double>() / std::exp(-40.0), 1, 1e-12);
  EXPECT_EQ(each[2].item<double>(), 800);
  EXPECT_EQ(each[3].item<double>(), 800);
}

TEST(Loss, LabelOutOfRangeNamesItsIndex) {
  const Tensor labels = at::tensor({0, 1, 5, 2}, at::kLong);
  try {
    Loss{}.check_targets(labels, 4, 5);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "targets: expected labels in [0, 4], found 5 (index 2)");
  }
  EXPECT_THROW(Loss{}.check_targets(labels, 3, 6), InvalidArgument);
  EXPECT_THROW(Loss{}.check_targets(labels.to(at::kInt), 4, 6), InvalidArgument);
  EXPECT_THROW((Loss{.kind = LossKind::bernoulli}.check_targets(at::full({2, 2}, 1.5), 2, 2)),
               InvalidArgument);
  const Tensor nan = at::full({2, 2}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW((Loss{.kind = LossKind::bernoulli}.check_targets(nan, 2, 2)), InvalidArgument);
  EXPECT_NO_THROW(Loss{}.check_targets(labels, 4, 6));
}

TEST(Loss, LabelsBecomeOneHotTargets) {
  const Tensor labels = at::tensor({2, 0}, at::kLong);
  const Tensor rows =
      Loss{.kind = LossKind::mean_squared_error}.targets_from_labels(labels, 3, at::kDouble);
  EXPECT_TRUE(rows.equal(at::tensor({0., 0., 1., 1., 0., 0.}, at::kDouble).view({2, 3})));
  EXPECT_TRUE(Loss{}.targets_from_labels(labels, 3, at::kDouble).equal(labels));
}

TEST(Loss, NamesReadBack) {
  for (const auto* name : {"cross-entropy", "mse", "bernoulli"})
    EXPECT_EQ(loss_name(parse_loss(name)), name);
  EXPECT_THROW(parse_loss("hinge"), InvalidArgument);
}

}  // namespace
}  // namespace ritz::nn
