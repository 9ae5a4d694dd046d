#pragma once
// MATLAB's .mat files, version 5 and 7.3, through libmatio in a child process (detail/isolated.h).
// Full numeric and logical arrays are read; sparse ones are Unsupported; text, cells and structures
// are left out. MATLAB knows no fewer than two dimensions: a vector is written as [n, 1], a scalar
// as [1, 1].
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/array_file.h"

namespace ritz::io {

std::vector<ArrayInfo> list_mat(const std::string& path);
/// All arrays, or only that called `name` (none where it is not there).
std::vector<Array> read_mat(const std::string& path, std::string_view name);
/// Version 5, or 7.3 where an array has 2 GiB or more. Names must be MATLAB's: a letter, then
/// letters, digits and underscores, 63 at most. float16 and bfloat16 are Unsupported.
void write_mat(AtomicFile& file, const std::vector<Array>& arrays, bool compress);

}  // namespace ritz::io
