#include "ritz/io/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "ritz/base/error.h"

namespace ritz::io {
namespace {

constexpr int kRaw = -MAX_WBITS;
constexpr int kGzip = MAX_WBITS + 16;

Bytef* zlib_bytes(const std::byte* data) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(data));
}

uInt step_of(size_t size) {
  return static_cast<uInt>(std::min<size_t>(size, std::numeric_limits<uInt>::max()));
}

/// A zlib stream over one input; zlib counts in 32 bits, so both sides are fed in steps.
class Inflater {
 public:
  Inflater(std::span<const std::byte> from, int window) : from_(from) {
    if (inflateInit2(&stream_, window) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Fills up to `size` bytes; stops at the end of the stream. Returns how many.
  size_t read(std::byte* to, size_t size, std::string_view where) {
    size_t done = 0;
    // One call more than the output needs lets zlib see the end of the stream and its checksum.
    while (!ended_) {
      stream_.next_in = zlib_bytes(from_.data() + used_);
      stream_.avail_in = step_of(from_.size() - used_);
      std::byte spare{};
      stream_.next_out = zlib_bytes(done < size ? to + done : &spare);
      const uInt room = done < size ? step_of(size - done) : 0;
      stream_.avail_out = room;
      const uInt offered = stream_.avail_in;
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      used_ += offered - stream_.avail_in;
      done += room - stream_.avail_out;
      ended_ = status == Z_STREAM_END;
      if (ended_) break;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status != Z_OK && status != Z_BUF_ERROR) {
        throw DataError("compressed data", "a valid deflate stream",
                        stream_.msg != nullptr ? stream_.msg : "a broken one", where);
      }
      if (done == size && (room == 0 || status == Z_BUF_ERROR)) break;
      if (status == Z_BUF_ERROR) {
        throw DataError("compressed data", std::to_string(size) + " bytes",
                        "their end after " + std::to_string(done), where);
      }
    }
    return done;
  }
  bool ended() const { return ended_; }
  size_t used() const { return used_; }
  /// Begins with the next member of a gzip file.
  void next_member() {
    inflateReset(&stream_);
    ended_ = false;
  }

 private:
  z_stream stream_{};
  std::span<const std::byte> from_;
  size_t used_ = 0;
  bool ended_ = false;
};

/// Room for `size` bytes, which arrive without being cleared twice.
std::pair<Bytes, std::byte*> make_room(uint64_t size) {
  Array room = make_array("", {static_cast<int64_t>(size)}, DType::uint8);
  std::byte* to = mutable_data(room);
  return {Bytes{{to, static_cast<size_t>(size)}, room.owner}, to};
}

[[noreturn]] void fail_size(uint64_t declared, std::string_view found, std::string_view where) {
  throw DataError("compressed data", std::to_string(declared) + " bytes as declared", found, where);
}

Bytes prefix(std::span<const std::byte> from, size_t size, int window, std::string_view where) {
  auto [bytes, to] = make_room(size);
  Inflater inflater(from, window);
  size_t done = inflater.read(to, size, where);
  while (window == kGzip && done < size && inflater.ended() && inflater.used() < from.size()) {
    inflater.next_member();
    done += inflater.read(to + done, size - done, where);
  }
  bytes.span = bytes.span.first(done);
  return bytes;
}

std::string deflated(std::span<const std::byte> from, int window) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw std::bad_alloc();
  }
  std::string out;
  char buffer[1 << 16];
  size_t used = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    const uInt step = step_of(from.size() - used);
    stream.next_in = zlib_bytes(from.data() + used);
    stream.avail_in = step;
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    status = ::deflate(&stream, used + step == from.size() ? Z_FINISH : Z_NO_FLUSH);
    used += step - stream.avail_in;
    out.append(buffer, sizeof buffer - stream.avail_out);
  }
  deflateEnd(&stream);
  return out;
}

}  // namespace

Bytes inflate_raw(std::span<const std::byte> from, uint64_t size, std::string_view where) {
  check_expansion(from.size(), size, where);
  auto [bytes, to] = make_room(size);
  Inflater inflater(from, kRaw);
  const size_t done = inflater.read(to, size, where);
  if (!inflater.ended()) fail_size(size, "more", where);
  if (done != size) fail_size(size, std::to_string(done), where);
  if (inflater.used() != from.size()) fail_size(size, "bytes behind their end", where);
  return bytes;
}

Bytes inflate_prefix(std::span<const std::byte> from, size_t size, std::string_view where) {
  return prefix(from, size, kRaw, where);
}

std::string deflate_raw(std::span<const std::byte> from) {
  return deflated(from, kRaw);
}

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

Bytes gunzip_prefix(std::span<const std::byte> from, size_t size, std::string_view where) {
  return prefix(from, size, kGzip, where);
}

Bytes gunzip(std::span<const std::byte> from, uint64_t size, std::string_view where) {
  check_expansion(from.size(), size, where);
  auto [bytes, to] = make_room(size);
  Inflater inflater(from, kGzip);
  size_t done = inflater.read(to, size, where);
  while (inflater.ended() && inflater.used() < from.size()) {
    inflater.next_member();
    done += inflater.read(to + done, size - done, where);
  }
  if (!inflater.ended()) fail_size(size, "more", where);
  if (done != size) fail_size(size, std::to_string(done), where);
  return bytes;
}

std::string gzip(std::span<const std::byte> from) {
  return deflated(from, kGzip);
}

uint32_t crc32_of(std::span<const std::byte> bytes, uint32_t seed) {
  uLong crc = seed;
  for (size_t done = 0; done < bytes.size();) {
    const uInt step = step_of(bytes.size() - done);
    crc = ::crc32(crc, zlib_bytes(bytes.data() + done), step);
    done += step;
  }
  return static_cast<uint32_t>(crc);
}

}  // namespace ritz::io
