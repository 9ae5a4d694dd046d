#include "ritz/optim/detail/triangle_kernels.h"

#include <algorithm>
#include <memory>

// Tiles of vectors in registers, for three widths of these; the widest that the processor has is
// chosen when the program runs. CMakeLists.txt adds -O3 and lets products and sums contract.
#if defined(__x86_64__) && defined(__GNUC__)
#define RITZ_X86 1
#else
#define RITZ_X86 0
#endif
#define RITZ_INLINE inline __attribute__((always_inline))

namespace ritz::optim::detail {

namespace {

// A tile has 12 accumulators: with the operands of one step they fill 16 registers.
constexpr int64_t kRows = 12;  // a multiple of both tiles' rows
constexpr size_t kLine = 64;
constexpr int64_t kColumnBytes = 192;  // three of the widest vectors

/// A vector of kBytes bytes at any multiple of a number's own size.
template <class T, int kBytes>
struct Wide;
#define RITZ_WIDE(T, BYTES)                                                            \
  template <>                                                                          \
  struct Wide<T, BYTES> {                                                              \
    using Type = T __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias)); \
    static constexpr int64_t kLanes = BYTES / static_cast<int64_t>(sizeof(T));         \
  };
RITZ_WIDE(float, 16)
RITZ_WIDE(float, 32)
RITZ_WIDE(float, 64)
RITZ_WIDE(double, 16)
RITZ_WIDE(double, 32)
RITZ_WIDE(double, 64)

/// Halves onto halves. By address: a function that takes vectors by value has another calling
/// convention on each instruction set.
template <class T, int kBytes>
RITZ_INLINE T sum_of_lanes(const typename Wide<T, kBytes>::Type* all) {
  if constexpr (kBytes > 16) {
    typename Wide<T, kBytes / 2>::Type low, high;
    __builtin_memcpy(&low, all, sizeof low);
    __builtin_memcpy(&high, reinterpret_cast<const char*>(all) + sizeof low, sizeof high);
    low += high;
    return sum_of_lanes<T, kBytes / 2>(&low);
  } else {
    T sum = (*all)[0];
    for (int l = 1; l < Wide<T, 16>::kLanes; ++l) sum += (*all)[l];
    return sum;
  }
}

/// Dot products of 3 rows with 4: vectors run along k, summed over lanes at the end.
template <class T, int kBytes>
RITZ_INLINE void gram_tile(const T* a, const T* b, int64_t stride, int64_t width, int64_t rows,
                           int64_t columns, double* K, int64_t m) {
  using V = typename Wide<T, kBytes>::Type;
  constexpr int64_t kLanes = Wide<T, kBytes>::kLanes;
  V sum[3][4] = {};
  for (int64_t k = 0; k < width; k += kLanes) {
    V y[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) y[j] = *reinterpret_cast<const V*>(b + j * stride + k);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const V x = *reinterpret_cast<const V*>(a + i * stride + k);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[i][j] += x * y[j];
    }
  }
#pragma GCC unroll 3
  for (int64_t i = 0; i < 3; ++i) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; ++j) {
      if (i >= rows || j >= columns) continue;
      K[i * m + j] += static_cast<double>(sum_of_lanes<T, kBytes>(&sum[i][j]));
    }
  }
}

template <class T, int kBytes>
RITZ_INLINE void gram_loop(const Slab<T>& slab, double* K) {
  const T* G = slab.values;
  const int64_t m = slab.m, stride = slab.stride;
  for (int64_t i = 0; i < m; i += 3) {
    const int64_t rows = std::min<int64_t>(3, m - i);
    for (int64_t j = 0; j < i + rows; j += 4) {
      gram_tile<T, kBytes>(G + i * stride, G + j * stride, stride, slab.padded_width, rows,
                           std::min<int64_t>(4, m - j), K + i * m + j, m);
    }
  }
}

/// 4 rows of L with 3 vectors of columns, over the rows j < length of the slab.
template <class T, int kBytes>
RITZ_INLINE void lower_tile(const T* L, int64_t l_stride, const T* G, int64_t stride,
                            int64_t length, T* out) {
  using V = typename Wide<T, kBytes>::Type;
  constexpr int64_t kLanes = Wide<T, kBytes>::kLanes;
  V sum[4][3] = {};
  for (int64_t j = 0; j < length; ++j) {
    V y[3];
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c) y[c] = *reinterpret_cast<const V*>(G + j * stride + c * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const T x = L[i * l_stride + j];
#pragma GCC unroll 3
      for (int c = 0; c < 3; ++c) sum[i][c] += x * y[c];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c) {
      *reinterpret_cast<V*>(out + (i * 3 + c) * kLanes) = sum[i][c];
    }
  }
}

