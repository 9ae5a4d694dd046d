#include "ritz/krylov/detail/slab_kernels.h"

#include <c10/util/Half.h>

#include <cstring>

#include "ritz/base/detail/clones.h"
#include "ritz/base/detail/eight.h"

namespace ritz::detail {
namespace {

using Bits16 = uint16_t __attribute__((vector_size(16), aligned(2), may_alias));
using Bits32 = uint32_t __attribute__((vector_size(32), may_alias));
using Float8 = float __attribute__((vector_size(32), may_alias));

/// The bits of a row in half precision.
struct Brain {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

RITZ_INLINE double number(float x) {
  return static_cast<double>(x);
}
RITZ_INLINE double number(double x) {
  return x;
}
RITZ_INLINE double number(Brain x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}
RITZ_INLINE double number(Half x) {
  return static_cast<double>(static_cast<float>(c10::Half(x.bits, c10::Half::from_bits())));
}

// Eight numbers of a row, in double. By reference: no function may return a Double8.
template <class Scalar>
RITZ_INLINE void load8(const Scalar* from, Double8& to) {
  to = __builtin_convertvector(*reinterpret_cast<const typename Eight<Scalar>::Type*>(from),
                               Double8);
}
RITZ_INLINE void load8(const Brain* from, Double8& to) {
  const Bits32 bits = __builtin_convertvector(*reinterpret_cast<const Bits16*>(from), Bits32) << 16;
  to = __builtin_convertvector(reinterpret_cast<const Float8&>(bits), Double8);
}
RITZ_INLINE void load8(const Half* from, Double8& to) {
  const Bits32 h = __builtin_convertvector(*reinterpret_cast<const Bits16*>(from), Bits32);
  // Exponent and fraction in float32's places are the number times 2^-112, subnormals too; an
  // exponent of ones is that of Inf and NaN.
  const Bits32 special = __builtin_convertvector((h & 0x7c00) == 0x7c00, Bits32) & 0x7f800000;
  const Bits32 bits = (h & 0x7fff) << 13 | special | (h & 0x8000) << 16;
  to = __builtin_convertvector(reinterpret_cast<const Float8&>(bits), Double8) * 0x1p112;
}

// Row segments are short and far apart, so the hardware's prefetcher begins anew at each: four rows
// are worked on while the next four (after the last, the next columns of the first) are on their
// way.
template <class Scalar>
RITZ_INLINE void prefetch4(const Scalar* next, int64_t stride) {
  __builtin_prefetch(next);
  __builtin_prefetch(next + stride);
  __builtin_prefetch(next + 2 * stride);
  __builtin_prefetch(next + 3 * stride);
}

// found[i] += q_i . w: four rows share each load of w.
template <class Scalar>
RITZ_INLINE void dot_rows(const Scalar* q, int64_t stride, int64_t rows, int64_t length,
                          const double* w, double* found) {
  const int64_t whole = length / 8 * 8;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride;
    const Scalar* next = i + 8 <= rows ? q3 + stride : q + length;
    Double8 s0{}, s1{}, s2{}, s3{};
    for (int64_t k = 0; k < whole; k += 8) {
      prefetch4(next + k, stride);
      const Double8 v = *reinterpret_cast<const Double8*>(w + k);
      Double8 x0, x1, x2, x3;
      load8(q0 + k, x0), load8(q1 + k, x1), load8(q2 + k, x2), load8(q3 + k, x3);
      s0 += v * x0;
      s1 += v * x1;
      s2 += v * x2;
      s3 += v * x3;
    }
    double t[4] = {0, 0, 0, 0};
    for (int64_t k = whole; k < length; ++k) {
      t[0] += w[k] * number(q0[k]);
      t[1] += w[k] * number(q1[k]);
      t[2] += w[k] * number(q2[k]);
      t[3] += w[k] * number(q3[k]);
    }
    for (int l = 0; l < 8; ++l) t[0] += s0[l], t[1] += s1[l], t[2] += s2[l], t[3] += s3[l];
    for (int l = 0; l < 4; ++l) found[i + l] += t[l];
  }
  for (; i < rows; ++i) {
    const Scalar* q0 = q + i * stride;
    Double8 s0{};
    double t0 = 0;
    for (int64_t k = 0; k < whole; k += 8) {
      Double8 x0;
      load8(q0 + k, x0);
      s0 += *reinterpret_cast<const Double8*>(w + k) * x0;
    }
    for (int64_t k = whole; k < length; ++k) t0 += w[k] * number(q0[k]);
    for (int l = 0; l < 8; ++l) t0 += s0[l];
    found[i] += t0;
  }
}

// w -= sum_i c_i q_i: four rows to each load and store of w.
template <class Scalar>
RITZ_INLINE void subtract_rows(const Scalar* q, int64_t stride, int64_t rows, int64_t length,
                               const double* c, double* w) {
  const int64_t whole = length / 8 * 8;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const Scalar *q0 = q + i * stride, *q1 = q0 + stride, *q2 = q1 + stride, *q3 = q2 + stride;
    const Scalar* next = i + 8 <= rows ? q3 + stride : q + length;
    const double c0 = c[i], c1 = c[i + 1], c2 = c[i + 2], c3 = c[i + 3];
    for (int64_t k = 0; k < whole; k += 8) {
      prefetch4(next + k, stride);
      Double8& v = *reinterpret_cast<Double8*>(w + k);
      Double8 x0, x1, x2, x3;
      load8(q0 + k, x0), load8(q1 + k, x1), load8(q2 + k, x2), load8(q3 + k, x3);
      v -= (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3);
    }
    for (int64_t k = whole; k < length; ++k) {
      w[k] -= (c0 * number(q0[k]) + c1 * number(q1[k])) + (c2 * number(q2[k]) + c3 * number(q3[k]));
    }
  }
  for (; i < rows; ++i) {
    const Scalar* q0 = q + i * stride;
    for (int64_t k = 0; k < whole; k += 8) {
      Double8 x0;
      load8(q0 + k, x0);
      *reinterpret_cast<Double8*>(w + k) -= c[i] * x0;
    }
    for (int64_t k = whole; k < length; ++k) w[k] -= c[i] * number(q0[k]);
  }
}

// Cloning takes functions, not templates.
RITZ_CLONES void dot_rows_float(const float* q, int64_t stride, int64_t rows, int64_t length,
                                const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void subtract_rows_float(const float* q, int64_t stride, int64_t rows, int64_t length,
                                     const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}
RITZ_CLONES void dot_rows_double(const double* q, int64_t stride, int64_t rows, int64_t length,
                                 const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void subtract_rows_double(const double* q, int64_t stride, int64_t rows, int64_t length,
                                      const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}
RITZ_CLONES void dot_rows_brain(const Brain* q, int64_t stride, int64_t rows, int64_t length,
                                const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void subtract_rows_brain(const Brain* q, int64_t stride, int64_t rows, int64_t length,
                                     const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}
RITZ_CLONES void dot_rows_half(const Half* q, int64_t stride, int64_t rows, int64_t length,
                               const double* w, double* found) {
  dot_rows(q, stride, rows, length, w, found);
}
RITZ_CLONES void subtract_rows_half(const Half* q, int64_t stride, int64_t rows, int64_t length,
                                    const double* c, double* w) {
  subtract_rows(q, stride, rows, length, c, w);
}

}  // namespace

void load_slab(const Rows& w, int64_t at, int64_t length, double* buffer) {
  if (w.storage == Storage::float32) {
    const float* from = static_cast<const float*>(w.data) + at;
    for (int64_t k = 0; k < length; ++k) buffer[k] = static_cast<double>(from[k]);
  } else {
    std::memcpy(buffer, static_cast<const double*>(w.data) + at,
                static_cast<size_t>(length) * sizeof(double));
  }
}

void store_slab(const Rows& w, int64_t at, int64_t length, double* buffer) {
  if (w.storage == Storage::float32) {
    float* to = const_cast<float*>(static_cast<const float*>(w.data)) + at;
    for (int64_t k = 0; k < length; ++k) {
      to[k] = static_cast<float>(buffer[k]);
      buffer[k] = static_cast<double>(to[k]);
    }
  } else {
    std::memcpy(const_cast<double*>(static_cast<const double*>(w.data)) + at, buffer,
                static_cast<size_t>(length) * sizeof(double));
  }
}

void dot_slab(const Rows& q, int64_t at, int64_t length, const double* buffer, double* found) {
  switch (q.storage) {
    case Storage::float32:
      return dot_rows_float(static_cast<const float*>(q.data) + at, q.stride, q.count, length,
                            buffer, found);
    case Storage::float64:
      return dot_rows_double(static_cast<const double*>(q.data) + at, q.stride, q.count, length,
                             buffer, found);
    case Storage::bfloat16:
      return dot_rows_brain(static_cast<const Brain*>(q.data) + at, q.stride, q.count, length,
                            buffer, found);
    case Storage::float16:
      return dot_rows_half(static_cast<const Half*>(q.data) + at, q.stride, q.count, length, buffer,
                           found);
  }
}

void subtract_slab(const Rows& q, const double* c, int64_t at, int64_t length, double* buffer) {
  switch (q.storage) {
    case Storage::float32:
      return subtract_rows_float(static_cast<const float*>(q.data) + at, q.stride, q.count, length,
                                 c, buffer);
    case Storage::float64:
      return subtract_rows_double(static_cast<const double*>(q.data) + at, q.stride, q.count,
                                  length, c, buffer);
    case Storage::bfloat16:
      return subtract_rows_brain(static_cast<const Brain*>(q.data) + at, q.stride, q.count, length,
                                 c, buffer);
    case Storage::float16:
      return subtract_rows_half(static_cast<const Half*>(q.data) + at, q.stride, q.count, length, c,
                                buffer);
  }
}

double norm_slab(int64_t length, const double* buffer) {
  double sum = 0;
  dot_rows_double(buffer, 0, 1, length, buffer, &sum);
  return sum;
}

}  // namespace ritz::detail
