#pragma once
// Products with a matrix of gradients G [m, d], m small and d large, that is read where it lies
// (in memory, in half precision, in a mapped file) slab by slab of columns.
#include <functional>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::optim::detail {

/// `count` consecutive blocks of coordinates, each `width` wide, from `begin` on.
struct BlockRun {
  int64_t begin = 0, width = 0, count = 0;
};

/// Cuts d coordinates into blocks of `block` (0: as long as may be), the last one shorter; with
/// `segments` (lengths that sum to d) no block crosses from one segment into the next.
std::vector<BlockRun> plan_blocks(int64_t d, int64_t block, const std::vector<int64_t>& segments);

/// Columns that a slab of m rows should have to stay in a core's own cache.
int64_t slab_width(int64_t m, const Tensor& rows);

/// Calls visit(begin, width) for slabs that cover n columns, on all threads (CPU) or in order.
void for_each_slab(int64_t n, int64_t slab, const Tensor& rows,
                   const std::function<void(int64_t, int64_t)>& visit);

/// The blocks [first, first + count) of a run as a contiguous [count, m, width] of dtype `compute`.
Tensor gather_blocks(const Tensor& rows, const BlockRun& run, int64_t first, int64_t count,
                     c10::ScalarType compute);

/// Throws InvalidArgument naming the first row whose squared norm (the diagonal of a Gram matrix
/// [.., m, m]) is not finite.
void check_rows_finite(const Tensor& gram);

/// rows rows^T [m, m] in float64: products within a slab in `compute`, sums over slabs in float64.
///
/// Cost: m^2 n flops (the lower triangle alone, on the CPU); reads G once.
Tensor gram(const Tensor& rows, c10::ScalarType compute);

/// out <- T rows for a lower-triangular T [m, m] of out's dtype; `out` may be `rows` itself.
///
/// Cost: m^2 n flops; reads G once, writes it once.
void multiply_lower(const Tensor& T, const Tensor& rows, const Tensor& out);

/// rows x for x [n, k], and rows^T c for c [m, k], in the dtype of x and c whatever that of `rows`.
Tensor times(const Tensor& rows, const Tensor& x);
Tensor transposed_times(const Tensor& rows, const Tensor& c);

}  // namespace ritz::optim::detail
