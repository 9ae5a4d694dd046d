// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008). C is cut
// into tiles of 14 rows by two AVX-512 registers: 28 registers of sums, two of B, one broadcast of
// A. A tile walks along k in depths of at most kDepth:
//
//     for each kWidth columns of C                 B's block, packed, stays in the second cache
//       for each depth of k                        (kDepth x kWidth)
//         pack B into strips as wide as a tile
//         for each 14 rows of C
//           pack A's rows                          A's strip, packed, stays in the first cache
//           for each strip: tile += A strip B strip
//
// Cost: 2 m n k flops; per tile and step of k 28 multiply-adds beside 16 loads. Packing moves k n
// numbers of B once, and m k of A for each kWidth columns.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "ritz/base/detail/gemm_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define RITZ_GEMM_KERNEL 1
#define RITZ_AVX512 [[gnu::target("avx512f")]]
#endif

namespace ritz::detail {

#ifdef RITZ_GEMM_KERNEL
namespace {

constexpr int64_t kDepth = 256;  // a strip of A, 14 x 256 floats, takes 14 KB of the first cache
constexpr int64_t kLong = 8 * kDepth;  // of B packed at once
constexpr int64_t kWidthBytes = 2176;  // of a row of B's block: 544 KB at full depth
constexpr int64_t kHigh = 8;           // strips of A to a block of C, 140 KB

// One register.
template <class Scalar>
struct Register;
template <>
struct Register<float> {
  using Type = __m512;
  using Mask = __mmask16;
  RITZ_AVX512 [[gnu::always_inline]] static Type load(const float* p) { return _mm512_loadu_ps(p); }
  RITZ_AVX512 [[gnu::always_inline]] static Type load(Mask mask, const float* p) {
    return _mm512_maskz_loadu_ps(mask, p);
  }
  using Index = int32_t;
  RITZ_AVX512 [[gnu::always_inline]] static Type pick(Type a, const Index* index, Type b) {
    return _mm512_permutex2var_ps(a, _mm512_loadu_si512(index), b);
  }
  RITZ_AVX512 [[gnu::always_inline]] static Type all(float x) { return _mm512_set1_ps(x); }
  RITZ_AVX512 [[gnu::always_inline]] static Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  RITZ_AVX512 [[gnu::always_inline]] static Type fma(Type a, Type b, Type c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  RITZ_AVX512 [[gnu::always_inline]] static void store(float* p, Type a) { _mm512_storeu_ps(p, a); }
  RITZ_AVX512 [[gnu::always_inline]] static void store(float* p, Mask mask, Type a) {
    _mm512_mask_storeu_ps(p, mask, a);
  }
};
template <>
struct Register<double> {
  using Type = __m512d;
  using Mask = __mmask8;
  RITZ_AVX512 [[gnu::always_inline]] static Type load(const double* p) {
    return _mm512_loadu_pd(p);
  }
  RITZ_AVX512 [[gnu::always_inline]] static Type load(Mask mask, const double* p) {
    return _mm512_maskz_loadu_pd(mask, p);
  }
  using Index = int64_t;
  RITZ_AVX512 [[gnu::always_inline]] static Type pick(Type a, const Index* index, Type b) {
    return _mm512_permutex2var_pd(a, _mm512_loadu_si512(index), b);
  }
  RITZ_AVX512 [[gnu::always_inline]] static Type all(double x) { return _mm512_set1_pd(x); }
  RITZ_AVX512 [[gnu::always_inline]] static Type add(Type a, Type b) { return _mm512_add_pd(a, b); }
  RITZ_AVX512 [[gnu::always_inline]] static Type fma(Type a, Type b, Type c) {
    return _mm512_fmadd_pd(a, b, c);
  }
  RITZ_AVX512 [[gnu::always_inline]] static void store(double* p, Type a) {
    _mm512_storeu_pd(p, a);
  }
  RITZ_AVX512 [[gnu::always_inline]] static void store(double* p, Mask mask, Type a) {
    _mm512_mask_storeu_pd(p, mask, a);
  }
};

template <class Scalar>
constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(Scalar));

template <class Scalar>
typename Register<Scalar>::Mask first_lanes(int64_t count) {
  return static_cast<typename Register<Scalar>::Mask>(
      (1u << std::clamp<int64_t>(count, 0, kLanes<Scalar>)) - 1);
}

// What a tile begins from.
template <class Scalar>
struct Start {
  bool accumulate;
  const Scalar* bias;  // at the tile's first column, or null
};

// A strip of A as it is packed: rows of kDepth, or upright, kTileRows to a step of k; whichever its
// source is nearer to, so that packing copies and never transposes.
template <bool Upright>
constexpr int64_t kRowStride = Upright ? 1 : kDepth;
template <bool Upright>
constexpr int64_t kStepStride = Upright ? kTileRows : 1;

// c [Rows, columns] <- start + a b, b packed by steps of k, Vectors registers each.
template <class Scalar, int Rows, int Vectors, bool Upright>
RITZ_AVX512 void tile(int64_t k, const Scalar* a, const Scalar* b, Scalar* c, int64_t stride,
                      int64_t columns, Start<Scalar> start) {
  using R = Register<Scalar>;
  constexpr int64_t lanes = kLanes<Scalar>;
  typename R::Mask mask[Vectors];
  typename R::Type sum[Rows][Vectors];
#pragma GCC unroll 2
  for (int v = 0; v < Vectors; ++v) {
    mask[v] = first_lanes<Scalar>(columns - v * lanes);
  }
#pragma GCC unroll 14
  for (int i = 0; i < Rows; ++i) {
    __builtin_prefetch(c + i * stride, 1);
    if (Vectors > 1) __builtin_prefetch(c + i * stride + lanes, 1);
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) sum[i][v] = R::all(0);
  }
  for (int64_t p = 0; p < k; ++p) {
    typename R::Type row[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) row[v] = R::load(b + (p * Vectors + v) * lanes);
#pragma GCC unroll 14
    for (int i = 0; i < Rows; ++i) {
      const auto factor = R::all(a[i * kRowStride<Upright> + p * kStepStride<Upright>]);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[i][v] = R::fma(factor, row[v], sum[i][v]);
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      Scalar* to = c + i * stride + v * lanes;
      auto value = sum[i][v];
      if (start.accumulate) {
        value = R::add(value, R::load(mask[v], to));
      } else if (start.bias) {
        value = R::add(value, R::load(mask[v], start.bias + v * lanes));
      }
      R::store(to, mask[v], value);
    }
  }
}

template <class Scalar>
using Tile = void (*)(int64_t, const Scalar*, const Scalar*, Scalar*, int64_t, int64_t,
                      Start<Scalar>);

template <class Scalar, int Vectors, bool Upright, int... Less>
constexpr std::array<Tile<Scalar>, sizeof...(Less)> tiles(std::integer_sequence<int, Less...>) {
  return {tile<Scalar, Less + 1, Vectors, Upright>...};
}

// By rows less one.
template <class Scalar, int Vectors, bool Upright>
constexpr auto kTiles =
    tiles<Scalar, Vectors, Upright>(std::make_integer_sequence<int, static_cast<int>(kTileRows)>());

template <class Scalar>
bool upright(Strided<const Scalar> A) {
  return A.row == 1 && A.column != 1;
}

template <class Scalar>
RITZ_AVX512 [[gnu::always_inline]] inline void copy(const Scalar* from, int64_t count, Scalar* to) {
  using R = Register<Scalar>;
  int64_t i = 0;
  for (; i + kLanes<Scalar> <= count; i += kLanes<Scalar>) R::store(to + i, R::load(from + i));
  if (i == count) return;
  const auto mask = first_lanes<Scalar>(count - i);
  R::store(to + i, mask, R::load(mask, from + i));
}

// A square as wide as a register, transposed: to[p width + j] = from[j stride + p]. In step s
// registers i and i + s exchange the lanes in which bit s of their number differs from the
// register's.
template <class Scalar>
RITZ_AVX512 void transpose(const Scalar* from, int64_t stride, int64_t width, Scalar* to) {
  using R = Register<Scalar>;
  constexpr int lanes = static_cast<int>(kLanes<Scalar>);
  typename R::Type row[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) row[i] = R::load(from + i * stride);
#pragma GCC unroll 4
  for (int s = 1; s < lanes; s *= 2) {
    typename R::Index low[lanes], high[lanes];
#pragma GCC unroll 16
    for (int l = 0; l < lanes; ++l) {
      low[l] = static_cast<typename R::Index>(l & s ? lanes + l - s : l);
      high[l] = static_cast<typename R::Index>(l & s ? lanes + l : l + s);
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (i & s) continue;
      const auto a = row[i], b = row[i + s];
      row[i] = R::pick(a, low, b);
      row[i + s] = R::pick(a, high, b);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) R::store(to + i * width, row[i]);
}

template <class Scalar>
RITZ_AVX512 void pack_rows(Strided<const Scalar> from, int64_t rows, int64_t k, Scalar* to) {
  if (upright(from)) {
    for (int64_t p = 0; p < k; ++p) copy(from.data + p * from.column, rows, to + p * kTileRows);
  } else if (from.column == 1) {
    for (int64_t i = 0; i < rows; ++i) copy(from.data + i * from.row, k, to + i * kDepth);
  } else {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t p = 0; p < k; ++p)
        to[i * kDepth + p] = from.data[i * from.row + p * from.column];
  }
}

// Asks for a share of what pack_rows will read next, so that it is on its way meanwhile.
template <class Scalar>
void fetch_rows(Strided<const Scalar> from, int64_t rows, int64_t k, int64_t share,
                int64_t shares) {
  const bool up = upright(from);
  const int64_t count = up ? k : rows, length = up ? rows : k;
  for (int64_t i = count * share / shares; i < count * (share + 1) / shares; ++i)
    for (int64_t p = 0; p < length; p += kLanes<Scalar>)
      __builtin_prefetch(from.data + i * (up ? from.column : from.row) + p);
}

// Strips of `width` columns: to[strip k width + p width + j] = from(p, strip width + j), zero
// beyond n.
template <class Scalar>
RITZ_AVX512 void pack_strips(Strided<const Scalar> from, int64_t k, int64_t n, int64_t width,
                             Scalar* to) {
  for (int64_t begin = 0; begin < n; begin += width, to += k * width) {
    const int64_t columns = std::min(width, n - begin);
    const Scalar* source = from.data + begin * from.column;
    if (columns < width) std::fill(to, to + k * width, Scalar(0));
    if (from.column == 1) {
      for (int64_t p = 0; p < k; ++p) copy(source + p * from.row, columns, to + p * width);
      continue;
    }
    int64_t done = 0;  // columns
    if (from.row == 1) {
      for (; done + kLanes<Scalar> <= columns; done += kLanes<Scalar>) {
        int64_t p = 0;
        for (; p + kLanes<Scalar> <= k; p += kLanes<Scalar>)
          transpose(source + done * from.column + p, from.column, width, to + p * width + done);
        for (; p < k; ++p)
          for (int64_t j = done; j < done + kLanes<Scalar>; ++j)
            to[p * width + j] = source[j * from.column + p];
      }
    }
    for (; done < columns; ++done)
      for (int64_t p = 0; p < k; ++p)
        to[p * width + done] = source[done * from.column + p * from.row];
  }
}

// The largest piece of at most `most` when `total` is cut into equal ones.
int64_t even_piece(int64_t total, int64_t most) {
  const int64_t pieces = std::max<int64_t>(1, (total + most - 1) / most);
  return (total + pieces - 1) / pieces;
}

// Kept by each thread: fresh pages at each product would cost as much as packing.
template <class Scalar>
struct Workspace {
  static constexpr int64_t kStrips = kLong * kWidthBytes / static_cast<int64_t>(sizeof(Scalar));
  alignas(64) Scalar rows[kTileRows * kDepth];
  alignas(64) Scalar strips[kStrips];
  static Workspace& of_this_thread() {
    thread_local const auto space = std::make_unique<Workspace>();
    return *space;
  }
};

}  // namespace

