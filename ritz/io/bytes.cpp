#include "ritz/io/bytes.h"

#include <algorithm>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/base/mapped_file.h"

namespace ritz::io {
namespace {

constexpr size_t kMaxDimensions = 64;
constexpr uint64_t kMaxBytes = uint64_t{1} << 62;

template <class T>
void reverse_each(std::byte* data, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data + i * sizeof value, sizeof value);
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
    std::memcpy(data + i * sizeof value, &value, sizeof value);
  }
}

/// One plane of fortran_to_c: from[i + j rows] -> to[i to_row + j], in tiles that fit the first
/// cache.
template <size_t kWidth>
void transpose_plane(const std::byte* from, size_t from_column, std::byte* to, size_t to_row,
                     size_t rows, size_t columns) {
  constexpr size_t kTile = 32;
  for (size_t i0 = 0; i0 < rows; i0 += kTile) {
    for (size_t j0 = 0; j0 < columns; j0 += kTile) {
      for (size_t i = i0; i < std::min(rows, i0 + kTile); ++i) {
        for (size_t j = j0; j < std::min(columns, j0 + kTile); ++j) {
          std::memcpy(to + (i * to_row + j) * kWidth, from + (i + j * from_column) * kWidth,
                      kWidth);
        }
      }
    }
  }
}

template <size_t kWidth>
void fortran_to_c_of_width(const std::byte* from, std::byte* to, std::span<const int64_t> shape) {
  // The first and the last index span a plane; an odometer runs over those between.
  const size_t rank = shape.size();
  size_t total = 1;
  for (const int64_t n : shape) total *= static_cast<size_t>(n);
  const auto rows = static_cast<size_t>(shape.front());
  const auto columns = static_cast<size_t>(shape.back());
  const size_t from_column = total / columns;
  const size_t to_row = total / rows;
  std::vector<size_t> index(rank, 0);
  for (size_t plane = 0; plane < total / rows / columns; ++plane) {
    size_t from_offset = 0;
    size_t to_offset = 0;
    size_t stride = rows;
    for (size_t axis = 1; axis + 1 < rank; ++axis) {
      from_offset += index[axis] * stride;
      stride *= static_cast<size_t>(shape[axis]);
      to_offset = to_offset * static_cast<size_t>(shape[axis]) + index[axis];
    }
    transpose_plane<kWidth>(from + from_offset * kWidth, from_column,
                            to + to_offset * columns * kWidth, to_row, rows, columns);
    for (size_t axis = rank - 1; axis-- > 1;) {
      if (++index[axis] < static_cast<size_t>(shape[axis])) break;
      index[axis] = 0;
    }
  }
}

}  // namespace

Bytes open_bytes(const std::string& path) {
  auto file = MappedFile::open(path);
  const std::span<const std::byte> span(file->data(), file->size());
  return {span, std::move(file)};
}

uint64_t checked_bytes(std::span<const int64_t> shape, DType dtype, std::string_view where) {
  if (shape.size() > kMaxDimensions) {
    throw DataError("shape", "at most 64 dimensions", std::to_string(shape.size()), where);
  }
  uint64_t product = size_of(dtype);
  bool empty = false;
  for (const int64_t n : shape) {
    if (n < 0) throw DataError("shape", "no negative size", shape_text(shape), where);
    empty = empty || n == 0;
    if (n > 0 && product > kMaxBytes / static_cast<uint64_t>(n)) {
      throw DataError("shape", "less than 2^62 bytes", shape_text(shape), where);
    }
    product *= n > 0 ? static_cast<uint64_t>(n) : 1;
  }
  return empty ? 0 : product;
}

namespace {
constexpr uint64_t kFreeExpansion = uint64_t{1} << 30;
constexpr uint64_t kHonestRatio = 200;
// 11 bytes deflate to 258 at the start of a block; 64 KiB of slack covers every header.
constexpr uint64_t kPossibleRatio = 1032;
constexpr uint64_t kSlack = uint64_t{1} << 16;
}  // namespace

