#pragma once
// HDF5: datasets of numbers, in groups as the names say ("flow/u"; a leading slash may be given).
// Complex numbers are h5py's compounds (r, i), bool its enumeration. Datasets of other types are
// left out.
//
// The library is run in a child process (detail/isolated.h), for it does not survive hostile files;
// external files and links, virtual datasets and plug-in filters are refused.
#include <string>
#include <string_view>
#include <vector>

#include "ritz/base/atomic_file.h"
#include "ritz/io/array.h"
#include "ritz/io/array_file.h"

namespace ritz::io {

std::vector<ArrayInfo> list_hdf5(const std::string& path);
/// All datasets in the order of their names, or only that called `name` (none where it is not
/// there).
std::vector<Array> read_hdf5(const std::string& path, std::string_view name);
/// `compress`: in chunks of about 1 MiB, shuffled and deflated. bfloat16 is Unsupported.
void write_hdf5(AtomicFile& file, const std::vector<Array>& arrays, bool compress);

}  // namespace ritz::io
