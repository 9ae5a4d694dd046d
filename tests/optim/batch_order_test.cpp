#include "ritz/optim/batch_order.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

namespace {

using ritz::optim::BatchOrder;

TEST(BatchOrder, EachEpochIsAPermutationAndEpochsDiffer) {
  BatchOrder order({.samples = 12, .batch = 3, .seed = 5});
  ASSERT_EQ(order.steps_per_epoch(), 4);
  std::vector<at::Tensor> epochs;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<at::Tensor> rows;
    for (int64_t step = 1; step <= 4; ++step) rows.push_back(order.rows(epoch * 4 + step, 0));
    epochs.push_back(at::cat(rows));
    EXPECT_TRUE(at::equal(std::get<0>(epochs.back().sort()), at::arange(12)));
  }
  EXPECT_FALSE(at::equal(epochs[0], epochs[1]));
  EXPECT_EQ(order.epoch(1), 0);
  EXPECT_EQ(order.epoch(7), 1.5);
}

TEST(BatchOrder, RanksAndMicroBatchesShareOutWhatOneBatchTakes) {
  BatchOrder one({.samples = 100, .batch = 12, .seed = 5});
  for (int64_t step : {1, 8, 9, 30}) {
    std::vector<at::Tensor> parts;
    for (int rank = 0; rank < 3; ++rank) {
      BatchOrder order(
          {.samples = 100, .batch = 2, .accumulate = 2, .rank = rank, .world_size = 3, .seed = 5});
      parts.push_back(order.rows(step, 0));
      parts.push_back(order.rows(step, 1));
    }
    EXPECT_TRUE(at::equal(at::cat(parts), one.rows(step, 0))) << step;
  }
}

TEST(BatchOrder, DoesNotDependOnWhatWasAskedBefore) {
  BatchOrder straight({.samples = 50, .batch = 7, .seed = 1}), jumping = straight;
  for (int64_t step = 1; step < 20; ++step) straight.rows(step, 0);
  EXPECT_TRUE(at::equal(straight.rows(20, 0), jumping.rows(20, 0)));
}

TEST(BatchOrder, MoreThanThereIsIsRefused) {
  EXPECT_THROW(BatchOrder({.samples = 10, .batch = 11}), ritz::InvalidArgument);
  EXPECT_THROW(BatchOrder({.samples = 10, .batch = 4, .world_size = 3}), ritz::InvalidArgument);
  EXPECT_THROW(BatchOrder({.samples = 10, .batch = 0}), ritz::InvalidArgument);
}

}  // namespace
