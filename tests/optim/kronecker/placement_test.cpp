#include "ritz/optim/kronecker/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ritz/base/error.h"

namespace {

using namespace ritz::optim;

TEST(Grid, RowsFollowThePlacement) {
  EXPECT_EQ(make_grid(Placement::mem, 4).rows, 1);
  EXPECT_EQ(make_grid(Placement::comm, 4).rows, 4);
  EXPECT_EQ(make_grid(Placement::hybrid, 4, 0.5).rows, 2);
  EXPECT_EQ(make_grid(Placement::hybrid, 4, 0).rows, 1);
  EXPECT_EQ(make_grid(Placement::hybrid, 6, 0.7).rows, 3);  // 4 does not divide 6
  EXPECT_EQ(make_grid(Placement::hybrid, 7, 0.9).rows, 1);
}

// kfac-pytorch's own example: 8 ranks, 2 gradient workers.
TEST(Grid, ColumnsHoldAndRowsReceive) {
  const Grid grid{8, 2};
  EXPECT_EQ(grid.rank_at(0, 1), 1);
  EXPECT_EQ(grid.rank_at(1, 1), 5);
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(grid.row_of(rank), rank / 4);
    EXPECT_EQ(grid.rank_at(grid.row_of(rank), grid.column_of(rank)), rank);
  }
}

TEST(Grid, RefusesWhatCannotBe) {
  EXPECT_THROW(make_grid(Placement::hybrid, 4, 1.5), ritz::InvalidArgument);
  EXPECT_THROW(make_grid(Placement::mem, 0), ritz::InvalidArgument);
}

std::vector<double> loads(const std::vector<double>& costs, const std::vector<int>& workers,
                          int world) {
  std::vector<double> load(world);
  for (size_t i = 0; i < costs.size(); ++i) load[workers[i]] += costs[i];
  return load;
}

TEST(Assignment, LongestFirstBalances) {
  const std::vector<double> costs{3, 7, 2, 5, 4, 6};  // 27 over 3: 9 each is reached
  const auto workers = assign_greedily(costs, {3, 3});
  const auto load = loads(costs, workers, 3);
  EXPECT_EQ(*std::max_element(load.begin(), load.end()), 9);
  EXPECT_EQ(workers[1], 0);  // the longest goes to the first
  EXPECT_EQ(workers[5], 1);
}

TEST(Assignment, StaysWithinGrahamsBound) {
  std::vector<double> costs;
  for (int i = 0; i < 40; ++i) costs.push_back(1 + (i * 37) % 23);
  const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
  for (const int world : {1, 2, 3, 5, 8}) {
    for (const int rows : {1, world}) {
      const auto load = loads(costs, assign_greedily(costs, {world, rows}), world);
      const double least = std::max(total / world, 23.0);
      EXPECT_LE(*std::max_element(load.begin(), load.end()),
                least * (4.0 / 3 - 1.0 / (3 * world)) + 1e-12);
    }
  }
}

TEST(Assignment, GridColumnsShareTheWork) {
  const std::vector<double> costs(8, 1.0);
  const Grid grid{4, 2};
  const auto workers = assign_greedily(costs, grid);
  for (const double load : loads(costs, workers, 4)) EXPECT_EQ(load, 2);
}

}  // namespace
