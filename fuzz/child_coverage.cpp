// Compiled without instrumentation (it names the section that clang gives the counters of each
// instrumented source); linked with --wrap=_exit.
#include "fuzz/child_coverage.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {

// What -fsanitize=fuzzer counts in: one byte an edge.
extern uint8_t __start___sancov_cntrs[];
extern uint8_t __stop___sancov_cntrs[];

[[noreturn]] void __real__exit(int status);

const char* __asan_default_suppressions() {
  return "interceptor_via_lib:libhdf5\ninterceptor_via_lib:libmatio\n";
}

// A library that asks for too much gets none, as it would without the sanitizer. What it leaks dies
// with the child. Freed memory is not kept long, for the child's is limited.
const char* __asan_default_options() {
  return "allocator_may_return_null=1:detect_leaks=0:quarantine_size_mb=8";
}

}  // extern "C"

namespace {

size_t counter_bytes() {
  return static_cast<size_t>(__stop___sancov_cntrs - __start___sancov_cntrs);
}

/// The memory that both see, made at the first call, which must be the parent's.
uint8_t* shared_counters() {
  static void* const memory =
      ::mmap(nullptr, counter_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<uint8_t*>(memory);
}

}  // namespace

extern "C" [[noreturn]] void __wrap__exit(int status) {
  std::memcpy(shared_counters(), __start___sancov_cntrs, counter_bytes());
  __real__exit(status);
}

void ritz::fuzz::with_children(const std::function<void()>& parse) {
  uint8_t* const shared = shared_counters();
  std::memset(shared, 0, counter_bytes());
  parse();
  for (size_t i = 0; i < counter_bytes(); ++i)
    __start___sancov_cntrs[i] = std::max(__start___sancov_cntrs[i], shared[i]);
}
