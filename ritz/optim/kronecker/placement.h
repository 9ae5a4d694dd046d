#pragma once
// Which rank does what for a layer in distributed K-FAC (KAISA: Pauloski et al., SC 2021). Free of
// libtorch.
#include <cstdint>
#include <string_view>
#include <vector>

namespace ritz::optim {

enum class Placement {
  mem,     // one rank holds a layer's inverses and sends the preconditioned gradient to all
  hybrid,  // a share of the ranks holds them; each sends the gradient to its part of the others
  comm     // all ranks hold them; no gradient is sent
};

/// The ranks as a grid of m rows and P / m columns, number i at row i / (P / m), column
/// i mod (P / m). A layer belongs to a column: its m ranks hold the layer's inverses, and each
/// sends the preconditioned gradient along its row. m = 1 is `mem`, m = P is `comm`.
struct Grid {
  int world_size = 1;
  int rows = 1;  // m, the gradient workers of a layer; divides world_size
  int columns() const { return world_size / rows; }
  int row_of(int rank) const { return rank / columns(); }
  int column_of(int rank) const { return rank % columns(); }
  int rank_at(int row, int column) const { return row * columns() + column; }
};
/// m is the largest divisor of P that is not above max(1, fraction P); `fraction` matters for
/// `hybrid` alone. Throws InvalidArgument where it is outside [0, 1].
Grid make_grid(Placement placement, int world_size, double fraction = 0.5);

/// The rank that inverts each item, of items in order of falling cost each to the least loaded
/// column and there to its least loaded rank (longest processing time first: at most 4/3 - 1/(3 P)
/// of the best largest load where m is 1 or P; Graham 1969). Ties go to the earlier item and rank.
std::vector<int> assign_greedily(const std::vector<double>& costs, const Grid& grid);

}  // namespace ritz::optim
