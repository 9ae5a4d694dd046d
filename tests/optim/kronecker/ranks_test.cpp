// K-FAC, Eva, SNGD and HyLo on 2 and 4 real processes: the iterates are those of one process with
// the whole batch, and the words sent are those of the methods' formulas.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>

#include "ritz/optim/kfac.h"
#include "ritz/optim/make_optimizer.h"
#include "ritz/optim/trainer.h"
#include "tests/dist/launch.h"
#include "tests/optim/kronecker/passes.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::test::Problem;
namespace fs = std::filesystem;

constexpr int64_t kSteps = 7, kBatch = 24, kWidths = 6 + 4 + 5 + 3, kGradients = 4 * 6 + 3 * 5,
                  kSquares = 6 * 6 + 4 * 4 + 5 * 5 + 3 * 3;

struct Case {
  std::string name;
  std::vector<std::string> words;
  /// What all P ranks together hand to collectives beyond the trainer's own, in kSteps steps.
  std::function<int64_t(int64_t P)> expected;
};

// f = 3: three renewals in seven steps; factors every 2: four updates.
const std::vector<Case>& cases() {
  const auto kfac = [](const char* placement, const char* form) {
    return std::vector<std::string>{"f=3",           "factor-every=2",
                                    "damping=0.1",   std::string("placement=") + placement,
                                    "rescale=layer", std::string("form=") + form};
  };
  static const std::vector<Case> all{
      {"kfac", kfac("comm", "inverse"), [](int64_t P) { return 4 * P * kSquares + 3 * kSquares; }},
      {"kfac", kfac("mem", "inverse"),
       [](int64_t P) { return 4 * P * kSquares + kSteps * kGradients; }},
      // Two ranks: one holder a layer, as mem. Four: two holders, each sends along its row.
      {"kfac", kfac("hybrid", "eigen"),
       [](int64_t P) {
         return 4 * P * kSquares + (P == 4 ? 3 * (kSquares + kWidths) : 0) +
                P / 2 * kSteps * kGradients;
       }},
      {"eva", {"f=3"}, [](int64_t P) { return 3 * P * kWidths; }},
      {"sngd", {"f=3"}, [](int64_t) { return 3 * kBatch * kWidths; }},
      {"hylo", {"f=3", "form=kid"}, [](int64_t) { return 3 * kBatch * kWidths; }},
      // Norms of all for two layers, then a tenth of the samples.
      {"hylo", {"f=3", "form=kis"}, [](int64_t) { return 3 * (2 * kBatch + 2 * kWidths); }},
  };
  return all;
}

struct Training {
  Problem problem{"mlp:5-4-3:tanh", {5}, 60};
  TrainerOptions options{.steps = kSteps, .lr = 0.02};
  std::unique_ptr<Optimizer> optimizer;

  Training(const Case& c, ritz::dist::ProcessGroup& group) {
    options.batch = kBatch / group.world_size();
    optimizer = make_optimizer(c.name, {problem.network, options.lr, &group},
                               Settings(find_optimizer(c.name), c.words));
  }
  TrainingResult train(ritz::dist::ProcessGroup& group) {
    return ritz::optim::train({problem.network, {}, {problem.x, problem.y}, *optimizer, group},
                              options);
  }
};

Tensor trained(const Case& c, ritz::dist::ProcessGroup& group, int64_t* words = nullptr) {
  Training run(c, group);
  const auto result = run.train(group);
  if (words != nullptr) *words = result.words_sent;
  return run.problem.network.flat_parameters();
}

int64_t sum_over(ritz::dist::ProcessGroup& group, int64_t x) {
  const Tensor sum = at::full({1}, x, at::kLong);
  group.all_reduce_sum(sum);
  return sum.item<int64_t>();
}

/// Stops after four steps (between two inversions, an update after the first) and goes on.
Tensor trained_in_two(const Case& c, ritz::dist::ProcessGroup& group, const std::string& folder) {
  Training first(c, group);
  first.options.out = folder;
  int asked = 0;
  first.options.stop = [&] { return ++asked == 4; };
  EXPECT_TRUE(first.train(group).interrupted);
  group.barrier();  // the checkpoint is there
  Training second(c, group);
  second.options.out = folder;
  second.options.resume = true;
  second.train(group);
  return second.problem.network.flat_parameters();
}

TEST(DISABLED_KroneckerRanks, IsARank) {
  auto group = ritz::dist::ProcessGroup::from_environment({.timeout = std::chrono::seconds(60)});
  const int64_t P = group.world_size();
  const std::string folder = std::getenv("RITZ_TEST_OUT");
  for (size_t k = 0; k < cases().size(); ++k) {
    const Case& c = cases()[k];
    SCOPED_TRACE(c.name + " " + std::to_string(k));
    int64_t words = 0;
    const Tensor many = trained(c, group, &words);
    ritz::dist::ProcessGroup alone;
    const Tensor one = trained(c, alone);
    // Sums in another order, 7 steps, divided by the damping: far below the 1e-6 that is asked.
    EXPECT_LT((many - one).abs().max().item<double>(), 1e-9);
    const Tensor all = group.all_gather(many).view(at::kLong);
    for (int64_t rank = 1; rank < P; ++rank) EXPECT_TRUE(at::equal(all[0], all[rank]));
    const int64_t own = words - kSteps * (many.numel() + 2);  // gradients, loss, wish to stop
    EXPECT_EQ(sum_over(group, own), c.expected(P));
    EXPECT_TRUE(at::equal(trained_in_two(c, group, folder + "/" + std::to_string(k)), many));
  }
  // Memory: `mem` holds each inverse once among all, `comm` on each.
  for (const size_t k : {size_t{0}, size_t{1}}) {
    Training run(cases()[k], group);
    run.train(group);
    const auto& kfac = dynamic_cast<const Kfac&>(*run.optimizer);
    EXPECT_EQ(sum_over(group, kfac.inverse_numel()), (k == 0 ? P : 1) * kSquares);
  }
}

class KroneckerRanks : public testing::TestWithParam<int> {};

TEST_P(KroneckerRanks, EqualOneRankWithTheWholeBatch) {
  const fs::path folder =
      fs::path(testing::TempDir()) /
      ("ritz-kronecker-ranks-" + std::to_string(getpid()) + "-" + std::to_string(GetParam()));
  fs::create_directories(folder);
  for (const pid_t pid : ritz::test::start_ranks(GetParam(), "DISABLED_KroneckerRanks.IsARank",
                                                 {{"RITZ_TEST_OUT", folder.string()}})) {
    EXPECT_EQ(ritz::test::finish(pid), 0);
  }
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(TwoAndFour, KroneckerRanks, testing::Values(2, 4));

TEST(Subgroup, RefusesMembersWithoutThisRank) {
  ritz::dist::ProcessGroup alone;
  EXPECT_THROW(alone.subgroup({}), ritz::InvalidArgument);
  EXPECT_THROW(alone.subgroup({1}), ritz::InvalidArgument);
  auto same = alone.subgroup({0});
  same.all_reduce_sum(at::ones({3}));
  EXPECT_EQ(alone.words_sent(), 3);
}

}  // namespace
