#include "ritz/base/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <mutex>

#ifdef _OPENMP
// The runtime is the one that libtorch has loaded; the header does not come with every compiler.
extern "C" int omp_get_thread_num();
extern "C" int omp_get_num_threads();
#endif

namespace ritz {

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  const int64_t count = end - begin;
  if (count <= 0) return;
#ifdef _OPENMP
  const int64_t least = std::max<int64_t>(1, grain);
  const auto threads =
      static_cast<int>(std::min<int64_t>(at::get_num_threads(), (count + least - 1) / least));
  if (threads <= 1 || at::in_parallel_region()) return body(begin, end);
  std::exception_ptr error;
  std::mutex mutex;
#pragma omp parallel num_threads(threads)
  {
    const int64_t piece = omp_get_thread_num(), pieces = omp_get_num_threads();
    const at::internal::ThreadIdGuard number(static_cast<int>(piece));
    const c10::ParallelGuard serial_inside(true);
    const int64_t first = begin + count * piece / pieces,
                  last = begin + count * (piece + 1) / pieces;
    try {
      if (first < last) body(first, last);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
#else
  (void)grain;
  body(begin, end);
#endif
}

}  // namespace ritz
