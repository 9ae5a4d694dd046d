#pragma once
// Rows out of files and pipes, batch by batch: what a streaming method is fed with when the matrix
// is larger than memory.
//
//     const auto source = ritz::rows::open_rows("A.npy");
//     ritz::rows::TopVector stream;
//     ritz::rows::RowBatch batch;
//     while (source->next(batch)) batch.give_to(stream);
#include <cstdint>
#include <memory>
#include <string>

#include "ritz/rows/sparse_rows.h"

namespace ritz::rows {

/// Some rows, dense or compressed.
struct RowBatch {
  Tensor dense;  // [b, d]; undefined: see sparse. Not to be written; valid until the next batch
  SparseRows sparse;  // where dense is undefined

  int64_t rows() const;
  template <class Stream>
  void give_to(Stream& stream) const {
    dense.defined() ? stream.update(dense) : stream.update(sparse);
  }
};

struct RowSourceOptions {
  std::string raw = {};  // "float32" or "float64": rows without any header; empty: by the extension
  int64_t columns = 0;   // d of raw rows
  int64_t batch_bytes = 8 << 20;  // of a batch, about
  int rank = 0, world_size = 1;   // takes this rank's contiguous share of the rows
};

class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual int64_t cols() const = 0;
  /// Rows in all, -1 where only the end will tell.
  virtual int64_t rows() const = 0;
  /// The first row of this rank's share, and the end of it (-1: unknown).
  virtual int64_t begin() const { return 0; }
  virtual int64_t end() const { return rows(); }
  /// numpy's name of the numbers as they are stored, for people.
  virtual std::string dtype() const = 0;
  /// False at the end. DataError where the file is not what it should be.
  virtual bool next(RowBatch& batch) = 0;
};

/// `path` is an array file of two or more dimensions (all but the first make a row), SciPy's sparse
/// CSR .npz, a .csv, raw rows, or "-" for .csv or raw rows on standard input. .npy in C order and
/// raw files are mapped and their pages given back behind the read; .csv and pipes are read bit by
/// bit; other formats may be held in memory whole. Integers become float32 where that is exact
/// (8 and 16 bits), else float64. Pipes and .csv have no shares: Unsupported for several ranks.
std::unique_ptr<RowSource> open_rows(const std::string& path, const RowSourceOptions& options = {});

}  // namespace ritz::rows
