#include "ritz/optim/kronecker/placement.h"

#include <algorithm>
#include <numeric>

#include "ritz/base/check.h"

namespace ritz::optim {

Grid make_grid(Placement placement, int world_size, double fraction) {
  check_at_least("world_size", world_size, 1);
  check_in("grad_worker_fraction", fraction, 0, 1);
  if (placement == Placement::mem) return {world_size, 1};
  if (placement == Placement::comm) return {world_size, world_size};
  int rows = std::max(1, static_cast<int>(fraction * world_size));
  while (world_size % rows != 0) --rows;
  return {world_size, rows};
}

std::vector<int> assign_greedily(const std::vector<double>& costs, const Grid& grid) {
  std::vector<size_t> order(costs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return costs[i] > costs[j]; });
  std::vector<double> column_load(grid.columns()), load(grid.world_size);
  std::vector<int> worker(costs.size());
  for (const size_t item : order) {
    const auto least = std::min_element(column_load.begin(), column_load.end());
    const int column = static_cast<int>(least - column_load.begin());
    int chosen = grid.rank_at(0, column);
    for (int row = 1; row < grid.rows; ++row) {
      if (const int rank = grid.rank_at(row, column); load[rank] < load[chosen]) chosen = rank;
    }
    worker[item] = chosen;
    load[chosen] += costs[item];
    column_load[column] += costs[item];
  }
  return worker;
}

}  // namespace ritz::optim
