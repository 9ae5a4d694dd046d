#pragma once
// The convolution kernel of a diagonal system, by a Vandermonde product that is never formed:
//
//   K_l = Re sum_n c_n a_n^l,   l = 0..L-1,   c_n = weight_n C_n gain_n B_n
//
// With l = q Lb + j the powers factor, a^l = a^(q Lb) a^j: two small tables and one real matrix
// product a channel, (Q x 2N) (2N x Lb), Q Lb >= L, Lb about sqrt(L).
//
// Backward, for the gradient g of K: dc_n = conj(S0), d(log a)_n = conj(c_n S1), S0 = sum_l g_l
// a_n^l, S1 = sum_l l g_l a_n^l, from one product (4N x Lb) (Lb x Q). Nothing but the arguments is
// kept for it.
//
// Cost a channel: 4 N L flops forward, 8 N L backward, 16 N sqrt(L) numbers of workspace a thread.
// Powers come from double precision, by at most log2(L) products.
//
//     #include "ritz/sequence/vandermonde.h"
//     #include <torch/types.h>
//     int main() {
//       const auto log_a = torch::complex(torch::tensor({{-0.1}}), torch::tensor({{0.5}}));
//       const auto K = ritz::sequence::vandermonde_kernel(log_a, torch::ones_like(log_a), 5);
//       const auto l = torch::arange(5.);
//       return torch::allclose(K[0], (-0.1 * l).exp() * (0.5 * l).cos()) ? 0 : 1;
//     }
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// K of dtype `dtype`, [H, L]; log_a, c complex [H, N] (ritz/sequence/discretise.h gives log a).
/// Differentiable in both. InvalidArgument where L < 1 or where a power overflows `dtype` (an
/// unstable eigenvalue over so many steps).
Tensor vandermonde_kernel(const Tensor& log_a, const Tensor& c, int64_t L,
                          c10::ScalarType dtype = c10::ScalarType::Float);

namespace detail {
/// The same in tensor operations, differentiable by autograd: for other devices, and the twin that
/// the kernel is tested against. Takes H N L complex numbers.
Tensor vandermonde_by_tensors(const Tensor& log_a, const Tensor& c, int64_t L,
                              c10::ScalarType dtype);
}  // namespace detail

}  // namespace ritz::sequence
