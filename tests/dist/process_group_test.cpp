#include "ritz/dist/process_group.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "launch.h"
#include "ritz/base/error.h"

namespace {

using ritz::dist::Launcher;
using ritz::dist::ProcessGroup;
using ritz::test::Environment;

/// Values whose float32 sum depends on the order of addition.
at::Tensor awkward(int rank, int64_t n) {
  return at::sin(at::arange(n, at::kFloat) * (rank + 1) + rank) * std::pow(10.f, rank);
}

// What every rank does; the parent tests below start it.
TEST(DISABLED_Rank, PlaysAllCollectives) {
  auto group = ProcessGroup::from_environment({.timeout = std::chrono::seconds(20)});
  const int P = group.world_size(), r = group.rank();

  for (const int64_t n : {int64_t{1}, int64_t{7}, int64_t{100003}}) {
    auto x = awkward(r, n);
    auto expected = at::zeros({n}, at::kDouble);
    for (int k = 0; k < P; ++k) expected += awkward(k, n);
    group.all_reduce_sum(x);
    EXPECT_LT((x.to(at::kDouble) - expected).abs().max().item<double>(), 1e-4);
    // The same bits everywhere: compare with every other rank's result as integers.
    const auto all = group.all_gather(x).view(at::kInt);
    for (int k = 0; k < P; ++k) EXPECT_TRUE(at::equal(all[k], all[0]));
  }

  auto strided = at::full({3, 4}, r + 1, at::kDouble).t();
  group.all_reduce_sum(strided);
  EXPECT_TRUE(at::equal(strided, at::full({4, 3}, P * (P + 1) / 2, at::kDouble)));
  auto half = at::full({5}, 0.5 * r, at::kHalf);
  group.all_reduce_sum(half);
  EXPECT_EQ(half[4].item<double>(), 0.5 * P * (P - 1) / 2);

  auto from_last = at::full({2, 3}, r, at::kLong);
  group.broadcast(from_last, P - 1);
  EXPECT_TRUE(at::equal(from_last, at::full({2, 3}, P - 1, at::kLong)));

  const auto parts = group.all_gather_unequal(at::full({r, 2}, r, at::kDouble));
  ASSERT_EQ(parts.size(), static_cast<size_t>(P));
  for (int k = 0; k < P; ++k) EXPECT_TRUE(at::equal(parts[k], at::full({k, 2}, k, at::kDouble)));
  group.barrier();

  const int64_t words = 2 * (1 + 7 + 100003) + 12 + 5 + (r == P - 1 ? 6 : 0) + 2 * r;
  EXPECT_EQ(group.words_sent(), words);
}

TEST(DISABLED_Rank, LosesItsLastPeer) {
  auto group = ProcessGroup::from_environment({.timeout = std::chrono::seconds(6)});
  auto x = at::ones({10});
  group.all_reduce_sum(x);
  if (group.rank() == group.world_size() - 1) raise(SIGKILL);
  EXPECT_THROW(for (int k = 0; k < 3; ++k) group.all_reduce_sum(x), ritz::SystemFailure);
}

TEST(DISABLED_Rank, OutwaitsItsLastPeer) {
  auto group = ProcessGroup::from_environment({.timeout = std::chrono::milliseconds(1000)});
  auto x = at::ones({10});
  group.all_reduce_sum(x);
  if (group.rank() == group.world_size() - 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    return;
  }
  EXPECT_THROW(group.all_reduce_sum(x), ritz::SystemFailure);
}

TEST(DISABLED_Rank, WaitsForAPeerThatNeverComes) {
  EXPECT_THROW(ProcessGroup::from_environment({.timeout = std::chrono::milliseconds(1500)}),
               ritz::SystemFailure);
}

class Ranks : public testing::TestWithParam<int> {};

TEST_P(Ranks, AgreeToTheBitOnEveryCollective) {
  const auto pids = ritz::test::start_ranks(GetParam(), "DISABLED_Rank.PlaysAllCollectives");
  for (const pid_t pid : pids) EXPECT_EQ(ritz::test::finish(pid), 0);
}

TEST_P(Ranks, FailWithinTheTimeOutWhenOneDies) {
  const auto begin = std::chrono::steady_clock::now();
  const auto pids = ritz::test::start_ranks(GetParam(), "DISABLED_Rank.LosesItsLastPeer");
  for (const pid_t pid : pids) {
    EXPECT_EQ(ritz::test::finish(pid), pid == pids.back() ? 128 + SIGKILL : 0);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(25));
}

TEST_P(Ranks, FailAfterTheTimeOutWhenOneHangs) {
  for (const pid_t pid : ritz::test::start_ranks(GetParam(), "DISABLED_Rank.OutwaitsItsLastPeer")) {
    EXPECT_EQ(ritz::test::finish(pid), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(TwoAndThree, Ranks, testing::Values(2, 3));

TEST(Rendezvous, GivesUpAfterTheTimeOut) {
  const Environment alone{{"RANK", "0"},
                          {"WORLD_SIZE", "2"},
                          {"MASTER_ADDR", "127.0.0.1"},
                          {"MASTER_PORT", std::to_string(ritz::test::free_port())}};
  const auto begin = std::chrono::steady_clock::now();
  const pid_t pid = ritz::test::start(
      ritz::test::child_arguments("DISABLED_Rank.WaitsForAPeerThatNeverComes"), alone);
  EXPECT_EQ(ritz::test::finish(pid), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST(Mpirun, NeedsNothingElseSetOnOneMachine) {
  if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "no mpirun here";
  std::vector<std::string> line{"mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "3"};
  for (auto& part : ritz::test::child_arguments("DISABLED_Rank.PlaysAllCollectives")) {
    line.push_back(part);
  }
  EXPECT_EQ(ritz::test::finish(ritz::test::start(line, {{"OMP_NUM_THREADS", "1"}})), 0);
}

TEST(ProcessGroup, AloneIsTheIdentityAndCountsWords) {
  ProcessGroup group;
  const auto x = at::arange(6, at::kDouble).view({2, 3});
  const auto y = x.clone();
  group.all_reduce_sum(y);
  group.broadcast(y);
  group.barrier();
  EXPECT_TRUE(at::equal(x, y));
  EXPECT_TRUE(at::equal(group.all_gather(x), x.unsqueeze(0)));
  EXPECT_TRUE(at::equal(group.all_gather_unequal(x).at(0), x));
  EXPECT_EQ(group.words_sent(), 24);
  EXPECT_THROW(group.broadcast(y, 1), ritz::InvalidArgument);
  EXPECT_THROW(group.all_gather_unequal(at::scalar_tensor(1.)), ritz::InvalidArgument);
}

/// Sets variables for one test, and only these of all that launchers set.
class Discovery : public testing::Test {
 protected:
  void TearDown() override { clear(); }
  static void clear() {
    for (const char* name : {"RANK",
                             "WORLD_SIZE",
                             "MASTER_ADDR",
                             "MASTER_PORT",
                             "LOCAL_RANK",
                             "LOCAL_WORLD_SIZE",
                             "TORCHELASTIC_USE_AGENT_STORE",
                             "OMPI_COMM_WORLD_RANK",
                             "OMPI_COMM_WORLD_SIZE",
                             "OMPI_COMM_WORLD_LOCAL_SIZE",
                             "PMIX_SERVER_TMPDIR",
                             "PMIX_NAMESPACE",
                             "SLURM_PROCID",
                             "SLURM_NTASKS",
                             "SLURM_STEP_ID",
                             "SLURM_STEP_NUM_TASKS",
                             "SLURM_STEP_NODELIST",
                             "SLURM_NODELIST",
                             "SLURM_STEP_NUM_NODES",
                             "SLURM_JOB_ID"}) {
      unsetenv(name);
    }
  }
  static ritz::dist::Ranks with(const Environment& environment) {
    clear();
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    return ritz::dist::discover_ranks();
  }
};

TEST_F(Discovery, WithoutALauncherTheWorldIsOne) {
  EXPECT_EQ(with({}).world_size, 1);
  EXPECT_EQ(with({{"RANK", "3"}}).world_size, 1);
  // Inside an allocation, but not started by srun.
  EXPECT_EQ(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).world_size, 1);
  EXPECT_EQ(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}, {"SLURM_STEP_ID", "0"}}).launcher,
            Launcher::none);
}

TEST_F(Discovery, TorchrunsAgentHoldsTheStoreWhereItSaysSo) {
  Environment environment{
      {"RANK", "0"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node1"}, {"MASTER_PORT", "1234"}};
  EXPECT_TRUE(with(environment).serve_store);
  EXPECT_FALSE(with(environment).one_machine);
  environment["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  environment["LOCAL_WORLD_SIZE"] = "4";
  const auto ranks = with(environment);
  EXPECT_FALSE(ranks.serve_store);
  EXPECT_TRUE(ranks.one_machine);
  EXPECT_EQ(ranks.port, 1234);
  environment["RANK"] = "4";
  EXPECT_THROW(with(environment), ritz::InvalidArgument);
  environment["RANK"] = "one";
  EXPECT_THROW(with(environment), ritz::InvalidArgument);
  environment["RANK"] = "1";
  environment.erase("MASTER_PORT");
  EXPECT_THROW(with(environment), ritz::InvalidArgument);
}

TEST_F(Discovery, MpirunMeetsInAFileUnlessAnAddressIsGiven) {
  Environment environment{{"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_SIZE", "2"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                          {"PMIX_SERVER_TMPDIR", "/tmp/session"}};
  EXPECT_EQ(with(environment).file, "/tmp/session/ritz-rendezvous");
  environment["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  EXPECT_THROW(with(environment), ritz::InvalidArgument);
  environment["MASTER_ADDR"] = "node7";
  EXPECT_EQ(with(environment).address, "node7");
  EXPECT_EQ(with(environment).port, 29500);
}

TEST_F(Discovery, SlurmTakesTheFirstHostAndAPortOfTheStep) {
  Environment environment{{"SLURM_PROCID", "5"},         {"SLURM_STEP_NUM_TASKS", "8"},
                          {"SLURM_STEP_ID", "0"},        {"SLURM_STEP_NODELIST", "n[08-11,20],m3"},
                          {"SLURM_STEP_NUM_NODES", "5"}, {"SLURM_JOB_ID", "123456"}};
  const auto first = with(environment);
  EXPECT_EQ(first.address, "n08");
  EXPECT_EQ(first.rank, 5);
  EXPECT_FALSE(first.serve_store);
  environment["SLURM_STEP_ID"] = "1";
  EXPECT_NE(with(environment).port, first.port);
  EXPECT_EQ(ritz::dist::first_host("login"), "login");
  EXPECT_EQ(ritz::dist::first_host("r[1-2]c[03,07]"), "r1c03");
  EXPECT_THROW(ritz::dist::first_host(""), ritz::InvalidArgument);
  EXPECT_THROW(ritz::dist::first_host("n[1-2"), ritz::InvalidArgument);
}

}  // namespace
