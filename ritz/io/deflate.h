#pragma once
// zlib's streams with every length checked: inflating stops at the declared size.
#include <string>
#include <string_view>

#include "ritz/io/bytes.h"

namespace ritz::io {

/// Raw deflate data that must give exactly `size` bytes and end with `from`'s last byte.
Bytes inflate_raw(std::span<const std::byte> from, uint64_t size, std::string_view where);
/// The first at most `size` bytes of raw deflate data.
Bytes inflate_prefix(std::span<const std::byte> from, size_t size, std::string_view where);
std::string deflate_raw(std::span<const std::byte> from);

/// True for the two magic bytes of gzip.
bool is_gzip(std::span<const std::byte> bytes);
/// The first at most `size` bytes of a gzip file; checksums are not seen unless it ends there.
Bytes gunzip_prefix(std::span<const std::byte> from, size_t size, std::string_view where);
/// All members of a gzip file, which must give exactly `size` bytes; checksums checked.
Bytes gunzip(std::span<const std::byte> from, uint64_t size, std::string_view where);
std::string gzip(std::span<const std::byte> from);

/// CRC-32 of zip and gzip.
uint32_t crc32_of(std::span<const std::byte> bytes, uint32_t seed = 0);

}  // namespace ritz::io
