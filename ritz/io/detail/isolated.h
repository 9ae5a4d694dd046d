#pragma once
// Foreign files that only a C library can read (HDF5, MAT) are read in a forked child process:
// whatever a hostile file makes the library do, the parent gets arrays or an error.
#include <functional>
#include <string>
#include <vector>

#include "ritz/io/array.h"
#include "ritz/io/array_file.h"

namespace ritz::io {

/// What the child hands to its parent, through memory that both see.
class ArraySink {
 public:
  /// For arrays of a file of `file_bytes`.
  ArraySink(int descriptor, uint64_t file_bytes)
      : descriptor_(descriptor), file_bytes_(file_bytes) {}
  /// To be called before room for an array's data is made anywhere: DataError where the arrays
  /// claimed so far cannot all come from the file.
  void claim(uint64_t bytes, const std::string& where);
  /// Announces an array and, with `data`, gives the zeroed room for it, valid until the next call.
  std::byte* add(const ArrayInfo& info, bool data);
  /// Marks the records as whole.
  void finish();
  /// Ends with an error instead.
  void fail(const std::exception& error);
  ~ArraySink();
  ArraySink(const ArraySink&) = delete;
  ArraySink& operator=(const ArraySink&) = delete;

 private:
  int descriptor_;
  uint64_t file_bytes_;
  uint64_t claimed_ = 0;
  uint64_t size_ = 16;  // the status comes first
  void* mapping_ = nullptr;
  size_t mapped_ = 0;

  void unmap();
  void append(const void* data, size_t size);
};

/// Runs `read` in a child and returns what it added. Errors thrown in the child are thrown here. A
/// child that dies is a DataError, and so is one that takes more than 20 s and the time for
/// `file_bytes` at 10 MB/s, or more memory than twice what a file of this size can hold (the
/// library's copy of the numbers and one in C order) and 128 MiB; with less memory than that free
/// it is given what is free.
std::vector<Array> read_isolated(const std::function<void(ArraySink&)>& read, uint64_t file_bytes,
                                 const std::string& where);

}  // namespace ritz::io
