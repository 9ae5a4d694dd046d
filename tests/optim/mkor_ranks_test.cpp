// MKOR over real processes: the iterates of one rank with the whole batch, the words that it sends.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/nn/models.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/mkor.h"
#include "ritz/optim/trainer.h"
#include "tests/dist/launch.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

constexpr int64_t kSamples = 96, kTogether = 16;  // samples; of a step on all ranks
constexpr int kSteps = 12;

Split samples() {
  ritz::RandomStream random(3, ritz::stream_id("test/data"));
  const Tensor inputs = random.normal({kSamples, 1, 4, 4}, at::TensorOptions(at::kDouble));
  return {inputs, inputs.flatten(1).narrow(1, 0, 3).argmax(1)};
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Outcome {
  Tensor parameters;
  int64_t words = 0, refreshed_words = 0;  // sent; of a renewal by the formula
};

/// Trains `kind` ("float64", "half", "rank2", "hybrid") on this group's share of each batch.
Outcome train_on(ritz::dist::ProcessGroup& group, const std::string& kind) {
  // Without batch norm, which would see another batch on each rank.
  const auto network = ritz::nn::make_network(
      "transformer:1x8",
      {.input_shape = {1, 4, 4}, .outputs = 3, .tensor = at::kDouble, .seed = 1});
  MkorOptions options{.f = 3, .verify = 2};
  if (kind != "half") options.half = HalfPrecision::none;
  if (kind == "rank2") options.rank = 2;
  HybridOptions hybrid{.rule = HybridOptions::Switch::never};
  if (kind == "hybrid") {
    hybrid = {.rule = HybridOptions::Switch::automatic,
              .knee = {.window = 3, .min_steps = 13, .check = 1, .patience = 1, .beta = 1e9}};
  }
  auto sgd =
      std::make_unique<Sgd>(network.parameter_values(), SgdOptions{.lr = 0.05, .momentum = 0.9});
  MkorHybrid optimizer(network, std::move(sgd), options, hybrid, &group);
  const auto result =
      train({network, {}, samples(), optimizer, group}, {.batch = kTogether / group.world_size(),
                                                         .steps = kind == "hybrid" ? 20 : kSteps,
                                                         .lr = 0.05,
                                                         .seed = 2});
  Outcome outcome{network.flat_parameters(), result.words_sent, 0};
  for (const auto& layer : optimizer.layers()) {
    outcome.refreshed_words += options.rank * (layer.inputs() + layer.outputs());
  }
  EXPECT_EQ(optimizer.switched_at(), kind == "hybrid" ? 13 : 0);
  return outcome;
}

TEST(DISABLED_MkorRank, Trains) {
  auto group = ritz::dist::ProcessGroup::from_environment({.timeout = std::chrono::seconds(60)});
  const std::string kind = variable("RITZ_TEST_KIND");
  const auto outcome = train_on(group, kind);
  // Every rank holds the same bits.
  const Tensor all = group.all_gather(outcome.parameters);
  for (int64_t r = 1; r < all.size(0); ++r) EXPECT_TRUE(at::equal(all[r], all[0]));
  const int64_t parameters = outcome.parameters.numel();
  // Gradients, loss and the wish to stop a step; the vectors of all layers a renewal, steps 1, 4,
  // 7, 10; a hash at every second one.
  if (kind != "hybrid") {
    EXPECT_EQ(outcome.words, kSteps * (parameters + 2) + 4 * outcome.refreshed_words + 2);
  }
  if (group.rank() == 0) {
    ritz::io::write_safetensors(variable("RITZ_TEST_FILE"),
                                {ritz::io::to_array("parameters", outcome.parameters)}, {}, true);
  }
}

TEST(DISABLED_MkorRank, Dies) {
  auto group = ritz::dist::ProcessGroup::from_environment({.timeout = std::chrono::seconds(6)});
  const auto network = ritz::nn::make_network("mlp:4-3", {.input_shape = {4}, .outputs = 3});
  Mkor optimizer(network, std::make_unique<Sgd>(network.parameter_values(), SgdOptions{.lr = 0.1}),
                 {.f = 1}, &group);
  const auto step = [&] {
    network.forward(at::ones({2, 4})).sum().backward();
    optimizer.step();
  };
  step();
  if (group.rank() == 1) raise(SIGKILL);
  EXPECT_THROW(for (int k = 0; k < 3; ++k) step(), ritz::SystemFailure);
}

TEST(DISABLED_MkorRank, HasFactorsOfItsOwn) {
  auto group = ritz::dist::ProcessGroup::from_environment({.timeout = std::chrono::seconds(20)});
  const auto network = ritz::nn::make_network("mlp:4-3", {.input_shape = {4}, .outputs = 3});
  Mkor optimizer(network, std::make_unique<Sgd>(network.parameter_values(), SgdOptions{.lr = 0.1}),
                 {.f = 1, .verify = 1}, &group);
  if (group.rank() == 1) optimizer.input_factor(0)[0][1].fill_(0.5);
  network.forward(at::ones({2, 4})).sum().backward();
  EXPECT_THROW(optimizer.step(), ritz::SystemFailure);
}

Tensor of_ranks(int world, const std::string& kind) {
  const auto file = std::filesystem::path(testing::TempDir()) /
                    ("ritz-mkor-" + std::to_string(getpid()) + ".safetensors");
  const auto pids =
      ritz::test::start_ranks(world, "DISABLED_MkorRank.Trains",
                              {{"RITZ_TEST_KIND", kind}, {"RITZ_TEST_FILE", file.string()}});
  for (const pid_t pid : pids) EXPECT_EQ(ritz::test::finish(pid), 0);
  const auto read = ritz::io::read_safetensors(file.string());
  const Tensor parameters = ritz::io::to_tensor(read.arrays.at(0)).clone();
  std::filesystem::remove(file);
  return parameters;
}

class MkorRanks : public testing::TestWithParam<int> {};

TEST_P(MkorRanks, TrainLikeOneWithTheWholeBatch) {
  for (const auto& [kind, tolerance] : {std::pair{"float64", 1e-6}, {"half", 1e-3}}) {
    ritz::dist::ProcessGroup alone;
    const auto one = train_on(alone, kind);
    const Tensor many = of_ranks(GetParam(), kind);
    EXPECT_LT((one.parameters - many).abs().max().item<double>(), tolerance) << kind;
    // In a group of one the formula can be counted too; its gradients stay at home.
    EXPECT_EQ(one.words, 4 * one.refreshed_words);
  }
}

TEST_P(MkorRanks, AgreeOnTopVectorsAndOnTheSwitch) {
  of_ranks(GetParam(), "rank2");
  of_ranks(GetParam(), "hybrid");
}

INSTANTIATE_TEST_SUITE_P(TwoAndFour, MkorRanks, testing::Values(2, 4));

TEST(MkorRank, FailWhenOneDies) {
  const auto pids = ritz::test::start_ranks(2, "DISABLED_MkorRank.Dies");
  EXPECT_EQ(ritz::test::finish(pids[1]), 128 + SIGKILL);
  EXPECT_EQ(ritz::test::finish(pids[0]), 0);
}

TEST(MkorRank, NoticeFactorsThatDiffer) {
  for (const pid_t pid : ritz::test::start_ranks(2, "DISABLED_MkorRank.HasFactorsOfItsOwn")) {
    EXPECT_EQ(ritz::test::finish(pid), 0);
  }
}

}  // namespace
