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

// Eight numbers at once, lowered to whatever registers there are. aligned(4): rows begin anywhere.
using Double8 = double __attribute__((vector_size(64)));
using Float8Unaligned = float __attribute__((vector_size(32), aligned(4), may_alias));
using Double8Unaligned = double __attribute__((vector_size(64), aligned(8), may_alias));

// The four kernels below do the same work for every storage type; `Unaligned` is eight of its
// numbers.
#define RITZ_LOAD8(Unaligned, pointer) \
  __builtin_convertvector(*reinterpret_cast<const Unaligned*>(pointer), Double8)

// found[0..3] += q_0..3 . w: four rows share each load of w; two sums a row hide the adder's
// latency.
#define RITZ_DEFINE_DOT(name, Scalar, Unaligned)                                                  \
  RITZ_CLONES void name(const Scalar* q, int64_t stride, int64_t rows, int64_t length,            \
                        const double* w, double* found) {                                         \
    const int64_t whole = length / 8 * 8;                                                         \
    int64_t i = 0;                                                                                \
    for (; i + 4 <= rows; i += 4) {                                                               \
      const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride; \
      Double8 s0{}, s1{}, s2{}, s3{};                                                             \
      for (int64_t k = 0; k < whole; k += 8) {                                                    \
        const Double8 v = *reinterpret_cast<const Double8*>(w + k);                               \
        s0 += v * RITZ_LOAD8(Unaligned, q0 + k);                                                  \
        s1 += v * RITZ_LOAD8(Unaligned, q1 + k);                                                  \
        s2 += v * RITZ_LOAD8(Unaligned, q2 + k);                                                  \
        s3 += v * RITZ_LOAD8(Unaligned, q3 + k);                                                  \
      }                                                                                           \
      double t0 = 0, t1 = 0, t2 = 0, t3 = 0;                                                      \
      for (int64_t k = whole; k < length; ++k) {                                                  \
        t0 += w[k] * static_cast<double>(q0[k]);                                                  \
        t1 += w[k] * static_cast<double>(q1[k]);                                                  \
        t2 += w[k] * static_cast<double>(q2[k]);                                                  \
        t3 += w[k] * static_cast<double>(q3[k]);                                                  \
      }                                                                                           \
      for (int l = 0; l < 8; ++l) t0 += s0[l], t1 += s1[l], t2 += s2[l], t3 += s3[l];             \
      found[i] += t0, found[i + 1] += t1, found[i + 2] += t2, found[i + 3] += t3;                 \
    }                                                                                             \
    for (; i < rows; ++i) {                                                                       \
      const Scalar* q0 = q + i * stride;                                                          \
      Double8 s0{};                                                                               \
      double t0 = 0;                                                                              \
      for (int64_t k = 0; k < whole; k += 8) {                                                    \
        s0 += *reinterpret_cast<const Double8*>(w + k) * RITZ_LOAD8(Unaligned, q0 + k);           \
      }                                                                                           \
      for (int64_t k = whole; k < length; ++k) t0 += w[k] * static_cast<double>(q0[k]);           \
      for (int l = 0; l < 8; ++l) t0 += s0[l];                                                    \
      found[i] += t0;                                                                             \
    }                                                                                             \
  }

// w -= sum_i c_i q_i, four rows to each load and store of w.
#define RITZ_DEFINE_SUBTRACT(name, Scalar, Unaligned)                                             \
  RITZ_CLONES void name(const Scalar* q, int64_t stride, int64_t rows, int64_t length,            \
                        const double* c, double* w) {                                             \
    const int64_t whole = length / 8 * 8;                                                         \
    int64_t i = 0;                                                                                \
    for (; i + 4 <= rows; i += 4) {                                                               \
      const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride; \
      const double c0 = c[i], c1 = c[i + 1], c2 = c[i + 2], c3 = c[i + 3];                        \
      for (int64_t k = 0; k < whole; k += 8) {                                                    \
        Double8& v = *reinterpret_cast<Double8*>(w + k);                                          \
        v -= c0 * RITZ_LOAD8(Unaligned, q0 + k) + c1 * RITZ_LOAD8(Unaligned, q1 + k) +            \
             (c2 * RITZ_LOAD8(Unaligned, q2 + k) + c3 * RITZ_LOAD8(Unaligned, q3 + k));           \
      }                                                                                           \
      for (int64_t k = whole; k < length; ++k) {                                                  \
        w[k] -= c0 * static_cast<double>(q0[k]) + c1 * static_cast<double>(q1[k]) +               \
                (c2 * static_cast<double>(q2[k]) + c3 * static_cast<double>(q3[k]));              \
      }                                                                                           \
    }                                                                                             \
    for (; i < rows; ++i) {                                                                       \
      const Scalar* q0 = q + i * stride;                                                          \
      for (int64_t k = 0; k < whole; k += 8) {                                                    \
        *reinterpret_cast<Double8*>(w + k) -= c[i] * RITZ_LOAD8(Unaligned, q0 + k);               \
      }                                                                                           \
      for (int64_t k = whole; k < length; ++k) w[k] -= c[i] * static_cast<double>(q0[k]);         \
    }                                                                                             \
  }

RITZ_DEFINE_DOT(dot_rows_float, float, Float8Unaligned)
RITZ_DEFINE_DOT(dot_rows_double, double, Double8Unaligned)
RITZ_DEFINE_SUBTRACT(subtract_rows_float, float, Float8Unaligned)
RITZ_DEFINE_SUBTRACT(subtract_rows_double, double, Double8Unaligned)

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
