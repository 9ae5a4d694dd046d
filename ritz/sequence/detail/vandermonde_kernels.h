#pragma once
// The raw loops behind ritz/sequence/vandermonde.h.
#include <cstdint>

namespace ritz::sequence::detail {

/// out[j] = scale w^j, j = 0..count-1, w = exp(log_w), as separate real and imaginary parts: by
/// doubling, so that each is a product of at most log2(count) + 1 factors.
void power_row(double log_w_re, double log_w_im, double scale_re, double scale_im, int64_t count,
               double* re, double* im);

/// Rows first..last of K [H, L]; log_a and c [H, N], interleaved complex.
template <class Scalar>
void vandermonde_forward(int64_t first, int64_t last, int64_t N, int64_t L, const double* log_a,
                         const double* c, Scalar* K);
/// From g [H, L]: the gradients of c and log_a, interleaved complex [H, N].
template <class Scalar>
void vandermonde_backward(int64_t first, int64_t last, int64_t N, int64_t L, const double* log_a,
                          const double* c, const Scalar* g, double* grad_log_a, double* grad_c);

}  // namespace ritz::sequence::detail
