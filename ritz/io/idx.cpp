#include "ritz/io/idx.h"

#include <algorithm>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/deflate.h"

namespace ritz::io {
namespace {

struct TypeCode {
  unsigned code;
  DType dtype;
};

constexpr TypeCode kTypes[] = {{0x08, DType::uint8},   {0x09, DType::int8},
                               {0x0b, DType::int16},   {0x0c, DType::int32},
                               {0x0d, DType::float32}, {0x0e, DType::float64}};
// Magic and 64 sizes.
constexpr size_t kMaxHeader = 4 + 4 * 64;

struct Header {
  Layout layout;
  size_t data_offset = 0;
};

Header parse_header(std::span<const std::byte> bytes, std::string_view where) {
  if (bytes.size() < 4)
    throw DataError("IDX header", "at least 4 bytes", std::to_string(bytes.size()), where);
  const auto magic = load_big<uint32_t>(bytes, 0);
  const TypeCode* type = std::ranges::find(kTypes, magic >> 8, &TypeCode::code);
  if (type == std::end(kTypes)) {
    throw DataError("IDX magic", "0x0000 and a type of 08, 09, 0b, 0c, 0d or 0e",
                    std::to_string(magic), where);
  }
  const size_t rank = magic & 0xff;
  Header header;
  header.data_offset = 4 + 4 * rank;
  if (header.data_offset > bytes.size() || rank > 64) {
    throw DataError("IDX header", std::to_string(rank) + " sizes", "the end of the file", where);
  }
  for (size_t i = 0; i < rank; ++i)
    header.layout.shape.push_back(load_big<uint32_t>(bytes, 4 + 4 * i));
  header.layout.dtype = type->dtype;
  header.layout.big_endian = true;
  checked_bytes(header.layout.shape, type->dtype, where);
  return header;
}

}  // namespace

ArrayInfo list_idx(const Bytes& bytes, std::string_view where) {
  const Bytes head = is_gzip(bytes.span) ? gunzip_prefix(bytes.span, kMaxHeader, where) : bytes;
  Header header = parse_header(head.span, where);
  return {"", std::move(header.layout.shape), header.layout.dtype};
}

Array parse_idx(const Bytes& bytes, std::string_view where) {
  if (is_gzip(bytes.span)) {
    const Header header = parse_header(gunzip_prefix(bytes.span, kMaxHeader, where).span, where);
    const uint64_t size =
        header.data_offset + checked_bytes(header.layout.shape, header.layout.dtype, where);
    return take_array(gunzip(bytes.span, size, where), header.data_offset, header.layout, "",
                      where);
  }
  const Header header = parse_header(bytes.span, where);
  Array array = take_array(bytes, header.data_offset, header.layout, "", where);
  const size_t rest = bytes.size() - header.data_offset - array.bytes();
  if (rest != 0)
    throw DataError("IDX data", "the end of the file", std::to_string(rest) + " more bytes", where);
  return array;
}

void write_idx(AtomicFile& file, const Array& array, bool compress) {
  const TypeCode* type = std::ranges::find(kTypes, array.dtype, &TypeCode::dtype);
  if (type == std::end(kTypes) || array.shape.size() > 64) {
    throw Unsupported(format_error("IDX", "uint8, int8, int16, int32, float32 or float64",
                                   describe(array), file.path()));
  }
  std::string text = {0, 0, static_cast<char>(type->code), static_cast<char>(array.shape.size())};
  for (const int64_t n : array.shape) {
    if (n > UINT32_MAX)
      throw Unsupported(format_error("IDX", "sizes below 2^32", describe(array), file.path()));
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(n >> shift);
  }
  const size_t width = size_of(array.dtype);
  const size_t header = text.size();
  text.resize(header + array.bytes());
  auto* data = reinterpret_cast<std::byte*>(text.data()) + header;
  if (array.bytes() > 0) std::memcpy(data, array.data, array.bytes());
  swap_bytes(data, array.bytes() / width, width);
  file.write(compress ? gzip(std::as_bytes(std::span(text))) : text);
}

}  // namespace ritz::io
