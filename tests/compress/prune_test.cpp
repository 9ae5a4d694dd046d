// Pruning a small network from beginning to end: masks, sparsities, predictions, resumption.
#include "ritz/compress/prune.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/compress/obs.h"
#include "ritz/nn/models.h"
#include "ritz/optim/first_order.h"

namespace {

using namespace ritz::compress;
using at::Tensor;
namespace fs = std::filesystem;

ritz::optim::Split samples(at::ScalarType dtype = at::kFloat) {
  ritz::RandomStream random(3, ritz::stream_id("test/data"));
  const Tensor inputs = random.normal({600, 10}, at::TensorOptions(at::kFloat));
  const Tensor map = random.normal({10, 4}, at::TensorOptions(at::kFloat));
  return {inputs.to(dtype), inputs.mm(map).argmax(1)};
}

/// A trained network: mlp:10-24-4 has d = 336 prunable weights.
const Tensor& trained_weights() {
  static const Tensor weights = [] {
    auto network = ritz::nn::make_network("mlp:10-24-4", {.input_shape = {10}, .outputs = 4});
    ritz::optim::Sgd sgd(network.parameter_values(), {.lr = 0.02, .momentum = 0.9});
    ritz::dist::ProcessGroup alone;
    ritz::optim::train({network, {}, samples(), sgd, alone},
                       {.batch = 50, .steps = 240, .lr = 0.02});
    return network.flat_parameters();
  }();
  return weights;
}

ritz::nn::Network network(at::ScalarType dtype = at::kFloat) {
  auto made =
      ritz::nn::make_network("mlp:10-24-4", {.input_shape = {10}, .outputs = 4, .tensor = dtype});
  made.set_flat_parameters(trained_weights().to(dtype));
  return made;
}

constexpr int64_t kWeights = 10 * 24 + 24 * 4;

PruneOptions options(PruneMethod method = PruneMethod::mfac) {
  return {.pruner = {.method = method, .gradients = 20, .gradient_batch = 20, .block = 64},
          .targets = {0.5, 0.8},
          .recomputations = 3};
}

PruneResult run(const PruneOptions& options, ritz::nn::Network net = network()) {
  return prune({net, {}, samples(net.parameters[0].value.scalar_type())}, options);
}

std::string folder(const std::string& name) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const fs::path path = fs::path(testing::TempDir()) /
                        ("ritz-prune-" + std::to_string(getpid()) + test->name() + "-" + name);
  fs::remove_all(path);
  return path.string();
}

int64_t zeros(const ritz::nn::Network& net) {
  int64_t count = 0;
  for (const auto& each : net.parameters) {
    if (each.value.dim() > 1)
      count += each.value.numel() - each.value.count_nonzero().item<int64_t>();
  }
  return count;
}

class EachMethod : public testing::TestWithParam<PruneMethod> {};

TEST_P(EachMethod, ReachesItsTargetsExactlyAndReportsThem) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    auto net = network(dtype);
    const Tensor biases = net.parameters[1].value.detach().clone();
    const auto result = run(options(GetParam()), net);
    ASSERT_EQ(result.steps.size(), 2u);
    EXPECT_EQ(result.steps[0].sparsity, std::floor(0.5 * kWeights) / kWeights);
    EXPECT_EQ(result.steps[1].sparsity, std::floor(0.8 * kWeights) / kWeights);
    EXPECT_EQ(zeros(net), zeros_at(0.8, kWeights));
    EXPECT_TRUE(at::equal(net.parameters[1].value, biases));
    EXPECT_EQ(result.steps[0].predicted_loss.has_value(), GetParam() != PruneMethod::magnitude);
    if (result.steps[0].predicted_loss) {
      EXPECT_GT(*result.steps[0].predicted_loss, 0);
    }
    EXPECT_NEAR(result.loss_before + result.steps[0].measured_loss + result.steps[1].measured_loss,
                result.loss_after, 1e-6);
    ASSERT_EQ(result.layers.size(), 2u);
    EXPECT_EQ(result.layers[0].first, net.parameters[0].name);
    EXPECT_NEAR(result.layers[0].second * 240 + result.layers[1].second * 96,
                static_cast<double>(zeros(net)), 1e-9);
    for (size_t k = 0; k < result.masks.size(); ++k) {
      const Tensor& weight = net.parameters[2 * k].value;
      EXPECT_TRUE(at::equal(result.masks[k].value, weight.ne(0).to(at::kByte)));
    }
  }
}

