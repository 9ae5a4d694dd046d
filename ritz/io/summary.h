#pragma once
// The range of an array's values in one pass at memory speed.
//
//   const auto s = ritz::io::summarise(ritz::io::read_array("X.npy"));
//   // *s.min, *s.max: exact, also for 64-bit integers; s.nan: how many NaN were left out
#include <optional>
#include <variant>

#include "ritz/io/array.h"

namespace ritz::io {

/// A value of an array without loss: floats as double, integers (and bool) in 64 bits of their
/// sign.
using Number = std::variant<double, int64_t, uint64_t>;

struct ArraySummary {
  std::optional<Number> min;  // none where nothing but NaN is there, and for complex arrays
  std::optional<Number> max;
  int64_t nan = 0;  // elements that are NaN (complex: in either part)
};

/// Reads the array once, in order, on `threads` threads (0: as many as there are cores). Cost: n
/// bytes read, three vector instructions each; bound by memory, or by the disk under a mapped file.
ArraySummary summarise(const Array& array, int threads = 0);

}  // namespace ritz::io
