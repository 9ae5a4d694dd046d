#include "ritz/krylov/detail/slab_kernels.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstring>

// One binary for all processors: GCC compiles each kernel for three instruction sets and the loader
// picks.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RITZ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RITZ_CLONES
#endif

namespace ritz::detail {
namespace {

// Eight numbers at once, lowered to whatever registers there are; rows begin at any multiple of
// their own size.
using Double8 = double __attribute__((vector_size(64)));
template <class Scalar>
struct Eight;
template <>
struct Eight<float> {
  using Type = float __attribute__((vector_size(32), aligned(4), may_alias));
};
template <>
struct Eight<double> {
  using Type = double __attribute__((vector_size(64), aligned(8), may_alias));
};

// Eight of a row, in double. A macro, as no function may return a Double8: its calling
// convention differs between instruction sets.
#define RITZ_LOAD8(pointer) \
  __builtin_convertvector(*reinterpret_cast<const typename Eight<Scalar>::Type*>(pointer), Double8)

// Row segments are short and far apart, so the hardware's prefetcher begins anew at each: four rows
// are worked on while the next four (after the last, the next columns of the first) are on their
// way.
template <class Scalar>
[[gnu::always_inline]] inline void prefetch4(const Scalar* next, int64_t stride) {
  __builtin_prefetch(next);
  __builtin_prefetch(next + stride);
  __builtin_prefetch(next + 2 * stride);
  __builtin_prefetch(next + 3 * stride);
}

// found[i] += q_i . w: four rows share each load of w.
template <class Scalar>
[[gnu::always_inline]] inline void dot_rows(const Scalar* q, int64_t stride, int64_t rows,
                                            int64_t length, const double* w, double* found) {
  const int64_t whole = length / 8 * 8;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride;
    const Scalar* next = i + 8 <= rows ? q3 + stride : q + length;
    Double8 s0{}, s1{}, s2{}, s3{};
    for (int64_t k = 0; k < whole; k += 8) {
      prefetch4(next + k, stride);
      const Double8 v = *reinterpret_cast<const Double8*>(w + k);
      s0 += v * RITZ_LOAD8(q0 + k);
      s1 += v * RITZ_LOAD8(q1 + k);
      s2 += v * RITZ_LOAD8(q2 + k);
      s3 += v * RITZ_LOAD8(q3 + k);
    }
    double t[4] = {0, 0, 0, 0};
    for (int64_t k = whole; k < length; ++k) {
      t[0] += w[k] * static_cast<double>(q0[k]);
      t[1] += w[k] * static_cast<double>(q1[k]);
      t[2] += w[k] * static_cast<double>(q2[k]);
      t[3] += w[k] * static_cast<double>(q3[k]);
    }
    for (int l = 0; l < 8; ++l) t[0] += s0[l], t[1] += s1[l], t[2] += s2[l], t[3] += s3[l];
    for (int l = 0; l < 4; ++l) found[i + l] += t[l];
  }
  for (; i < rows; ++i) {
    const Scalar* q0 = q + i * stride;
    Double8 s0{};
    double t0 = 0;
    for (int64_t k = 0; k < whole; k += 8) {
      s0 += *reinterpret_cast<const Double8*>(w + k) * RITZ_LOAD8(q0 + k);
    }
    for (int64_t k = whole; k < length; ++k) t0 += w[k] * static_cast<double>(q0[k]);
    for (int l = 0; l < 8; ++l) t0 += s0[l];
    found[i] += t0;
  }
}

// w -= sum_i c_i q_i: four rows to each load and store of w.
template <class Scalar>
[[gnu::always_inline]] inline void subtract_rows(const Scalar* q, int64_t stride, int64_t rows,
                                                 int64_t length, const double* c, double* w) {
  const int64_t whole = length / 8 * 8;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride;
    const Scalar* next = i + 8 <= rows ? q3 + stride : q + length;
    const double c0 = c[i], c1 = c[i + 1], c2 = c[i + 2], c3 = c[i + 3];
    for (int64_t k = 0; k < whole; k += 8) {
      prefetch4(next + k, stride);
      Double8& v = *reinterpret_cast<Double8*>(w + k);
      v -= (c0 * RITZ_LOAD8(q0 + k) + c1 * RITZ_LOAD8(q1 + k)) +
           (c2 * RITZ_LOAD8(q2 + k) + c3 * RITZ_LOAD8(q3 + k));
    }
    for (int64_t k = whole; k < length; ++k) {
      w[k] -= (c0 * static_cast<double>(q0[k]) + c1 * static_cast<double>(q1[k])) +
              (c2 * static_cast<double>(q2[k]) + c3 * static_cast<double>(q3[k]));
    }
  }
  for (; i < rows; ++i) {
    const Scalar* q0 = q + i * stride;
    for (int64_t k = 0; k < whole; k += 8) {
      *reinterpret_cast<Double8*>(w + k) -= c[i] * RITZ_LOAD8(q0 + k);
    }
    for (int64_t k = whole; k < length; ++k) w[k] -= c[i] * static_cast<double>(q0[k]);
  }
}