TEST_P(EachMethod, RepeatsItsBits) {
  auto a = network(), b = network();
  run(options(GetParam()), a);
  run(options(GetParam()), b);
  EXPECT_TRUE(at::equal(a.flat_parameters(), b.flat_parameters()));
}

INSTANTIATE_TEST_SUITE_P(Prune, EachMethod,
                         testing::Values(PruneMethod::mfac, PruneMethod::woodfisher,
                                         PruneMethod::obd, PruneMethod::magnitude));

TEST(Prune, WhatIsPrunedNeverReturnsThoughItIsFineTuned) {
  auto net = network();
  const auto first = run({.pruner = options().pruner, .targets = {0.5}}, net);
  const auto result = run({.pruner = options().pruner,
                           .targets = {0.8},
                           .fine_tune_epochs = 2,
                           .fine_tune_lr = 0.05,
                           .fine_tune_batch = 50},
                          net);
  for (size_t k = 0; k < first.masks.size(); ++k) {
    EXPECT_TRUE(result.masks[k].value.le(first.masks[k].value).all().item<bool>());
  }
  EXPECT_EQ(zeros(net), zeros_at(0.8, kWeights));
  EXPECT_LT(result.loss_after, result.loss_before + result.steps[0].measured_loss);
  EXPECT_TRUE(result.steps[0].accuracy_fine_tuned.has_value());
}

TEST(Prune, MfacLosesLessThanMagnitude) {
  auto by_mfac = network(at::kDouble), by_magnitude = network(at::kDouble);
  auto one = options();
  one.targets = {0.5};
  one.recomputations = 8;
  const auto mfac = run(one, by_mfac);
  one.pruner.method = PruneMethod::magnitude;
  const auto magnitude = run(one, by_magnitude);
  EXPECT_LT(mfac.loss_after, magnitude.loss_after);
}

TEST(Prune, WoodFisherGivesTheMasksAndWeightsOfBlockedMfac) {
  auto a = network(at::kDouble), b = network(at::kDouble);
  const auto mfac = run(options(PruneMethod::mfac), a);
  const auto woodfisher = run(options(PruneMethod::woodfisher), b);
  for (size_t k = 0; k < mfac.masks.size(); ++k) {
    EXPECT_TRUE(at::equal(mfac.masks[k].value, woodfisher.masks[k].value));
  }
  EXPECT_LT((a.flat_parameters() - b.flat_parameters()).abs().max().item<double>(), 1e-5);
}

TEST(Prune, JointUpdatesAndHalfPrecisionAndBlocksWithinTensorsReachTheTargetsToo) {
  for (const bool joint : {false, true}) {
    for (const std::string storage : {"full", "bfloat16", "float16"}) {
      auto all = options();
      all.pruner.joint = joint;
      all.pruner.storage = storage;
      all.pruner.block_per_tensor = storage == "full";
      auto net = network();
      const auto result = run(all, net);
      EXPECT_EQ(zeros(net), zeros_at(0.8, kWeights));
      EXPECT_TRUE(std::isfinite(result.loss_after));
    }
  }
}

TEST(Prune, ConvolutionsAreSeenInEvaluationModeAndTheirNormsStay) {
  auto net = ritz::nn::make_network("cnn:4-4", {.input_shape = {1, 8, 8}, .outputs = 3});
  const Tensor x = ritz::RandomStream(1).normal({60, 1, 8, 8}, at::TensorOptions(at::kFloat));
  const Tensor y = ritz::RandomStream(2).integers({60}, 0, 3);
  std::vector<Tensor> kept;
  for (const auto& each : net.buffers) kept.push_back(each.value.clone());
  for (const auto& each : net.parameters) {
    if (each.value.dim() == 1) kept.push_back(each.value.detach().clone());
  }
  net.set_training(true);
  prune({net, {}, {x, y}}, {.pruner = {.gradients = 6, .gradient_batch = 10}, .targets = {0.6}});
  size_t at = 0;
  for (const auto& each : net.buffers) EXPECT_TRUE(at::equal(each.value, kept[at++])) << each.name;
  for (const auto& each : net.parameters) {
    if (each.value.dim() == 1) {
      EXPECT_TRUE(at::equal(each.value, kept[at++])) << each.name;
    }
  }
  EXPECT_TRUE(net.is_training());
}

