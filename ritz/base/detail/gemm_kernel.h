#pragma once
// A dense product on one thread with AVX-512, for operands of any strides: what gemm.h builds on.
#include <cstdint>

namespace ritz::detail {

/// A matrix by its strides, in elements: entry (i, j) is data[i row + j column].
template <class Scalar>
struct Strided {
  Scalar* data = nullptr;
  int64_t row = 0, column = 0;
};

/// Whether this processor can run gemm_kernel.
bool has_gemm_kernel();

/// Rows and columns of the block of C that the kernel holds in registers: whoever shares a product
/// out should cut it at multiples.
constexpr int64_t kTileRows = 14, kTileBytes = 128;

/// C <- A B + (accumulate: C, or bias [n] in each row, or zero), A [m, k], B [k, n], C [m, n] with
/// C.column = 1; m, n, k >= 0. C overlaps neither operand. Scalar is float or double. Every entry
/// is summed in an order that depends on k alone: any cut of C gives the same bits.
template <class Scalar>
void gemm_kernel(int64_t m, int64_t n, int64_t k, Strided<const Scalar> A, Strided<const Scalar> B,
                 Strided<Scalar> C, bool accumulate, const Scalar* bias);

}  // namespace ritz::detail