template <class T, int kBytes>
RITZ_INLINE void lower_loop(const Slab<T>& slab, const T* L, int64_t width, T* out,
                            int64_t out_stride) {
  constexpr int64_t kTile = 3 * Wide<T, kBytes>::kLanes;
  const T* G = slab.values;
  T tile[4 * kTile];
  // Columns outside: their panel of the slab stays in the first cache for all rows.
  for (int64_t k = 0; k < width; k += kTile) {
    const int64_t columns = std::min(kTile, width - k);
    for (int64_t i = 0; i < slab.m; i += 4) {
      lower_tile<T, kBytes>(L + i * slab.padded_rows, slab.padded_rows, G + k, slab.stride,
                            std::min(slab.padded_rows, i + 4), tile);
      const int64_t rows = std::min<int64_t>(4, slab.m - i);
      for (int64_t r = 0; r < rows; ++r) {
        std::copy(tile + r * kTile, tile + r * kTile + columns, out + (i + r) * out_stride + k);
      }
    }
  }
}

template <class T>
struct Kernels {
  void (*gram)(const Slab<T>&, double*);
  void (*lower)(const Slab<T>&, const T*, int64_t, T*, int64_t);
};

// Only functions, not templates, are compiled for other instruction sets.
#define RITZ_KERNELS(T, NAME, BYTES, TARGET)                                       \
  TARGET void gram_##NAME(const Slab<T>& slab, double* K) {                        \
    gram_loop<T, BYTES>(slab, K);                                                  \
  }                                                                                \
  TARGET void lower_##NAME(const Slab<T>& slab, const T* L, int64_t width, T* out, \
                           int64_t out_stride) {                                   \
    lower_loop<T, BYTES>(slab, L, width, out, out_stride);                         \
  }
RITZ_KERNELS(float, float16, 16, )
RITZ_KERNELS(double, double16, 16, )
#if RITZ_X86
#define RITZ_FMA __attribute__((target("avx2,fma")))
#define RITZ_AVX512 __attribute__((target("avx512f,fma")))
RITZ_KERNELS(float, float32, 32, RITZ_FMA)
RITZ_KERNELS(double, double32, 32, RITZ_FMA)
RITZ_KERNELS(float, float64, 64, RITZ_AVX512)
RITZ_KERNELS(double, double64, 64, RITZ_AVX512)
#endif

/// 64, 32 or 16: the widest vectors with fused products and sums.
int vector_bytes() {
#if RITZ_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return 64;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#endif
  return 16;
}

template <class T>
Kernels<T> kernels();
template <>
Kernels<float> kernels() {
#if RITZ_X86
  if (vector_bytes() == 64) return {gram_float64, lower_float64};
  if (vector_bytes() == 32) return {gram_float32, lower_float32};
#endif
  return {gram_float16, lower_float16};
}
template <>
Kernels<double> kernels() {
#if RITZ_X86
  if (vector_bytes() == 64) return {gram_double64, lower_double64};
  if (vector_bytes() == 32) return {gram_double32, lower_double32};
#endif
  return {gram_double16, lower_double16};
}

int64_t rounded_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

template <class T>
Slab<T>::Slab(int64_t rows, int64_t columns)
    : m(rows),
      width(columns),
      padded_rows(rounded_up(rows, kRows)),
      padded_width(rounded_up(columns, kColumnBytes / static_cast<int64_t>(sizeof(T)))),
      // One line more, or rows would fall into few sets of the cache.
      stride(padded_width + 64 / static_cast<int64_t>(sizeof(T))),
      memory_(static_cast<size_t>(padded_rows * stride) + kLine / sizeof(T)) {
  void* first = memory_.data();
  size_t room = memory_.size() * sizeof(T);
  values = static_cast<T*>(std::align(kLine, kLine, first, room));
}

template <class T>
void add_gram(const Slab<T>& slab, double* K) {
  static const Kernels<T> chosen = kernels<T>();
  chosen.gram(slab, K);
}

template <class T>
void multiply_lower(const Slab<T>& slab, const T* L, int64_t width, T* out, int64_t out_stride) {
  static const Kernels<T> chosen = kernels<T>();
  chosen.lower(slab, L, width, out, out_stride);
}

template struct Slab<float>;
template struct Slab<double>;
template void add_gram(const Slab<float>&, double*);
template void add_gram(const Slab<double>&, double*);
template void multiply_lower(const Slab<float>&, const float*, int64_t, float*, int64_t);
template void multiply_lower(const Slab<double>&, const double*, int64_t, double*, int64_t);

}  // namespace ritz::optim::detail
