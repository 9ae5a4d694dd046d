#pragma once
// Solves with a Cholesky factor of a complex matrix, one right-hand side after another. libtorch's
// triangular solve copies the factor at every call, which costs more than the solve.
#include <cstdint>

namespace ritz::koopman::detail {

/// x <- (C C^*)^{-1} x. `columns`: C lower triangular, complex128 interleaved, column after column,
/// ld complex numbers apart, real positive diagonal. x: n complex numbers; `work`: 4 n doubles.
/// Cost: 16 n^2 flops, 16 n^2 bytes of C.
void solve_cholesky(const double* columns, int64_t n, int64_t ld, double* x, double* work);

/// H (lower triangle, column after column) <- L - x P + y Q + (x^2 + y^2) I, all [n, n]
/// complex128 interleaved and Hermitian.
void shifted_normal_matrix(const double* L, const double* P, const double* Q, double x, double y,
                           int64_t n, double* H);

/// sum conj(a_i) b_i over n complex numbers: real and imaginary part.
void dot(const double* a, const double* b, int64_t n, double* result);
/// y += (re + i im) x.
void axpy(double re, double im, const double* x, double* y, int64_t n);

}  // namespace ritz::koopman::detail
