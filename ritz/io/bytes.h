#pragma once
// Bytes of a file and the checks that every parser makes before it uses a number found in them.
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ritz/io/array.h"

namespace ritz::io {

static_assert(std::endian::native == std::endian::little,
              "ritz reads and writes little-endian files as they are");

/// A stretch of bytes and what keeps it alive (null: the caller does).
struct Bytes {
  std::span<const std::byte> span;
  std::shared_ptr<const void> owner;

  const std::byte* data() const { return span.data(); }
  size_t size() const { return span.size(); }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(span.data()), span.size()};
  }
};

/// The bytes of a file (mapped where it is large), or of standard input for "-".
Bytes open_bytes(const std::string& path);

/// An integer at `offset` in little- or big-endian order; the caller has checked that it lies
/// inside.
template <std::unsigned_integral T>
T load_little(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <std::unsigned_integral T>
T load_big(std::span<const std::byte> bytes, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i) {
    value = static_cast<T>(value << 8 | std::to_integer<T>(bytes[offset + i]));
  }
  return value;
}

/// Bytes of an array of this shape. DataError where there are more than 64 dimensions, one is
/// negative, or the product of those that are not zero overflows (so that later partial products
/// cannot).
uint64_t checked_bytes(std::span<const int64_t> shape, DType dtype, std::string_view where);

/// Deflate shrinks at most 1032 : 1, honest data rarely 200 : 1. DataError where `declared` bytes
/// cannot come from `stored`, or are more than 1 GiB at more than 200 : 1 (a bomb).
void check_expansion(uint64_t stored, uint64_t declared, std::string_view where);

/// The most bytes that check_expansion lets come from `stored`.
uint64_t most_expanded(uint64_t stored);

/// How an array lies in a file.
struct Layout {
  std::vector<int64_t> shape;
  DType dtype = DType::float64;
  bool big_endian = false;
  bool fortran = false;  // the first index runs fastest
};

/// The array of this layout at `offset`: a view where the bytes are native, aligned and in C order,
/// else a converted copy. DataError where it does not lie inside `bytes`.
Array take_array(const Bytes& bytes, uint64_t offset, const Layout& layout, std::string name,
                 std::string_view where);

/// Turns an array around: `from` has its first index running fastest, `to` its last. Both hold
/// elements of `width` bytes. The other way round: the same with the shape reversed.
void fortran_to_c(const std::byte* from, std::byte* to, std::span<const int64_t> shape,
                  size_t width);

/// Reverses the bytes of `count` numbers of `width` bytes.
void swap_bytes(std::byte* data, size_t count, size_t width);

/// Width of the numbers an element is made of (half an element of a complex array).
size_t number_width(DType dtype);

/// "[3, 4]"
std::string shape_text(std::span<const int64_t> shape);

}  // namespace ritz::io
