#pragma once
// numpy's .npy, versions 1 to 3: magic, a header that is a Python dictionary literal, the data. The
// literal is parsed, never evaluated; arrays of Python objects (pickles) and structured arrays are
// refused.
#include <string>
#include <string_view>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

struct NpyHeader {
  Layout layout;
  size_t data_offset = 0;
};

/// The header at the start of `bytes`, of which the data may be missing.
NpyHeader parse_npy_header(std::span<const std::byte> bytes, std::string_view where);

/// The array of a whole file; what follows its data is an error.
Array parse_npy(const Bytes& bytes, std::string name, std::string_view where);

/// The header of an array, padded so that the data begin at a multiple of 64. bfloat16:
/// Unsupported.
std::string npy_header(const Array& array);

void write_npy(AtomicFile& file, const Array& array);

}  // namespace ritz::io
