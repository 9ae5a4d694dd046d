#pragma once
// The raw loops behind ritz/sequence/cauchy.h.
#include <cstdint>

namespace ritz::sequence::detail {

/// One channel: w [2, N], v [4, 2, N] with the weights' halves in it, s and c [F]; r [4, 2, F];
/// every array real parts, then imaginary ones.
void cauchy_forward(int64_t N, int64_t F, const double* w, const double* v, const double* s,
                    const double* c, double* r);
/// From g [4, 2, F]: dw [2, N], dv [4, 2, N].
void cauchy_backward(int64_t N, int64_t F, const double* w, const double* v, const double* s,
                     const double* c, const double* g, double* dw, double* dv);

}  // namespace ritz::sequence::detail
