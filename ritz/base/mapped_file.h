#pragma once
// Read-only bytes of a file: mapped where it is large, read where it is small or cannot be mapped
// (a pipe, standard input).
//
//   const auto file = ritz::MappedFile::open("X.npy");
//   parse({file->data(), file->size()});       // valid as long as `file` lives
//
// A file that another program shortens in place while it is mapped makes the reader die of SIGBUS;
// ritz itself never does that to a file (see AtomicFile).
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace ritz {

class MappedFile {
 public:
  /// `path` may be "-" for standard input. DataError where it is missing, unreadable or a folder.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  /// The bytes [begin, end) will not be read again soon: their pages leave this process's memory
  /// (not the system's cache). They may be read again all the same.
  void release(size_t begin, size_t end) const;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;  // null: the bytes are in buffer_
  std::vector<std::byte> buffer_;

  void read_all(int descriptor, const std::string& path);
};

}  // namespace ritz
