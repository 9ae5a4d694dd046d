#pragma once
// Random test vectors with E[z z^H] = I, and what trace estimators share.
#include <cstdint>
#include <optional>
#include <string_view>

#include "ritz/linop/linear_operator.h"

namespace ritz {

enum class ProbeKind {
  rademacher,  // +1 or -1: the least variance of all independent entries (Hutchinson 1990)
  gaussian,    // standard normal
  sphere       // uniform on the sphere of radius sqrt(n)
};

/// Z [n, count], probe l from stream (purpose, first + l): the same vectors however they are
/// blocked.
Tensor probe_block(ProbeKind kind, int64_t n, int64_t count, const TensorOptions& options,
                   uint64_t seed, std::string_view purpose, int64_t first = 0);

struct TraceEstimate {
  double value = 0;
  std::optional<double> standard_error;  // none where a single sample leaves it unknown
  int64_t products = 0;                  // vectors the operator was applied to
};

}  // namespace ritz
