// What the Kronecker-factored optimisers see of a layer.
#include "ritz/optim/kronecker/layers.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/layers.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/models.h"
#include "ritz/nn/wrap.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

Tensor draws(at::IntArrayRef shape, uint64_t index = 0) {
  return ritz::RandomStream(5, ritz::stream_id("test/draws", index))
      .normal(shape, at::TensorOptions(at::kDouble));
}

ritz::nn::Network model(const std::string& description, std::vector<int64_t> shape) {
  return ritz::nn::make_network(
      description,
      {.input_shape = std::move(shape), .outputs = 3, .tensor = at::kDouble, .seed = 2});
}

/// Runs the passes of a mean cross-entropy, in equal micro-batches.
void run(const ritz::nn::Network& network, const Tensor& x, const Tensor& y, int64_t parts = 1,
         double scale = 1) {
  const auto xs = x.chunk(parts), ys = y.chunk(parts);
  for (size_t k = 0; k < xs.size(); ++k) {
    (ritz::nn::Loss{}(network.forward(xs[k]), ys[k]) * scale / parts).backward();
  }
}

void expect_near(const Tensor& a, const Tensor& b, double tolerance = 1e-12) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance);
}

class EachModel : public testing::TestWithParam<std::string> {};

// The invariant of LayerSamples, for linear layers, convolutions with and without bias, attention.
TEST_P(EachModel, GradientIsMadeOfTheSamples) {
  const auto network = model(GetParam(), {1, 4, 4});
  const auto found = find_kronecker_layers(network);
  const Tensor x = draws({6, 1, 4, 4}), y = at::arange(6) % 3;
  for (const int64_t parts : {1, 3}) {
    for (const auto& p : network.parameters) p.value.mutable_grad() = Tensor();
    for (const auto& layer : found.layers) layer.capture(true);
    run(network, x, y, parts, 8);
    for (const auto& layer : found.layers) {
      const auto samples = layer.samples(parts, /*loss_scale=*/8);
      ASSERT_TRUE(samples) << layer.name();
      expect_near(samples->output_gradients.t().mm(samples->inputs) / samples->scale * 8,
                  layer.gradient());
      EXPECT_EQ(samples->inputs.size(0), samples->samples * samples->positions);
      EXPECT_EQ(samples->inputs.size(1), layer.inputs());
      layer.capture(false);
      EXPECT_FALSE(layer.samples(1, 1));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EachModel,
                         testing::Values("mlp:16-5-3:tanh", "cnn:4-6", "transformer:1x8"));

TEST(LayerSamples, UndoTheMeanOfTheLoss) {
  const auto network = model("mlp:4-3", {4});
  const auto layer = find_kronecker_layers(network).layers[0];
  const Tensor x = draws({5, 4}), y = at::arange(5) % 3;
  layer.capture(true);
  run(network, x, y);
  const auto samples = layer.samples(1, 1);
  const Tensor outputs = network.forward(x).detach();
  expect_near(samples->output_gradients, ritz::nn::Loss{}.output_gradient(outputs, y));
  expect_near(samples->inputs, at::cat({x, at::ones({5, 1}, at::kDouble)}, 1));
  EXPECT_EQ(samples->samples, 5);
  EXPECT_EQ(samples->scale, 5);
}

TEST(LayerSamples, AreTheSameForASequenceAndItsTokens) {
  const auto linear = std::make_shared<ritz::nn::Linear>(4, 3);
  linear->to(at::kDouble);
  ritz::nn::initialise(*linear, 1);
  const KroneckerLayer layer("linear", linear);
  const Tensor x = draws({2, 3, 4}), weights = draws({2, 3, 3}, 1);
  std::vector<LayerSamples> both;
  for (const bool flat : {false, true}) {
    layer.capture(true);
    const Tensor out = linear->forward(flat ? x.view({6, 4}) : x).view({2, 3, 3});
    (out * weights).sum().div(6).backward();  // the mean over tokens
    both.push_back(*layer.samples(1, 1));
    layer.capture(false);
  }
  EXPECT_TRUE(at::equal(both[0].inputs, both[1].inputs));
  EXPECT_TRUE(at::equal(both[0].output_gradients, both[1].output_gradients));
  expect_near(both[0].output_gradients, weights.view({6, 3}));
  EXPECT_EQ(both[0].samples, 6);
}

TEST(LayerSamples, OfAPointwiseConvolutionOnSinglePixelsAreALinearLayers) {
  const auto conv = std::make_shared<ritz::nn::Conv2d>(4, 3, ritz::nn::ConvOptions{.kernel = 1});
  const auto linear = std::make_shared<ritz::nn::Linear>(4, 3);
  conv->to(at::kDouble);
  linear->to(at::kDouble);
  const KroneckerLayer a("conv", conv), b("linear", linear);
  const Tensor x = draws({5, 4}), weights = draws({5, 3}, 1);
  a.capture(true);
  b.capture(true);
  (conv->forward(x.view({5, 4, 1, 1})).view({5, 3}) * weights).mean(0).sum().backward();
  (linear->forward(x) * weights).mean(0).sum().backward();
  const auto from_conv = a.samples(1, 1), from_linear = b.samples(1, 1);
  expect_near(from_conv->inputs, from_linear->inputs);
  expect_near(from_conv->output_gradients, from_linear->output_gradients);
  expect_near(a.gradient(), b.gradient());
}

TEST(LayerSamples, OfASharedLayerTakeInAllItsUses) {
  const auto linear = std::make_shared<ritz::nn::Linear>(3, 3);
  linear->to(at::kDouble);
  ritz::nn::initialise(*linear, 1);
  const KroneckerLayer layer("shared", linear);
  layer.capture(true);
  const Tensor x = draws({4, 3});
  linear->forward(linear->forward(x).tanh()).square().sum(1).mean().backward();
  const auto samples = layer.samples(1, 1);
  EXPECT_EQ(samples->inputs.size(0), 8);
  EXPECT_EQ(samples->scale, 4);  // two uses of four samples
  expect_near(samples->output_gradients.t().mm(samples->inputs) / 4, layer.gradient());
}

TEST(LayerSamples, LeaveOutPassesThatWereNotRunBackwards) {
  const auto network = model("mlp:4-3", {4});
  const auto layer = find_kronecker_layers(network).layers[0];
  layer.capture(true);
  network.forward(draws({7, 4}));
  EXPECT_FALSE(layer.samples(1, 1));
  run(network, draws({5, 4}), at::arange(5) % 3);
  EXPECT_EQ(layer.samples(1, 1)->samples, 5);
}

TEST(LayerSamples, RefuseABatchOfNone) {
  const auto network = model("mlp:4-3", {4});
  const auto layer = find_kronecker_layers(network).layers[0];
  layer.capture(true);
  network.forward(draws({0, 4})).sum().backward();
  EXPECT_THROW(layer.samples(1, 1), ritz::InvalidArgument);
}

TEST(KroneckerLayer, GathersAndScattersWeightAndBias) {
  const auto network = model("cnn:4-6", {1, 4, 4});
  for (const auto& layer : find_kronecker_layers(network).layers) {
    EXPECT_FALSE(layer.gradient().defined());
    for (const auto& parameter : {layer.weight(), layer.bias()}) {
      if (parameter.defined()) parameter.mutable_grad() = at::zeros_like(parameter);
    }
    const Tensor D = draws({layer.outputs(), layer.inputs()});
    layer.set_gradient(D, 0.5);
    EXPECT_TRUE(at::equal(layer.gradient(), 0.5 * D));
    EXPECT_THROW(layer.set_gradient(D.t()), ritz::InvalidArgument);
  }
}

TEST(KroneckerLayers, AreFoundByKindAndName) {
  const auto network = model("transformer:1x8", {1, 4, 4});
  const auto found = find_kronecker_layers(network, {"attention0.*", "f?"});
  std::vector<std::string> names;
  for (const auto& layer : found.layers) names.push_back(layer.name());
  EXPECT_EQ(names, (std::vector<std::string>{"embed", "mlp0.linear1", "mlp0.linear2"}));
  EXPECT_EQ(found.excluded, (std::vector<std::string>{"attention0.self_attn",
                                                      "attention0.self_attn.out_proj", "fc"}));
  EXPECT_EQ(found.first_order,
            (std::vector<std::string>{"position", "attention0.norm", "mlp0.norm", "norm"}));
  EXPECT_THROW(find_kronecker_layers(network, {"decoder"}), ritz::InvalidArgument);
  EXPECT_THROW(find_kronecker_layers(network, {"*"}), ritz::InvalidArgument);
}

TEST(KroneckerLayers, AreNoneInAModelFromElsewhere) {
  ritz::nn::Network network;
  network.description = "model.pt";
  try {
    find_kronecker_layers(network);
    FAIL();
  } catch (const ritz::Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find("model.pt"), std::string::npos);
  }
}

TEST(KroneckerLayers, AGroupedConvolutionTrainsFirstOrder) {
  const auto net = std::make_shared<ritz::nn::Sequential>();
  net->add("grouped", std::make_shared<ritz::nn::Conv2d>(4, 4, ritz::nn::ConvOptions{.groups = 2}));
  net->add("plain", std::make_shared<ritz::nn::Conv1d>(4, 4));
  const auto found = find_kronecker_layers(ritz::nn::wrap(net, "net"));
  ASSERT_EQ(found.layers.size(), 1);
  EXPECT_EQ(found.layers[0].name(), "plain");
  EXPECT_EQ(found.first_order, std::vector<std::string>{"grouped"});
}

TEST(Pattern, MatchesWholeNames) {
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("a*c", "abbc"));
  EXPECT_TRUE(matches_pattern("layers.?", "layers.4"));
  EXPECT_FALSE(matches_pattern("layers", "layers.4"));
  EXPECT_FALSE(matches_pattern("?", ""));
}

}  // namespace
