#include "ritz/sketch/probes.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz {

Tensor probe_block(ProbeKind kind, int64_t n, int64_t count, const TensorOptions& options,
                   uint64_t seed, std::string_view purpose, int64_t first) {
  check_at_least("n", n, 0);
  check_at_least("count", count, 0);
  const auto rows = at::empty({count, n}, options);
  for (int64_t l = 0; l < count; ++l) {
    RandomStream random(seed, stream_id(purpose, static_cast<uint64_t>(first + l)));
    if (kind == ProbeKind::rademacher) {
      random.fill_rademacher(rows[l]);
    } else {
      random.fill_normal(rows[l]);
    }
  }
  if (kind == ProbeKind::sphere) {
    rows.mul_(std::sqrt(static_cast<double>(n)) / at::linalg_vector_norm(rows, 2, {1}, true));
  }
  return rows.t();
}

}  // namespace ritz