bool has_gemm_kernel() {
  static const bool has = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") != 0;
  }();
  return has;
}

template <class Scalar>
void gemm_kernel(int64_t m, int64_t n, int64_t k, Strided<const Scalar> A, Strided<const Scalar> B,
                 Strided<Scalar> C, bool accumulate, const Scalar* bias) {
  if (m == 0 || n == 0) return;
  auto& space = Workspace<Scalar>::of_this_thread();
  const bool narrow = n <= kLanes<Scalar>;
  const int64_t strip = narrow ? kLanes<Scalar> : 2 * kLanes<Scalar>;
  const auto& run = upright(A) ? narrow ? kTiles<Scalar, 1, true> : kTiles<Scalar, 2, true>
                    : narrow ? kTiles<Scalar, 1, false>
                               : kTiles<Scalar, 2, false>;
  const int64_t most = kWidthBytes / static_cast<int64_t>(sizeof(Scalar));
  const int64_t width = (even_piece(n, most) + strip - 1) / strip * strip;
  const int64_t rows = even_piece(m, kTileRows),
                depth = std::max<int64_t>(1, even_piece(std::min(k, kLong), kDepth));
  for (int64_t left = 0; left < n; left += width) {
    const int64_t columns = std::min(width, n - left);
    const int64_t padded = (columns + strip - 1) / strip * strip;
    for (int64_t from = 0; from == 0 || from < k; from += kLong) {
      const int64_t to = std::min(from + kLong, k);
      for (int64_t at = from; at < to; at += depth)
        pack_strips<Scalar>({B.data + at * B.row + left * B.column, B.row, B.column},
                            std::min(depth, to - at), columns, strip,
                            space.strips + (at - from) * padded);
      for (int64_t block = 0; block < m; block += kHigh * rows) {
        const int64_t bottom = std::min(m, block + kHigh * rows);
        for (int64_t at = from; at == 0 || at < to; at += depth) {
          const int64_t deep = std::min(depth, to - at);
          for (int64_t top = block; top < bottom; top += rows) {
            const int64_t high = std::min(rows, m - top);
            pack_rows<Scalar>({A.data + top * A.row + at * A.column, A.row, A.column}, high, deep,
                              space.rows);
            const auto kernel = run[static_cast<size_t>(high - 1)];
            const bool last = top + rows >= bottom;
            const int64_t next = last ? block : top + rows, next_at = last ? at + deep : at;
            for (int64_t j = 0; j < columns; j += strip) {
              if (next_at < k)
                fetch_rows<Scalar>({A.data + next * A.row + next_at * A.column, A.row, A.column},
                                   std::min(rows, m - next), std::min(depth, k - next_at),
                                   j / strip, padded / strip);
              kernel(deep, space.rows, space.strips + (at - from) * padded + j * deep,
                     C.data + top * C.row + left + j, C.row, std::min(strip, columns - j),
                     {accumulate || at > 0, bias ? bias + left + j : nullptr});
            }
          }
        }
      }
    }
  }
}

#else

bool has_gemm_kernel() {
  return false;
}
template <class Scalar>
void gemm_kernel(int64_t, int64_t, int64_t, Strided<const Scalar>, Strided<const Scalar>,
                 Strided<Scalar>, bool, const Scalar*) {}

#endif

template void gemm_kernel(int64_t, int64_t, int64_t, Strided<const float>, Strided<const float>,
                          Strided<float>, bool, const float*);
template void gemm_kernel(int64_t, int64_t, int64_t, Strided<const double>, Strided<const double>,
                          Strided<double>, bool, const double*);

}  // namespace ritz::detail
