#include <gtest/gtest.h>
#include <torch/types.h>

#include "dense_oracle.h"
#include "ritz/base/error.h"
#include "ritz/nn/curvature.h"
#include "ritz/nn/models.h"
#include "ritz/nn/wrap.h"

namespace ritz::nn {
namespace {

using oracle::make_objective;
using oracle::relative_error;

constexpr int64_t kN = 7, kC = 3;

/// Uses its weight outside of its layer too: the captured part is not the whole gradient.
class Tied : public Layer {
 public:
  Tied() : linear_(register_module("linear", std::make_shared<Linear>(4, 4))) {}
  Tensor forward(const Tensor& x) override {
    return linear_->forward(x).tanh().matmul(linear_->weight).narrow(1, 0, kC);
  }

 private:
  std::shared_ptr<Linear> linear_;
};

/// No layer of ritz's.
class Foreign : public torch::nn::Module {
 public:
  Foreign() : w_(register_parameter("w", RandomStream(1).normal({4, kC}, at::kDouble))) {}
  Tensor forward(const Tensor& x) { return x.matmul(w_).sin(); }

 private:
  Tensor w_;
};

Objective build(const std::string& name, LossKind kind) {
  const auto own = [&](std::shared_ptr<Layer> layer, std::vector<int64_t> shape) {
    layer->to(at::kDouble);
    initialise(*layer, 3);
    return make_objective(wrap(std::move(layer), name), {.kind = kind}, std::move(shape), kN, kC);
  };
  if (name == "mixed") return own(std::make_shared<oracle::Sentence>(kC, false), {6});
  if (name == "tied") return own(std::make_shared<Tied>(), {4});
  if (name == "foreign") {
    return make_objective(wrap(std::make_shared<Foreign>(), name), {.kind = kind}, {4}, kN, kC);
  }
  const std::vector<int64_t> shape{2, 4, 4};
  return make_objective(
      make_network(name, {.input_shape = shape, .outputs = kC, .tensor = at::kDouble, .seed = 2}),
      {.kind = kind}, shape, kN, kC);
}

class SingleSamples : public testing::TestWithParam<std::tuple<const char*, LossKind>> {
 protected:
  Objective objective() const { return build(std::get<0>(GetParam()), std::get<1>(GetParam())); }
};
INSTANTIATE_TEST_SUITE_P(
    All, SingleSamples,
    testing::Combine(testing::Values("mlp:32-4-3:tanh", "mlp:32-3-3", "cnn:2-2-3",
                                     "transformer:1x4", "mixed", "tied", "foreign"),
                     testing::Values(LossKind::cross_entropy, LossKind::mean_squared_error)));

TEST_P(SingleSamples, GradientsAreAutogradsOneByOne) {
  const Objective o = objective();
  const Tensor G = per_sample_gradients(o, {.micro_batch = 3});
  EXPECT_LT(relative_error(G, oracle::dense_sample_gradients(o)), 1e-12);
  EXPECT_LT(relative_error(G.mean(0), gradient(o)), 1e-12);
  for (const auto& tap : o.network.layers) EXPECT_FALSE(tap.layer->capturing());
}

TEST_P(SingleSamples, HessianProductsAreThoseOfSubsetsOfOne) {
  const Objective o = objective();
  const Tensor v = RandomStream(9).normal({o.network.parameter_count()}, at::kDouble);
  const Tensor rows = per_sample_hessian_products(o, v, {.micro_batch = 4});
  for (int64_t i = 0; i < kN; ++i) {
    const Tensor alone =
        hessian(subset(o, at::tensor({i})), {.differentiation = Differentiation::double_backward})
            ->apply(v);
    EXPECT_LT((rows[i] - alone).abs().max().item<double>(),
              1e-11 * (1 + alone.abs().max().item<double>()));
  }
  for (const auto& p : o.network.parameters) EXPECT_FALSE(p.value._fw_grad(0).defined());
}

TEST_P(SingleSamples, ScatterIsThatOfTheProducts) {
  const Objective o = objective();
  const Tensor v = RandomStream(9).normal({o.network.parameter_count()}, at::kDouble);
  const HessianScatter scatter = hessian_scatter(o, v);
  const Tensor rows = per_sample_hessian_products(o, v), difference = rows - rows.mean(0);
  EXPECT_LT(relative_error(scatter.mean_product, rows.mean(0)), 1e-11);
  EXPECT_LT(relative_error(scatter.norm2, difference.square().sum(1)), 1e-10);
  EXPECT_LT(relative_error(scatter.curvature, difference.mv(v)), 1e-10);
}

TEST(SingleSamplesOfRitzLayers, NeedOneForwardPassForAll) {
  // An operation without forward mode would silently fall back to one pass a sample.
  for (const auto* name :
       {"mlp:32-4-3:tanh", "mlp:32-3-3:gelu", "cnn:2-2-3", "transformer:1x4", "mixed"}) {
    for (const auto kind :
         {LossKind::cross_entropy, LossKind::mean_squared_error, LossKind::bernoulli}) {
      Objective o = build(name, kind);
      int passes = 0;
      o.network.forward = [&passes, forward = o.network.forward](const Tensor& x) {
        passes += x.size(0) == kN;
        return forward(x);
      };
      per_sample_gradients(o);
      per_sample_hessian_products(o, o.network.flat_parameters());
      EXPECT_EQ(passes, 2) << name;
      const auto count_singles = [&](const Tensor& x) {
        passes += 100 * (x.size(0) == 1);
        return x;
      };
      passes = 0;
      o.network.forward = [count_singles, forward = o.network.forward](const Tensor& x) {
        return forward(count_singles(x));
      };
      per_sample_hessian_products(o, o.network.flat_parameters());
      EXPECT_EQ(passes, 101) << name;  // the single one asks for the width of the outputs
    }
  }
}

TEST(Capture, HandsOverInputsAndOutputGradientsOfEachCall) {
  const Objective o = build("mixed", LossKind::cross_entropy);
  const auto find = [&](const std::string& name) {
    for (const auto& tap : o.network.layers) {
      if (tap.name == name) return tap.layer;
    }
    throw InvalidArgument("name", "a layer", name);
  };
  const auto twice = find("twice"), head = find("head");
  const auto backward = [&] { o.loss(o.network.forward(o.inputs), o.targets).backward(); };
  backward();
  EXPECT_TRUE(twice->inputs().empty());  // off by default
  for (const auto& p : o.network.parameters) p.value.mutable_grad().reset();
  twice->capture(true);
  head->capture(true);
  backward();
  ASSERT_EQ(twice->inputs().size(), 2U);
  ASSERT_EQ(head->output_gradients().size(), 1U);
  EXPECT_FALSE(twice->inputs()[0].requires_grad());
  Tensor sum = at::zeros({4, 4}, at::kDouble);
  for (size_t call = 0; call < 2; ++call) {
    const Tensor a = twice->input_rows(twice->inputs()[call]).flatten(0, 1);
    const Tensor g = twice->output_rows(twice->output_gradients()[call]).flatten(0, 1);
    sum += g.t().mm(a);
  }
  EXPECT_LT(relative_error(sum, twice->own_parameters()[0].grad()), 1e-12);
  EXPECT_LT(relative_error(head->output_gradients()[0].sum(0), head->own_parameters()[1].grad()),
            1e-12);
  // Functions with records of their own leave these alone.
  per_sample_gradients(o);
  EXPECT_EQ(twice->inputs().size(), 2U);
  twice->release();
  EXPECT_TRUE(twice->inputs().empty());
  EXPECT_TRUE(twice->capturing());
  {
    torch::NoGradGuard no_grad;
    o.network.forward(o.inputs);
  }
  EXPECT_TRUE(twice->inputs().empty());  // no backward pass can follow
  EXPECT_THROW(find("conv")->input_rows(at::ones({2, 4, 6}, at::kDouble)), Unsupported);
}

TEST(Capture, RowsOfAConvolutionGiveItsGradient) {
  const Objective o = build("cnn:2-3", LossKind::cross_entropy);
  const auto conv = o.network.layers.front().layer;
  conv->capture(true);
  o.loss(o.network.forward(o.inputs), o.targets).backward();
  const Tensor a = conv->input_rows(conv->inputs()[0]),
               g = conv->output_rows(conv->output_gradients()[0]);
  EXPECT_EQ(a.sizes(), (std::vector<int64_t>{kN, 16, 18}));
  const Tensor weight_gradient = g.flatten(0, 1).t().mm(a.flatten(0, 1));
  EXPECT_LT(relative_error(weight_gradient, conv->own_parameters()[0].grad().flatten(1)), 1e-12);
}

TEST(SingleSamplesErrors, SayWhatIsWrong) {
  Objective o = build("mlp:32-3-3", LossKind::cross_entropy);
  EXPECT_THROW(per_sample_hessian_products(o, at::ones({3}, at::kDouble)), InvalidArgument);
  o.loss.mean = false;
  EXPECT_THROW(hessian_scatter(o, o.network.flat_parameters()), InvalidArgument);
  EXPECT_THROW(per_sample_gradients(o, {.micro_batch = 2, .training = true}), Unsupported);
  o.inputs[3].fill_(std::numeric_limits<double>::infinity());
  EXPECT_THROW(per_sample_gradients(o), InvalidArgument);
}

}  // namespace
}  // namespace ritz::nn
