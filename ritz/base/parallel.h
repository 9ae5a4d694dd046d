#pragma once
// Loops shared out over libtorch's threads (ritz/base/threads.h). Not at::parallel_for: that is a
// template that runs on one thread wherever the compiler was not told of OpenMP.
#include <cstdint>
#include <functional>

namespace ritz {

/// Calls body(first, last) for consecutive pieces of [begin, end), one piece a thread and at the
/// same time, each of at least `grain` (the last may be smaller). One call, on this thread, where
/// that leaves one piece, where there is one thread, and within another such loop. Within `body`
/// tensor operations run on the piece's own thread. An exception thrown by a piece is thrown again
/// here, after all have ended.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& body);

}  // namespace ritz
