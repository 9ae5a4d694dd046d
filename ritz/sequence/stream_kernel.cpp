#include "ritz/sequence/detail/stream_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define RITZ_AVX512 __attribute__((target("avx512f,avx512vl,fma")))
#endif

namespace ritz::sequence::detail {

#ifdef RITZ_AVX512

bool has_stream_kernel() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
}

RITZ_AVX512 void stream_scan(const StreamRows& rows, const float* v, double* sr, double* si,
                             float* x) {
  const auto [steps, stride, imaginary, columns, ar, ai] = rows;
  for (int64_t l = 0; l < steps; ++l, v += stride, x += stride) {
    for (int64_t p = 0; p < columns; p += 8) {
      const __m512d a = _mm512_loadu_pd(ar + p), b = _mm512_loadu_pd(ai + p);
      const __m512d r = _mm512_loadu_pd(sr + p), i = _mm512_loadu_pd(si + p);
      const __m512d vr = _mm512_cvtps_pd(_mm256_loadu_ps(v + p));
      const __m512d vi = _mm512_cvtps_pd(_mm256_loadu_ps(v + imaginary + p));
      const __m512d re = _mm512_fnmadd_pd(b, i, _mm512_fmadd_pd(a, r, vr));
      const __m512d im = _mm512_fmadd_pd(b, r, _mm512_fmadd_pd(a, i, vi));
      _mm512_storeu_pd(sr + p, re);
      _mm512_storeu_pd(si + p, im);
      _mm256_stream_ps(x + p, _mm512_cvtpd_ps(re));
      _mm256_stream_ps(x + imaginary + p, _mm512_cvtpd_ps(im));
    }
  }
  _mm_sfence();
}

#else

bool has_stream_kernel() {
  return false;
}
void stream_scan(const StreamRows&, const float*, double*, double*, float*) {}

#endif

}  // namespace ritz::sequence::detail