TEST(Prune, StoppedAnywhereAndResumedEqualsUninterrupted) {
  auto whole = options();
  whole.fine_tune_epochs = 1;
  whole.fine_tune_batch = 50;
  auto expected = network();
  const auto reference = run(whole, expected);
  // Asked once before each sub-step and once in each of the 12 steps of a fine-tuning.
  for (const int at : {1, 2, 3, 4, 9, 14, 16, 18, 20}) {
    auto halved = whole;
    halved.out = folder("halved");
    int asked = 0;
    halved.stop = [&] { return ++asked == at; };
    auto first = network();
    ASSERT_TRUE(run(halved, first).interrupted) << at;
    halved.stop = nullptr;
    halved.resume = true;
    auto second = network();
    const auto result = run(halved, second);
    EXPECT_TRUE(at::equal(second.flat_parameters(), expected.flat_parameters())) << at;
    ASSERT_EQ(result.steps.size(), 2u);
    for (size_t k = 0; k < 2; ++k) {
      EXPECT_EQ(result.steps[k].measured_loss, reference.steps[k].measured_loss);
      EXPECT_EQ(result.steps[k].predicted_loss, reference.steps[k].predicted_loss);
      EXPECT_EQ(result.steps[k].accuracy_fine_tuned, reference.steps[k].accuracy_fine_tuned);
    }
    auto other = halved;
    other.pruner.damping = 1;
    EXPECT_THROW(run(other), ritz::DataError);
    fs::remove_all(halved.out);
  }
}

TEST(Prune, TellsHowManyBatchesThereAreWhereTheyAreTooFew) {
  auto few = options();
  few.pruner.gradients = 31;  // of 20 samples; there are 600
  try {
    run(few);
    ADD_FAILURE() << "not refused";
  } catch (const ritz::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("found 30"), std::string::npos) << error.what();
  }
  few.pruner.allow_fewer = true;
  EXPECT_EQ(run(few).gradients, 30);
  few.pruner.gradient_batch = 601;
  EXPECT_THROW(run(few), ritz::DataError);
}

TEST(Prune, RefusesWhatCannotBe) {
  using ritz::InvalidArgument;
  const auto with = [](auto change) {
    auto changed = options();
    change(changed);
    return changed;
  };
  EXPECT_THROW(run(with([](auto& o) { o.targets = {0.5, 0.5}; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.targets = {1}; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.targets = {}; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.targets = {0.0001}; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.recomputations = 0; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.pruner.damping = 0; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.pruner.gradients = 0; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.pruner.block = -1; })), InvalidArgument);
  EXPECT_THROW(run(with([](auto& o) { o.pruner.storage = "int8"; })), InvalidArgument);
  auto dense = options(PruneMethod::woodfisher);
  dense.pruner.block = 0;
  EXPECT_THROW(run(dense), InvalidArgument);
  EXPECT_THROW(parse_prune_method("random"), InvalidArgument);
  try {
    run(with([](auto& o) { o.pruner.memory_limit = 1000; }));
    ADD_FAILURE() << "not refused";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(20 * kWeights * 4) + " bytes"),
              std::string::npos)
        << error.what();
  }
  auto vector = ritz::nn::make_network("mlp:10-24-4", {.input_shape = {10}, .outputs = 4});
  vector.parameters.erase(vector.parameters.begin());
  vector.parameters.resize(1);
  EXPECT_THROW(run(options(), vector), InvalidArgument);
}

TEST(Prune, NamesTheGradientThatIsNotFinite) {
  auto data = samples();
  data.inputs[5][0] = std::numeric_limits<float>::quiet_NaN();
  auto all = options();
  all.pruner.gradients = 30;  // every sample is in one
  for (const auto method : {PruneMethod::mfac, PruneMethod::woodfisher}) {
    all.pruner.method = method;
    try {
      prune({network(), {}, data}, all);
      ADD_FAILURE() << "not refused";
    } catch (const ritz::InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("row "), std::string::npos) << error.what();
    }
  }
}

}  // namespace
