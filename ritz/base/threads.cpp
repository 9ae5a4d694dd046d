#include "ritz/base/threads.h"

#include <ATen/Parallel.h>

#include "ritz/base/check.h"

namespace ritz {

void set_threads(int n) {
  check_range("threads", n, 1, 4096);
  at::set_num_threads(n);
}

int threads() {
  return at::get_num_threads();
}

}  // namespace ritz
