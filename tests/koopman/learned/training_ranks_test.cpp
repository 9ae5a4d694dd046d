// Data-parallel training over real processes: the iterates of one rank with the whole batch.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>

#include "ritz/base/random.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/learned/training.h"
#include "tests/dist/launch.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

constexpr int64_t kTogether = 8;  // windows of a step on all ranks

/// Every term that looks across windows: entropy of all latents, contrast with all, K of all.
Tensor trained(ritz::dist::ProcessGroup& group, OperatorKind op) {
  const Tensor t = 0.3 * at::arange(30, at::kDouble),
               phase = at::arange(5, at::kDouble).unsqueeze(1);
  const Tensor x = at::stack({(t + phase).sin(), (t + phase).cos(), (2 * t + phase).sin()}, 2);
  Model model({.network = "mlp:6:tanh",
               .sample = {3},
               .latent = 4,
               .op = op,
               .seed = 1,
               .tensor = at::TensorOptions(at::kDouble)});
  train(model, {{x}, Trajectories{x}},
        {.loss = {.alpha = 0.1, .gamma = 0.1, .k = 2, .global = true},
         .window = 5,
         .batch = kTogether / group.world_size(),
         .steps = 12},
        group);
  std::vector<Tensor> all;
  for (const Tensor& p : model.parameters()) all.push_back(p.detach().flatten());
  all.push_back(model.koopman_matrix().detach().flatten());
  return at::cat(all);
}

std::string out() {
  const char* path = std::getenv("RITZ_TEST_OUT");
  return path == nullptr ? "" : path;
}

TEST(TrainingRanks, DISABLED_Rank) {
  auto group = ritz::dist::ProcessGroup::from_environment();
  std::vector<ritz::io::Array> arrays;
  for (const auto op : {OperatorKind::stable, OperatorKind::ridge}) {
    arrays.push_back(ritz::io::to_array(std::string(name_of(op)), trained(group, op)));
  }
  ritz::io::write_safetensors(out() + std::to_string(group.rank()), arrays);
}

TEST(TrainingRanks, TakeTheStepsOfOneRankWithTheWholeBatch) {
  const ritz::test::TemporaryFolder folder;
  const std::string prefix = folder / "rank";
  const auto pids =
      ritz::test::start_ranks(2, "TrainingRanks.DISABLED_Rank", {{"RITZ_TEST_OUT", prefix}});
  for (const auto pid : pids) ASSERT_EQ(ritz::test::finish(pid), 0);
  ritz::dist::ProcessGroup alone;
  for (const auto op : {OperatorKind::stable, OperatorKind::ridge}) {
    const Tensor expected = trained(alone, op);
    for (int rank = 0; rank < 2; ++rank) {
      for (const auto& array : ritz::io::read_safetensors(prefix + std::to_string(rank)).arrays) {
        if (array.name != name_of(op)) continue;
        // Twelve steps of Adam, sums in another order.
        EXPECT_LT((ritz::io::to_tensor(array) - expected).abs().max().item<double>(), 1e-8)
            << name_of(op) << " on rank " << rank;
      }
    }
  }
}

}  // namespace
