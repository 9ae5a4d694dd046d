#pragma once
// How much memory there is to use. No libtorch here.
#include <cstdint>

namespace ritz {

/// Bytes of main memory that can be taken without swapping: the least of the kernel's MemAvailable
/// and what the control groups of this process leave (containers). Counts page cache as free.
int64_t available_memory();

}  // namespace ritz
