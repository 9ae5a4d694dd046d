#include "ritz/dist/sharded_sum.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"
#include "tests/dist/launch.h"

namespace ritz::dist {
namespace {

TEST(Shard, SharesDifferByOneAtMostAndCoverAll) {
  for (const int world : {1, 2, 3, 7}) {
    int64_t next = 0;
    for (int rank = 0; rank < world; ++rank) {
      const auto shard = shard_of(17, rank, world);
      EXPECT_EQ(shard.begin, next);
      EXPECT_GE(shard.end - shard.begin, 17 / world);
      EXPECT_LE(shard.end - shard.begin, 17 / world + 1);
      next = shard.end;
    }
    EXPECT_EQ(next, 17);
  }
  EXPECT_THROW(shard_of(5, 2, 2), InvalidArgument);
}

TEST(ShardedSum, RefusesWhatIsNoSquareOperator) {
  ProcessGroup alone;
  EXPECT_THROW(ShardedSumOperator(nullptr, 1, alone), InvalidArgument);
  const auto wide = std::make_shared<DenseOperator>(torch::zeros({2, 3}, torch::kFloat64));
  EXPECT_THROW(ShardedSumOperator(wide, 1, alone), InvalidArgument);
}

// The mean of N matrices, each rank holding the mean of its share.
TEST(ShardedSum, DISABLED_EqualsTheWhole) {
  auto group = ProcessGroup::from_environment();
  const int64_t N = 7, P = 5;
  const auto A = RandomStream(3).normal({N, P, P}, torch::kFloat64);
  const auto H = A + A.transpose(1, 2);
  const auto shard = shard_of(N, group.rank(), group.world_size());
  const auto local = std::make_shared<DenseOperator>(H.slice(0, shard.begin, shard.end).mean(0));
  const ShardedSumOperator whole(local, static_cast<double>(shard.end - shard.begin) / N, group);
  for (const int64_t k : {1, 3}) {
    const auto X = RandomStream(4).normal({P, k}, torch::kFloat64);
    const auto Y = whole.apply(X);
    EXPECT_LT((Y - H.mean(0).mm(X)).abs().max().item<double>(), 1e-13);
    const auto all = group.all_gather(Y);
    EXPECT_TRUE(torch::equal(all[0], all[group.world_size() - 1]));
  }
  EXPECT_EQ(group.words_sent(), 2 * P + 2 * 3 * P);  // a product and a gather of each block
}

TEST(ShardedSum, IsTheWholeOnOneTwoAndThreeRanks) {
  for (const int world : {1, 2, 3})
    for (const auto pid : test::start_ranks(world, "ShardedSum.DISABLED_EqualsTheWhole"))
      EXPECT_EQ(test::finish(pid), 0);
}

}  // namespace
}  // namespace ritz::dist