// Cloning takes functions, not templates.
RITZ_CLONES void dot_rows_float(const float* q, int64_t stride, int64_t rows, int64_t length,
                                const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void dot_rows_double(const double* q, int64_t stride, int64_t rows, int64_t length,
                                 const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void subtract_rows_float(const float* q, int64_t stride, int64_t rows, int64_t length,
                                     const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}
RITZ_CLONES void subtract_rows_double(const double* q, int64_t stride, int64_t rows, int64_t length,
                                      const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}

RITZ_CLONES void widen_bfloat16(const uint16_t* from, int64_t length, double* to) {
  for (int64_t k = 0; k < length; ++k) {
    const uint32_t bits = static_cast<uint32_t>(from[k]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    to[k] = static_cast<double>(value);
  }
}

void widen_float16(const c10::Half* from, int64_t length, double* to) {
  for (int64_t k = 0; k < length; ++k) to[k] = static_cast<double>(static_cast<float>(from[k]));
}

void widen_row(const Rows& q, int64_t i, int64_t at, int64_t length, double* to) {
  const int64_t offset = i * q.stride + at;
  if (q.storage == Storage::bfloat16) {
    widen_bfloat16(static_cast<const uint16_t*>(q.data) + offset, length, to);
  } else {
    widen_float16(static_cast<const c10::Half*>(q.data) + offset, length, to);
  }
}

}  // namespace

void load_slab(const Rows& w, int64_t at, int64_t length, SlabBuffer& buffer) {
  if (w.storage == Storage::float32) {
    const float* from = static_cast<const float*>(w.data) + at;
    for (int64_t k = 0; k < length; ++k) buffer.w[k] = static_cast<double>(from[k]);
  } else {
    std::memcpy(buffer.w, static_cast<const double*>(w.data) + at,
                static_cast<size_t>(length) * sizeof(double));
  }
}

void store_slab(const Rows& w, int64_t at, int64_t length, SlabBuffer& buffer) {
  if (w.storage == Storage::float32) {
    float* to = const_cast<float*>(static_cast<const float*>(w.data)) + at;
    for (int64_t k = 0; k < length; ++k) {
      to[k] = static_cast<float>(buffer.w[k]);
      buffer.w[k] = static_cast<double>(to[k]);
    }
  } else {
    std::memcpy(const_cast<double*>(static_cast<const double*>(w.data)) + at, buffer.w,
                static_cast<size_t>(length) * sizeof(double));
  }
}

void dot_slab(const Rows& q, int64_t at, int64_t length, SlabBuffer& buffer, double* found) {
  if (q.storage == Storage::float32) {
    dot_rows_float(static_cast<const float*>(q.data) + at, q.stride, q.count, length, buffer.w,
                   found);
  } else if (q.storage == Storage::float64) {
    dot_rows_double(static_cast<const double*>(q.data) + at, q.stride, q.count, length, buffer.w,
                    found);
  } else {
    for (int64_t i = 0; i < q.count; ++i) {
      widen_row(q, i, at, length, buffer.row);
      dot_rows_double(buffer.row, 0, 1, length, buffer.w, found + i);
    }
  }
}

void subtract_slab(const Rows& q, const double* c, int64_t at, int64_t length, SlabBuffer& buffer) {
  if (q.storage == Storage::float32) {
    subtract_rows_float(static_cast<const float*>(q.data) + at, q.stride, q.count, length, c,
                        buffer.w);
  } else if (q.storage == Storage::float64) {
    subtract_rows_double(static_cast<const double*>(q.data) + at, q.stride, q.count, length, c,
                         buffer.w);
  } else {
    for (int64_t i = 0; i < q.count; ++i) {
      widen_row(q, i, at, length, buffer.row);
      subtract_rows_double(buffer.row, 0, 1, length, c + i, buffer.w);
    }
  }
}

double norm_slab(int64_t length, const SlabBuffer& buffer) {
  double sum = 0;
  dot_rows_double(buffer.w, 0, 1, length, buffer.w, &sum);
  return sum;
}

}  // namespace ritz::detail