void check_expansion(uint64_t stored, uint64_t declared, std::string_view where) {
  if (declared <= kSlack) return;
  if ((declared - kSlack) / kPossibleRatio > stored) {
    throw DataError("compressed data",
                    "at most 1032 times their stored " + std::to_string(stored) + " bytes",
                    std::to_string(declared) + " declared", where);
  }
  if (declared > kFreeExpansion && declared / kHonestRatio > stored) {
    throw DataError("compressed data", "at most 200 times their stored size beyond 1 GiB",
                    std::to_string(declared) + " bytes from " + std::to_string(stored), where);
  }
}

uint64_t most_expanded(uint64_t stored) {
  // Each quotient above is at most `stored`.
  const auto times = [&](uint64_t ratio) {
    return (std::min(stored, UINT64_MAX >> 11) + 1) * ratio - 1;
  };
  return std::min(kSlack + times(kPossibleRatio), std::max(kFreeExpansion, times(kHonestRatio)));
}

size_t number_width(DType dtype) {
  const bool complex = dtype == DType::complex64 || dtype == DType::complex128;
  return size_of(dtype) / (complex ? 2 : 1);
}

void swap_bytes(std::byte* data, size_t count, size_t width) {
  if (width == 2) reverse_each<uint16_t>(data, count);
  if (width == 4) reverse_each<uint32_t>(data, count);
  if (width == 8) reverse_each<uint64_t>(data, count);
}

void fortran_to_c(const std::byte* from, std::byte* to, std::span<const int64_t> shape,
                  size_t width) {
  size_t total = 1;
  for (const int64_t n : shape) total *= static_cast<size_t>(n);
  if (total == 0) return;
  if (shape.size() < 2) {
    std::memcpy(to, from, total * width);
    return;
  }
  if (width == 1) fortran_to_c_of_width<1>(from, to, shape);
  if (width == 2) fortran_to_c_of_width<2>(from, to, shape);
  if (width == 4) fortran_to_c_of_width<4>(from, to, shape);
  if (width == 8) fortran_to_c_of_width<8>(from, to, shape);
  if (width == 16) fortran_to_c_of_width<16>(from, to, shape);
}

Array take_array(const Bytes& bytes, uint64_t offset, const Layout& layout, std::string name,
                 std::string_view where) {
  const uint64_t need = checked_bytes(layout.shape, layout.dtype, where);
  if (offset > bytes.size() || need > bytes.size() - offset) {
    throw DataError("data", std::to_string(need) + " bytes of " + shape_text(layout.shape),
                    std::to_string(bytes.size() - std::min<uint64_t>(offset, bytes.size())), where);
  }
  const std::byte* from = bytes.data() + offset;
  const size_t element = size_of(layout.dtype);
  const size_t width = number_width(layout.dtype);
  const bool turned = layout.fortran && layout.shape.size() > 1;
  const bool swapped = layout.big_endian && width > 1;
  const bool aligned = reinterpret_cast<uintptr_t>(from) % width == 0;
  if (bytes.owner != nullptr && !turned && !swapped && aligned && layout.dtype != DType::boolean) {
    return {std::move(name), layout.shape, layout.dtype, from, bytes.owner};
  }
  if (layout.dtype == DType::boolean) {
    // Any other byte in a bool is undefined behaviour for whoever reads it as one.
    for (uint64_t i = 0; i < need; ++i) {
      if (std::to_integer<unsigned>(from[i]) > 1) {
        throw DataError("bool", "0 or 1", std::to_string(std::to_integer<unsigned>(from[i])),
                        where);
      }
    }
  }
  Array array = make_array(std::move(name), layout.shape, layout.dtype);
  std::byte* to = mutable_data(array);
  if (need == 0) return array;
  if (turned) {
    fortran_to_c(from, to, layout.shape, element);
  } else {
    std::memcpy(to, from, need);
  }
  if (swapped) swap_bytes(to, need / width, width);
  return array;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (const int64_t n : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(n);
  }
  return text + "]";
}

}  // namespace ritz::io
