#pragma once
// Writing a file so that a reader only ever sees the old one or the whole new one.
//
//   ritz::AtomicFile out("weights.npy");       // refuses an existing target: UsageError
//   out.write(header);
//   out.write(values.data(), values.size());
//   out.commit();                              // fsync, rename; without it nothing is left behind
//
// The bytes go to a temporary file beside the target, whose name no other process has. Without
// `force` the last step is a rename that fails where the target has come into being meanwhile, so
// of two writers one wins and the other gets an error. Devices and pipes (/dev/stdout, /dev/full, a
// fifo) are written directly and never renamed over.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ritz {

/// Throws what an AtomicFile of the same arguments would throw at once: UsageError where `path`
/// exists and `force` is not given, DataError where its folder is missing or may not be written, or
/// where it is itself a folder.
void check_target(const std::string& path, bool force);

class AtomicFile {
 public:
  explicit AtomicFile(std::string path, bool force = false);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends bytes; SystemFailure where the disk is full or the device refuses.
  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Bytes written so far.
  uint64_t size() const { return size_; }

  /// The file that another library may write in our stead before commit(); empty where the target
  /// is written directly.
  const std::string& temporary() const { return temporary_; }
  const std::string& path() const { return path_; }

  /// Makes the file durable and gives it its name. Nothing may be written afterwards.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  bool force_ = false;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  std::string buffer_;

  void flush();
};

}  // namespace ritz
