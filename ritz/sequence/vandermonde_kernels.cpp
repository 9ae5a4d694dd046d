#include "ritz/sequence/detail/vandermonde_kernels.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ritz/base/detail/gemm_kernel.h"
#include "ritz/base/gemm.h"
#include "ritz/sequence/detail/clones.h"

namespace ritz::sequence::detail {
namespace {

using ritz::detail::Strided;

RITZ_CLONES void multiply_row(const double* re, const double* im, double wr, double wi,
                              int64_t count, double* out_re, double* out_im) {
  RITZ_INDEPENDENT
  for (int64_t j = 0; j < count; ++j) {
    out_re[j] = re[j] * wr - im[j] * wi;
    out_im[j] = re[j] * wi + im[j] * wr;
  }
}

template <class Scalar>
RITZ_INLINE void cast_loop(const double* in, double factor, int64_t count, Scalar* out) {
  RITZ_INDEPENDENT
  for (int64_t j = 0; j < count; ++j) out[j] = static_cast<Scalar>(factor * in[j]);
}
RITZ_CLONES void cast_row(const double* in, double factor, int64_t count, float* out) {
  cast_loop(in, factor, count, out);
}
RITZ_CLONES void cast_row(const double* in, double factor, int64_t count, double* out) {
  cast_loop(in, factor, count, out);
}

// out[j] = j in[j]
template <class Scalar>
RITZ_INLINE void ramp_loop(const double* in, int64_t count, Scalar* out) {
  RITZ_INDEPENDENT
  for (int64_t j = 0; j < count; ++j)
    out[j] = static_cast<Scalar>(static_cast<double>(static_cast<int>(j)) * in[j]);
}
RITZ_CLONES void ramp_row(const double* in, int64_t count, float* out) {
  ramp_loop(in, count, out);
}
RITZ_CLONES void ramp_row(const double* in, int64_t count, double* out) {
  ramp_loop(in, count, out);
}

/// S0 = sum_q e_q g_q and S1 = sum_q e_q (step q g_q + h_q), all complex.
template <class Scalar>
RITZ_INLINE void gather_loop(const double* er, const double* ei, const Scalar* gr, const Scalar* gi,
                             const Scalar* hr, const Scalar* hi, double step, int64_t Q,
                             double* sums) {
  constexpr int kLanes = 8;
  double s0r[kLanes] = {}, s0i[kLanes] = {}, s1r[kLanes] = {}, s1i[kLanes] = {};
  const int64_t whole = Q / kLanes * kLanes;
  for (int64_t q = 0; q < whole; q += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const double a = er[q + k], b = ei[q + k], x = gr[q + k], y = gi[q + k];
      const double at = step * static_cast<double>(static_cast<int>(q) + k);
      const double u = at * x + hr[q + k], v = at * y + hi[q + k];
      s0r[k] += a * x - b * y;
      s0i[k] += a * y + b * x;
      s1r[k] += a * u - b * v;
      s1i[k] += a * v + b * u;
    }
  }
  for (int k = 0; k < kLanes; ++k) {
    sums[0] += s0r[k];
    sums[1] += s0i[k];
    sums[2] += s1r[k];
    sums[3] += s1i[k];
  }
  for (int64_t q = whole; q < Q; ++q) {
    const double a = er[q], b = ei[q], x = gr[q], y = gi[q], at = step * static_cast<double>(q);
    const double u = at * x + hr[q], v = at * y + hi[q];
    sums[0] += a * x - b * y;
    sums[1] += a * y + b * x;
    sums[2] += a * u - b * v;
    sums[3] += a * v + b * u;
  }
}
RITZ_CLONES void gather(const double* er, const double* ei, const float* gr, const float* gi,
                        const float* hr, const float* hi, double step, int64_t Q, double* sums) {
  gather_loop(er, ei, gr, gi, hr, hi, step, Q, sums);
}
RITZ_CLONES void gather(const double* er, const double* ei, const double* gr, const double* gi,
                        const double* hr, const double* hi, double step, int64_t Q, double* sums) {
  gather_loop(er, ei, gr, gi, hr, hi, step, Q, sums);
}

template <class Scalar>
void multiply(int64_t m, int64_t n, int64_t k, Strided<const Scalar> A, Strided<const Scalar> B,
              Strided<Scalar> C) {
  if (ritz::detail::has_gemm_kernel()) {
    ritz::detail::gemm_kernel<Scalar>(m, n, k, A, B, C, false, nullptr);
    return;
  }
  const auto view = [](const Scalar* data, int64_t rows, int64_t columns, int64_t r, int64_t c) {
    return torch::from_blob(const_cast<Scalar*>(data), {rows, columns}, {r, c},
                            c10::CppTypeToScalarType<Scalar>::value);
  };
  gemm_into(view(C.data, m, n, C.row, C.column), view(A.data, m, k, A.row, A.column),
            view(B.data, k, n, B.row, B.column));
}

/// L as Q rows of Lb: whole vectors, near the square root.
struct Shape {
  int64_t Lb, Q;
  explicit Shape(int64_t L) {
    Lb = std::clamp<int64_t>(
        (static_cast<int64_t>(std::sqrt(static_cast<double>(L))) + 31) / 32 * 32, 32, 1024);
    Q = (L + Lb - 1) / Lb;
  }
};

}  // namespace

