#pragma once
// A few rows on their way into a streaming method.
#include <cstdint>
#include <span>

#include "ritz/rows/top_vector/detail/row_kernels.h"

namespace ritz::rows::detail {

struct RowChunk {
  Tensor dense;                      // [b, d] with contiguous rows; undefined: see sparse
  SparseRows sparse;                 // where dense is undefined
  std::span<const double> norms;     // [b] ||a_i||^2
  std::span<const int64_t> numbers;  // [b] of the rows in the stream; -1: a row of centring

  int64_t size() const { return static_cast<int64_t>(norms.size()); }
  /// Row i, dense [d].
  Tensor row(int64_t i) const { return dense.defined() ? dense[i] : sparse.slice(i, 1).dense()[0]; }
  /// All rows, dense.
  Tensor rows() const { return dense.defined() ? dense : sparse.dense(); }
  /// Y += sum over `which` (ascending) of weight a (a^T Z).
  void add_product(std::span<const int64_t> which, std::span<const double> weights, const Tensor& Z,
                   const Tensor& Y) const {
    dense.defined() ? add_gram_product(dense, which, weights, Z, Y)
                    : add_gram_product(sparse, which, weights, Z, Y);
  }
};

}  // namespace ritz::rows::detail
