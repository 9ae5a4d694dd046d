#include "ritz/nn/models.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <set>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::nn {
namespace {

struct Case {
  const char* description;
  std::vector<int64_t> shape;
  int64_t parameters;
  bool chain;
};

class EveryModel : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Models, EveryModel,
    testing::Values(
        Case{"mlp:784-128-64-10", {28, 28}, 784 * 128 + 128 + 128 * 64 + 64 + 640 + 10, true},
        Case{"mlp:12-5-10:tanh", {3, 2, 2}, 65 + 60, true}, Case{"mlp:12-10", {12}, 130, true},
        Case{"cnn:8-16-16", {14, 14}, 72 + 16 + 1152 + 32 + 2304 + 32 + 170, true},
        Case{"resnet:20", {3, 32, 32}, 272474, true}, Case{"resnet:8", {196}, 77754, true},
        Case{"transformer:2x32",
             {28, 28},
             29 * 32 + 28 * 32 + 2 * (2 * 64 + 33 * 96 + 33 * 32 + 33 * 64 + 65 * 32) + 64 + 330,
             true}));

TEST_P(EveryModel, HasTheStatedParametersAndOutputs) {
  const auto& [description, shape, count, chain] = GetParam();
  const Network network = make_network(description, {.input_shape = shape});
  EXPECT_EQ(network.parameter_count(), count);
  EXPECT_EQ(network.chain != nullptr, chain);
  EXPECT_FALSE(network.is_training());
  std::vector<int64_t> batch{3};
  batch.insert(batch.end(), shape.begin(), shape.end());
  const Tensor z = network.forward(RandomStream(1).normal(batch, at::kFloat));
  EXPECT_EQ(z.sizes(), (std::vector<int64_t>{3, 10}));
  EXPECT_TRUE(z.isfinite().all().item<bool>());
  EXPECT_GT(z.abs().max().item<float>(), 0);
}

TEST_P(EveryModel, EveryParameterIsOwnedByOneLayer) {
  const Network network = make_network(GetParam().description, {.input_shape = GetParam().shape});
  std::set<int> owned;
  for (const auto& tap : network.layers) {
    for (const int index : tap.parameters) EXPECT_TRUE(owned.insert(index).second) << tap.name;
  }
  EXPECT_EQ(owned.size(), network.parameters.size());
}

TEST_P(EveryModel, SameSeedGivesSameWeightsInEveryDtype) {
  const auto& [description, shape, count, chain] = GetParam();
  const Network a = make_network(description, {.input_shape = shape, .seed = 5});
  const Network b =
      make_network(description, {.input_shape = shape, .tensor = at::kDouble, .seed = 5});
  const Network c = make_network(description, {.input_shape = shape, .seed = 6});
  EXPECT_TRUE(a.flat_parameters().equal(b.flat_parameters().to(at::kFloat)));
  EXPECT_FALSE(a.flat_parameters().equal(c.flat_parameters()));
}

TEST(Models, WeightsAreHeNormal) {
  const Network network = make_network("mlp:400-300-10", {.tensor = at::kDouble});
  const Tensor& w = network.parameters[0].value;
  EXPECT_EQ(network.parameters[0].name, "layers.0.weight");
  EXPECT_EQ(network.parameters[2].name, "layers.2.weight");
  EXPECT_EQ(w.sizes(), (std::vector<int64_t>{300, 400}));
  // The variance of m normal numbers has relative deviation sqrt(2 / m); the mean sd / sqrt(m).
  const double m = 400 * 300, sd = std::sqrt(2.0 / 400);
  EXPECT_NEAR(w.square().mean().item<double>() / (sd * sd), 1, 5 * std::sqrt(2 / m));
  EXPECT_NEAR(w.mean().item<double>(), 0, 5 * sd / std::sqrt(m));
  EXPECT_EQ(network.parameters[1].value.abs().max().item<double>(), 0);
}

TEST(Models, FlatParametersReadBack) {
  const Network network = make_network("mlp:3-4-2:gelu", {.tensor = at::kDouble});
  const Tensor theta = RandomStream(2).normal({network.parameter_count()}, at::kDouble);
  network.set_flat_parameters(theta);
  EXPECT_TRUE(network.flat_parameters().equal(theta));
  EXPECT_TRUE(network.parameters[1].value.equal(theta.slice(0, 12, 16)));
  EXPECT_THROW(network.set_flat_parameters(theta.narrow(0, 0, 5)), InvalidArgument);
}

TEST(Models, ErrorsSayWhatWasExpected) {
  const auto message = [](const char* description, std::vector<int64_t> shape) -> std::string {
    try {
      make_network(description, {.input_shape = std::move(shape)});
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message("mlp:784-10", {14, 14}),
            "input_shape: expected 784 inputs for mlp:784-10, found [14, 14] (196)");
  EXPECT_NE(message("resnet:20", {50}).find("found [50]"), std::string::npos);
  EXPECT_NE(message("resnet:21", {28, 28}).find("6 n + 2"), std::string::npos);
  for (const auto* bad :
       {"mlp", "mlp:", "mlp:5", "mlp:5-x", "mlp:5--3", "mlp:5-3:sine", "cnn:0",
        "cnn:", "transformer:2", "transformer:2x", "vgg:16", "", "mlp:5-99999999999999999999"}) {
    EXPECT_NE(message(bad, {28, 28}), "no error") << bad;
  }
}

TEST(Models, TrainingModeUsesBatchStatisticsAndModeGuardRestores) {
  const Network network = make_network("cnn:4-4", {.input_shape = {6, 6}});
  const Tensor x = RandomStream(1).normal({5, 6, 6}, at::kFloat, 3, 2);
  const Tensor before = network.forward(x);
  {
    ModeGuard guard(network, true);
    EXPECT_TRUE(network.is_training());
    EXPECT_FALSE(network.forward(x).allclose(before));  // and the running statistics have moved
  }
  EXPECT_FALSE(network.is_training());
  EXPECT_FALSE(network.forward(x).allclose(before));
}

}  // namespace
}  // namespace ritz::nn
