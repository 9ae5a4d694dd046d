#pragma once
// The number of threads: one pool serves everything, libtorch's.

namespace ritz {

/// Threads that tensor operations and ritz's own loops share; n >= 1. Results depend on it only by
/// rounding, random numbers not at all. Call it before the first heavy operation.
void set_threads(int n);
int threads();

}  // namespace ritz
