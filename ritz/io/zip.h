#pragma once
// Zip archives (stored and deflated members, zip64): what .npz files are made of. Members must lie
// end to end between the file's start and its directory, no name twice, none that leaves its
// folder.
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/atomic_file.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

struct ZipMember {
  std::string name;
  bool deflated = false;
  uint64_t stored = 0;  // bytes in the archive
  uint64_t size = 0;    // bytes when inflated
  uint32_t crc = 0;
  uint64_t header = 0;  // offset of the member's local header
  uint64_t data = 0;    // offset of its bytes
};

class ZipReader {
 public:
  /// Reads and checks the directory and every local header.
  ZipReader(Bytes bytes, std::string where);

  const std::vector<ZipMember>& members() const { return members_; }
  /// A member's bytes, checksum checked; a view of the archive where the member is stored.
  Bytes read(const ZipMember& member) const;
  /// The first at most `size` bytes of a member, unchecked.
  Bytes read_prefix(const ZipMember& member, size_t size) const;

 private:
  Bytes bytes_;
  std::string where_;
  std::vector<ZipMember> members_;

  Bytes stored_bytes(const ZipMember& member) const;
};

class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile& file) : file_(file) {}
  /// Adds a member made of two parts. The bytes of a stored one begin at a multiple of 64, so that
  /// they can be mapped.
  void add(const std::string& name, std::string_view head, std::span<const std::byte> body,
           bool deflate);
  /// Writes the directory; call once, last.
  void finish();

 private:
  AtomicFile& file_;
  std::vector<ZipMember> members_;
};

}  // namespace ritz::io
