#pragma once
// IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, the sizes, then the
// data; all big endian, plain or in gzip.
#include <string>
#include <string_view>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/array_file.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

/// Shape and dtype; of a file in gzip only the header is inflated.
ArrayInfo list_idx(const Bytes& bytes, std::string_view where);
/// The array; gzip is recognised by its magic bytes, and no more is inflated than the header
/// declares.
Array parse_idx(const Bytes& bytes, std::string_view where);
/// Writes uint8, int8, int16, int32, float32 or float64; others are Unsupported.
void write_idx(AtomicFile& file, const Array& array, bool compress);

}  // namespace ritz::io
