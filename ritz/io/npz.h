#pragma once
// numpy's .npz: a zip archive whose members NAME.npy are arrays. And the sparse matrices that
// scipy.sparse.save_npz keeps in one.
//
//   auto matrix = ritz::io::read_csr_npz("A.npz");
//   // row i has the columns indices[indptr[i]] ... indices[indptr[i + 1] - 1]
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/array_file.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

std::vector<ArrayInfo> list_npz(const Bytes& bytes, std::string_view where);
/// All arrays, or only that called `name` (no array where it is not there).
std::vector<Array> parse_npz(const Bytes& bytes, std::string_view name, std::string_view where);
void write_npz(AtomicFile& file, const std::vector<Array>& arrays, bool compress);

/// A sparse matrix in compressed rows, its index arrays checked.
struct CsrArrays {
  int64_t rows = 0;
  int64_t cols = 0;
  Array data;     // [nnz]
  Array indices;  // int64 [nnz], each in [0, cols)
  Array indptr;   // int64 [rows + 1], from 0 to nnz, never falling
};

/// Reads what scipy.sparse.save_npz wrote; another sparse format than CSR is Unsupported.
CsrArrays read_csr_npz(const std::string& path);
CsrArrays parse_csr_npz(const Bytes& bytes, std::string_view where);
/// True where the file's arrays are those of a SciPy sparse matrix.
bool is_sparse_npz(const std::vector<ArrayInfo>& arrays);

}  // namespace ritz::io
