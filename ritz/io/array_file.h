#pragma once
// The door to every format: the extension says which. .npy .npz .safetensors .csv .h5 .hdf5 .mat
// .png, IDX (.idx, *-ubyte, either with .gz); "-" is CSV on standard input and output.
//
//     #include "ritz/io/array_file.h"
//     int main() {
//       const ritz::io::Array x = ritz::io::make_array("X", {3, 4}, ritz::io::DType::float32);
//       ritz::io::write_arrays("run.npz", {x}, {.force = true});
//       const ritz::io::Array again = ritz::io::read_array("run.npz:X");
//       return again.shape == x.shape ? 0 : 1;
//     }
//
// Large files are mapped: the arrays of .npy, .npz (stored), .safetensors and raw IDX are views of
// the file where its bytes are native, aligned and in C order. Whatever is wrong with a file is a
// DataError.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ritz/io/array.h"

namespace ritz::io {

/// A file and the name of one array in it (empty: the only one).
struct ArrayPath {
  std::string file;
  std::string name;
};

/// Splits at the last colon that leaves the name of a file; a file of the whole name goes first.
/// "run.npz:X" -> {"run.npz", "X"}; "run.h5:/flow/u" -> {"run.h5", "/flow/u"}.
ArrayPath parse_array_path(const std::string& path);

/// What is known of an array before its data are read.
struct ArrayInfo {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::float64;
};

/// All arrays of a file, or the one that `path` names. CSV, PNG and MAT are read for it, others are
/// not.
std::vector<ArrayInfo> list_arrays(const std::string& path);

/// One array. The name may be left out where the file holds just one; else DataError lists the
/// names. A name after a CSV file is a column's.
Array read_array(const std::string& path);

/// All arrays of a file, in its order, or the one that `path` names.
std::vector<Array> read_arrays(const std::string& path);

struct WriteOptions {
  bool force = false;                                // overwrite an existing file
  bool compress = false;                             // deflate (.npz, .h5, .mat)
  std::map<std::string, std::string> metadata = {};  // .safetensors only
};

/// Writes arrays under their names (unnamed: "data") in the format of the extension. .npy, IDX and
/// PNG take just one. CSV: one array [rows, columns] is written as it is, without a header line;
/// several become columns of one length under their names, [n, k] as NAME_0 ... NAME_{k-1}, complex
/// as NAME_re, NAME_im; NaN is an empty cell.
void write_arrays(const std::string& path, const std::vector<Array>& arrays,
                  const WriteOptions& options = {});

/// Throws what write_arrays would throw at once: an unknown extension, an existing target.
void check_array_target(const std::string& path, bool force);

}  // namespace ritz::io
