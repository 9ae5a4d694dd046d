#include "ritz/koopman/detail/hermitian_solve.h"

#include <algorithm>

// One binary for all processors: GCC compiles each kernel for three instruction sets and the loader
// picks.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RITZ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RITZ_CLONES
#endif

namespace ritz::koopman::detail {
namespace {

/// x_k <- (x_k - what earlier columns gave) / C_kk.
[[gnu::always_inline]] inline void finish(double diagonal, const double* p, const double* q,
                                          double* x) {
  const double scale = 1 / diagonal;
  x[0] = (x[0] - (p[0] - q[1])) * scale;
  x[1] = (x[1] - (p[1] + q[0])) * scale;
}

}  // namespace

// Complex products without shuffles: with a factor's column c and a number s = a + ib the real
// arrays p += a c and q += b c are kept apart, and c s = p + i q is put together entry by entry
// only where it is needed; sums of conj(c) x are two real dot products, with x and with -i x.
RITZ_CLONES void solve_cholesky(const double* __restrict columns, int64_t n, int64_t ld,
                                double* __restrict x, double* __restrict work) {
  double* __restrict p = work;
  double* __restrict q = work + 2 * n;
  std::fill(work, work + 4 * n, 0.);
  // C y = x: column by column, two at a time.
  int64_t j = 0;
  for (; j + 1 < n; j += 2) {
    const double* __restrict c0 = columns + 2 * j * ld;
    const double* __restrict c1 = columns + 2 * (j + 1) * ld;
    finish(c0[2 * j], p + 2 * j, q + 2 * j, x + 2 * j);
    const double a0 = x[2 * j], b0 = x[2 * j + 1];
    for (int64_t i = 2 * j + 2; i < 2 * j + 4; ++i) {
      p[i] += a0 * c0[i];
      q[i] += b0 * c0[i];
    }
    finish(c1[2 * j + 2], p + 2 * j + 2, q + 2 * j + 2, x + 2 * j + 2);
    const double a1 = x[2 * j + 2], b1 = x[2 * j + 3];
    for (int64_t i = 2 * j + 4; i < 2 * n; ++i) {
      p[i] += a0 * c0[i] + a1 * c1[i];
      q[i] += b0 * c0[i] + b1 * c1[i];
    }
  }
  if (j < n) finish(columns[2 * (j * ld + j)], p + 2 * j, q + 2 * j, x + 2 * j);
  // C^* x = y: dot products with the columns from the last to the first. p is x, q is -i x.
  for (int64_t k = n - 1; k >= 0; --k) {
    const double* __restrict c = columns + 2 * k * ld;
    double re = 0, im = 0;
    for (int64_t i = 2 * k + 2; i < 2 * n; ++i) {
      re += c[i] * p[i];
      im += c[i] * q[i];
    }
    const double scale = 1 / c[2 * k];
    const double xr = (x[2 * k] - re) * scale, xi = (x[2 * k + 1] - im) * scale;
    x[2 * k] = p[2 * k] = xr;
    x[2 * k + 1] = p[2 * k + 1] = xi;
    q[2 * k] = xi;
    q[2 * k + 1] = -xr;
  }
}

RITZ_CLONES void shifted_normal_matrix(const double* __restrict L, const double* __restrict P,
                                       const double* __restrict Q, double x, double y, int64_t n,
                                       double* __restrict H) {
  for (int64_t j = 0; j < n; ++j) {
    const int64_t begin = 2 * (j * n + j), end = 2 * (j * n + n);
    for (int64_t i = begin; i < end; ++i) H[i] = L[i] - x * P[i] + y * Q[i];
    H[begin] += x * x + y * y;
  }
}

RITZ_CLONES void dot(const double* __restrict a, const double* __restrict b, int64_t n,
                     double* __restrict result) {
  double re = 0, im = 0;
  for (int64_t i = 0; i < n; ++i) {
    re += a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    im += a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i];
  }
  result[0] = re;
  result[1] = im;
}

RITZ_CLONES void axpy(double re, double im, const double* __restrict x, double* __restrict y,
                      int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] += re * x[2 * i] - im * x[2 * i + 1];
    y[2 * i + 1] += re * x[2 * i + 1] + im * x[2 * i];
  }
}

}  // namespace ritz::koopman::detail
