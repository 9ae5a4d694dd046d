#pragma once
// PNG images as arrays: uint8 or uint16, [H, W] for grey, [H, W, C] for grey + alpha (2), RGB (3)
// and RGBA (4).
#include <string_view>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

/// Palettes become RGB, transparent entries RGBA; 1, 2 and 4 bits a sample are scaled up to 8.
/// Colour values are those of the file: no gamma is applied. At most 2^28 pixels.
Array parse_png(const Bytes& bytes, std::string_view where);

/// Other shapes and dtypes than those above are Unsupported.
void write_png(AtomicFile& file, const Array& array);

}  // namespace ritz::io
