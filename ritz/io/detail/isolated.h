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
  explicit ArraySink(int descriptor) : descriptor_(descriptor) {}
  /// Announces an array and, with `data`, gives the zeroed room for it, valid until the next call.
  std::byte* add(const ArrayInfo& info, bool data);
  /// Marks the records as whole.
  void finish();
  /// Ends with an error instead.
  void fail(bool unsupported, const std::string& message);
  ~ArraySink();
  ArraySink(const ArraySink&) = delete;
  ArraySink& operator=(const ArraySink&) = delete;

 private:
  int descriptor_;
  uint64_t size_ = 16;  // the status comes first
  void* mapping_ = nullptr;
  size_t mapped_ = 0;

  void unmap();
  void append(const void* data, size_t size);
};

/// Runs `read` in a child and returns what it added. Errors thrown in the child are thrown here; a
/// child that dies, or that takes more than 20 s and the time for `file_bytes` at 10 MB/s, is a
/// DataError.
std::vector<Array> read_isolated(const std::function<void(ArraySink&)>& read, uint64_t file_bytes,
                                 const std::string& where);

}  // namespace ritz::io
