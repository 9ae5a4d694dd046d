#pragma once
// What the two users of the HDF5 library share: it is built without threads.
#include <functional>
#include <mutex>
#include <string>

#include "ritz/base/atomic_file.h"

namespace ritz::io {

/// Held by whoever calls into HDF5, in this process.
std::mutex& hdf5_mutex();

/// Lets `write` fill the file that `file` will become; for a pipe or device, one in the folder for
/// temporary files, which is then copied.
void write_by_path(AtomicFile& file, const std::function<void(const std::string& path)>& write);

}  // namespace ritz::io