void power_row(double log_w_re, double log_w_im, double scale_re, double scale_im, int64_t count,
               double* re, double* im) {
  re[0] = scale_re;
  im[0] = scale_im;
  for (int64_t done = 1; done < count; done *= 2) {
    const double size = std::exp(log_w_re * static_cast<double>(done));
    const double angle = log_w_im * static_cast<double>(done);
    multiply_row(re, im, size * std::cos(angle), size * std::sin(angle),
                 std::min(done, count - done), re + done, im + done);
  }
}

template <class Scalar>
void vandermonde_forward(int64_t first, int64_t last, int64_t N, int64_t L, const double* log_a,
                         const double* c, Scalar* K) {
  const auto [Lb, Q] = Shape(L);
  std::vector<double> row(static_cast<size_t>(2 * std::max(Lb, Q)));
  double *re = row.data(), *im = re + std::max(Lb, Q);
  std::vector<Scalar> outer(static_cast<size_t>(2 * N * Q)), inner(static_cast<size_t>(2 * N * Lb));
  for (int64_t h = first; h < last; ++h) {
    // Re(c E0 E1) = Re(c E0) Re(E1) + Im(c E0) (-Im(E1)).
    for (int64_t n = 0; n < N; ++n) {
      const double *z = log_a + 2 * (h * N + n), *scale = c + 2 * (h * N + n);
      power_row(z[0], z[1], 1, 0, Lb, re, im);
      cast_row(re, 1, Lb, inner.data() + 2 * n * Lb);
      cast_row(im, -1, Lb, inner.data() + (2 * n + 1) * Lb);
      const double step = static_cast<double>(Lb);
      power_row(z[0] * step, z[1] * step, scale[0], scale[1], Q, re, im);
      cast_row(re, 1, Q, outer.data() + 2 * n * Q);
      cast_row(im, 1, Q, outer.data() + (2 * n + 1) * Q);
    }
    // (Q x 2N) (2N x Lb): 4 N L flops; reads 2N (Q + Lb) numbers, writes L.
    Scalar* out = K + h * L;
    const Strided<const Scalar> A{outer.data(), 1, Q}, B{inner.data(), Lb, 1};
    const int64_t whole = L / Lb, rest = L - whole * Lb;
    if (whole > 0) multiply<Scalar>(whole, Lb, 2 * N, A, B, {out, Lb, 1});
    if (rest > 0)
      multiply<Scalar>(1, rest, 2 * N, {A.data + whole, 1, Q}, B, {out + whole * Lb, Lb, 1});
  }
}

template <class Scalar>
void vandermonde_backward(int64_t first, int64_t last, int64_t N, int64_t L, const double* log_a,
                          const double* c, const Scalar* g, double* grad_log_a, double* grad_c) {
  const auto [Lb, Q] = Shape(L);
  std::vector<double> row(static_cast<size_t>(2 * std::max(Lb, Q)));
  double *re = row.data(), *im = re + std::max(Lb, Q);
  std::vector<Scalar> inner(static_cast<size_t>(4 * N * Lb)), sums(static_cast<size_t>(4 * N * Q)),
      padded;
  for (int64_t h = first; h < last; ++h) {
    const Scalar* gh = g + h * L;
    if (Q * Lb != L) {
      padded.assign(static_cast<size_t>(Q * Lb), 0);
      std::copy(gh, gh + L, padded.begin());
      gh = padded.data();
    }
    for (int64_t n = 0; n < N; ++n) {
      const double* z = log_a + 2 * (h * N + n);
      power_row(z[0], z[1], 1, 0, Lb, re, im);
      Scalar* to = inner.data() + 4 * n * Lb;
      cast_row(re, 1, Lb, to);
      cast_row(im, 1, Lb, to + Lb);
      ramp_row(re, Lb, to + 2 * Lb);
      ramp_row(im, Lb, to + 3 * Lb);
    }
    // (4N x Lb) (Lb x Q): 8 N L flops.
    multiply<Scalar>(4 * N, Q, Lb, {inner.data(), Lb, 1}, {gh, 1, Lb}, {sums.data(), Q, 1});
    for (int64_t n = 0; n < N; ++n) {
      const int64_t at = 2 * (h * N + n);
      const double step = static_cast<double>(Lb);
      power_row(log_a[at] * step, log_a[at + 1] * step, 1, 0, Q, re, im);
      const Scalar* of = sums.data() + 4 * n * Q;
      double s[4] = {};
      gather(re, im, of, of + Q, of + 2 * Q, of + 3 * Q, step, Q, s);
      grad_c[at] = s[0];
      grad_c[at + 1] = -s[1];
      grad_log_a[at] = c[at] * s[2] - c[at + 1] * s[3];
      grad_log_a[at + 1] = -(c[at] * s[3] + c[at + 1] * s[2]);
    }
  }
}

template void vandermonde_forward(int64_t, int64_t, int64_t, int64_t, const double*, const double*,
                                  float*);
template void vandermonde_forward(int64_t, int64_t, int64_t, int64_t, const double*, const double*,
                                  double*);
template void vandermonde_backward(int64_t, int64_t, int64_t, int64_t, const double*, const double*,
                                   const float*, double*, double*);
template void vandermonde_backward(int64_t, int64_t, int64_t, int64_t, const double*, const double*,
                                   const double*, double*, double*);

}  // namespace ritz::sequence::detail
