#pragma once
// A batch of rows of which only the nonzeros are kept.
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::rows {

/// Rows in compressed form: row i holds values[t] in columns[t], t from pointers[i] to
/// pointers[i + 1] - 1, columns strictly ascending within a row. Pointers need not begin at 0, so
/// that a stretch of a larger matrix's rows is a view of it. Everything is on the CPU.
struct SparseRows {
  Tensor pointers;  // int64 [b + 1]
  Tensor columns;   // int64 [nnz], each in [0, cols)
  Tensor values;    // [nnz] float32 or float64
  int64_t cols = 0;

  int64_t rows() const;
  /// `count` rows from `begin` on, sharing columns and values.
  SparseRows slice(int64_t begin, int64_t count) const;
  /// These rows alone, in this order: int64 [m].
  SparseRows select(const Tensor& which) const;
  /// [b, cols]
  Tensor dense() const;
};

/// Shapes, dtypes and every index; InvalidArgument names what is wrong.
void check_sparse_rows(const SparseRows& rows);

/// The same rows with the columns of each in order and repeated ones added up, as SciPy allows them
/// not to be; shares memory where there is nothing to do.
SparseRows in_order(const SparseRows& rows);

}  // namespace ritz::rows
