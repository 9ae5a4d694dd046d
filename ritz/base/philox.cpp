#include "ritz/base/philox.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <type_traits>

#include "ritz/base/detail/philox_sets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The numbers are made in two steps: words into a buffer that stays in the first cache, then a
// kernel that turns whole groups of words into groups of numbers. The kernels are plain loops over
// independent elements, compiled once for each instruction set below and vectorised by the
// compiler; only the ten rounds need intrinsics, because no compiler finds the 32 x 32 -> 64
// product in plain code. Built with -ffp-contract=off, so that a fused multiply-add cannot make one
// processor's numbers differ.

#define RITZ_INLINE inline __attribute__((always_inline))

namespace ritz {
namespace {

constexpr int64_t kWords = PhiloxStream::kWords;
constexpr int64_t kBuffer = 32;  // groups of words made at a time: 8 KB

// ---- words -------------------------------------------------------------------------------------

struct Portable {
  RITZ_INLINE static void words(const PhiloxStream& from, uint32_t* out, int64_t groups) {
    for (int64_t g = 0; g < groups; ++g) {
      for (int b = 0; b < PhiloxStream::kBlocks; ++b) {
        const uint64_t index = from.index + static_cast<uint64_t>(g * PhiloxStream::kBlocks + b);
        const auto block = philox_block(
            from.seed,
            {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
             static_cast<uint32_t>(from.stream), static_cast<uint32_t>(from.stream >> 32)});
        for (int j = 0; j < 4; ++j) out[kWords * g + 16 * j + 2 * (b % 8) + b / 8] = block[j];
      }
    }
  }
};

#if defined(__x86_64__)
#define RITZ_AVX2 __attribute__((target("avx2")))
#define RITZ_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw")))

// A counter word sits in the lower half of a 64-bit lane. The product ignores the upper halves, so
// what is left there by the rounds needs no masking. Per round and lane: 2 products, 2 shifts, 4
// (AVX-512: 2) exclusive ors, for 16 bytes in the end.
struct Avx2 {
  RITZ_AVX2 static void words(const PhiloxStream& from, uint32_t* out, int64_t groups) {
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    for (int64_t g = 0; g < groups; ++g) {
      const auto first = static_cast<int64_t>(from.index) + g * PhiloxStream::kBlocks;
      __m256i c[4][4];  // word, quarter of the group
      for (int q = 0; q < 4; ++q) {
        c[0][q] =
            _mm256_add_epi64(_mm256_set1_epi64x(first + 4 * q), _mm256_set_epi64x(3, 2, 1, 0));
        c[1][q] = _mm256_srli_epi64(c[0][q], 32);
        c[2][q] = _mm256_set1_epi64x(static_cast<int64_t>(from.stream));
        c[3][q] = _mm256_srli_epi64(c[2][q], 32);
      }
      auto k0 = static_cast<uint32_t>(from.seed);
      auto k1 = static_cast<uint32_t>(from.seed >> 32);
      for (int round = 0; round < 10; ++round) {
        const __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
        for (int q = 0; q < 4; ++q) {
          const __m256i p0 = _mm256_mul_epu32(c[0][q], m0), p1 = _mm256_mul_epu32(c[2][q], m1);
          c[0][q] = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(c[1][q], key0));
          c[2][q] = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(c[3][q], key1));
          c[1][q] = p1;
          c[3][q] = p0;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
      }
      for (int j = 0; j < 4; ++j) {
        for (int q = 0; q < 2; ++q) {  // blocks l and 8 + l side by side
          const __m256i both =
              _mm256_blend_epi32(c[j][q], _mm256_slli_epi64(c[j][q + 2], 32), 0xAA);
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kWords * g + 16 * j + 8 * q), both);
        }
      }
    }
  }
};

struct Avx512 {
  RITZ_AVX512 static void words(const PhiloxStream& from, uint32_t* out, int64_t groups) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    for (int64_t g = 0; g < groups; ++g) {
      const auto first = static_cast<int64_t>(from.index) + g * PhiloxStream::kBlocks;
      __m512i c[4][2];  // word, half of the group
      for (int h = 0; h < 2; ++h) {
        c[0][h] = _mm512_add_epi64(_mm512_set1_epi64(first + 8 * h),
                                   _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
        c[1][h] = _mm512_srli_epi64(c[0][h], 32);
        c[2][h] = _mm512_set1_epi64(static_cast<int64_t>(from.stream));
        c[3][h] = _mm512_srli_epi64(c[2][h], 32);
      }
      auto k0 = static_cast<uint32_t>(from.seed);
      auto k1 = static_cast<uint32_t>(from.seed >> 32);
      for (int round = 0; round < 10; ++round) {
        const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
        for (int h = 0; h < 2; ++h) {
          const __m512i p0 = _mm512_mul_epu32(c[0][h], m0), p1 = _mm512_mul_epu32(c[2][h], m1);
          c[0][h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c[1][h], key0, 0x96);
          c[2][h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c[3][h], key1, 0x96);
          c[1][h] = p1;
          c[3][h] = p0;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
      }
      for (int j = 0; j < 4; ++j) {  // blocks l and 8 + l side by side
        const __m512i both =
            _mm512_mask_blend_epi32(0xAAAA, c[j][0], _mm512_slli_epi64(c[j][1], 32));
        _mm512_storeu_si512(out + kWords * g + 16 * j, both);
      }
    }
  }
};
#endif

// ---- numbers out of words ----------------------------------------------------------------------

template <typename T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
template <typename T>
using SignedBits = std::make_signed_t<Bits<T>>;

// Unsigned 32-bit to double, exactly, by instructions that every vector unit has.
RITZ_INLINE double exact(uint32_t w) {
  return static_cast<double>(static_cast<int32_t>(w ^ 0x80000000u)) + 2147483648.0;
}

// The centre of the cell of (0, 1) that the bits name, with full relative precision near 0.
RITZ_INLINE float open_unit(uint32_t w) {
  const auto high = static_cast<float>(static_cast<int32_t>(w >> 16));
  const auto low = static_cast<float>(static_cast<int32_t>(w & 0xffff));
  return (high * 65536.0f + (low + 0.5f)) * 0x1p-32f;
}
RITZ_INLINE double open_unit(uint64_t w) {
  const double high = exact(static_cast<uint32_t>(w >> 32));
  const double low = exact(static_cast<uint32_t>(w));
  return (high * 4294967296.0 + (low + 0.5)) * 0x1p-64;
}

// log u for u in (0, 1], fdlibm's method: u = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), s = f /
// (2 + f), log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + R(s^2)).
template <typename T>
RITZ_INLINE T log_unit(T u) {
  constexpr bool single = sizeof(T) == 4;
  constexpr int mantissa = single ? 23 : 52;
  constexpr Bits<T> root_half = single ? 0x3f3504f3 : static_cast<Bits<T>>(0x3fe6a09e667f3bcdULL);
  const auto bits = std::bit_cast<Bits<T>>(u);
  // (bits - root_half) >> mantissa, as a signed number: k in [-65, 0]
  const auto k = static_cast<SignedBits<T>>(bits - root_half) >> mantissa;
  const T f = std::bit_cast<T>(bits - (static_cast<Bits<T>>(k) << mantissa)) - T(1);
  T exponent;
  if constexpr (single) {
    exponent = static_cast<T>(k);
  } else {
    exponent = static_cast<T>(static_cast<int32_t>(k));
  }
  const T s = f / (T(2) + f), z = s * s, w = z * z, half_square = T(0.5) * f * f;
  if constexpr (single) {
    const T r =
        w * (0.40000972152f + w * 0.24279078841f) + z * (0.66666662693f + w * 0.28498786688f);
    return s * (half_square + r) + exponent * 9.0580006145e-06f - half_square + f +
           exponent * 6.9313812256e-01f;
  } else {
    const T r = w * (3.999999999940941908e-01 +
                     w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)) +
                z * (6.666666666666735130e-01 +
                     w * (2.857142874366239149e-01 +
                          w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    return s * (half_square + r) + exponent * 1.90821492927058770002e-10 - half_square + f +
           exponent * 6.93147180369123816490e-01;
  }
}

// Sine and cosine on [-pi/4, pi/4].
RITZ_INLINE float sine(float x) {
  const float z = x * x;
  return x + x * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
}
RITZ_INLINE float cosine(float x) {
  const float z = x * x;
  return 1.0f - 0.5f * z +
         z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
}
RITZ_INLINE double sine(double x) {
  const double z = x * x;
  return x +
         x * z *
             (-1.66666666666666324348e-01 +
              z * (8.33333333332248946124e-03 +
                   z * (-1.98412698298579493134e-04 +
                        z * (2.75573137070700676789e-06 +
                             z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
}
RITZ_INLINE double cosine(double x) {
  const double z = x * x;
  return 1.0 - 0.5 * z +
         z * z *
             (4.16666666666666019037e-02 +
              z * (-1.38888888888741095749e-03 +
                   z * (2.48015872894767294178e-05 +
                        z * (-2.75573143513906633035e-07 +
                             z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
}

// (pi/2) r / 2^32 or 2^64 for the bits r of a signed fraction.
RITZ_INLINE float quarter_turns(uint32_t r) {
  return static_cast<float>(static_cast<int32_t>(r)) *
         static_cast<float>(std::numbers::pi / 2 * 0x1p-32);
}
RITZ_INLINE double quarter_turns(uint64_t r) {
  const auto high = static_cast<double>(static_cast<int32_t>(r >> 32));
  const double low = exact(static_cast<uint32_t>(r));
  return (high * 4294967296.0 + low) * (std::numbers::pi / 2 * 0x1p-64);
}

template <typename T>
struct Words {
  static constexpr int64_t per_group = kWords;
  RITZ_INLINE void operator()(const uint32_t* words, T* out, int64_t groups) const {
    std::memcpy(out, words, static_cast<size_t>(groups * kWords) * sizeof(T));
  }
};

template <typename T>
struct Uniform {
  static constexpr int64_t per_group = kWords * 4 / static_cast<int64_t>(sizeof(T));
  T low, range, last;  // last: the largest number below high, where rounding could reach high

  RITZ_INLINE void operator()(const uint32_t* words, T* out, int64_t groups) const {
    for (int64_t i = 0; i < groups * per_group; ++i) {
      T u;
      if constexpr (sizeof(T) == 4) {
        u = static_cast<T>(static_cast<int32_t>(words[i] >> 8)) * T(0x1p-24);
      } else {
        uint64_t w;
        std::memcpy(&w, words + 2 * i, sizeof w);
        // 32 + 21 bits
        u = exact(static_cast<uint32_t>(w >> 32)) * T(0x1p-32) +
            static_cast<T>(static_cast<int32_t>(static_cast<uint32_t>(w) >> 11)) * T(0x1p-53);
      }
      const T x = low + range * u;
      out[i] = x < last ? x : last;
    }
  }
};

// The first half of a group's words gives radii, the second angles; the first half of its numbers
// are the cosines, the second the sines.
template <typename T>
struct Normal {
  static constexpr int64_t per_group = kWords * 4 / static_cast<int64_t>(sizeof(T));
  T mean, sd;

  RITZ_INLINE void operator()(const uint32_t* words, T* out, int64_t groups) const {
    using B = Bits<T>;
    constexpr int width = static_cast<int>(sizeof(T)) * 8;
    constexpr int64_t half = per_group / 2;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t i = 0; i < half; ++i) {
        B a, b;
        std::memcpy(&a, words + g * kWords + i * static_cast<int64_t>(sizeof(T) / 4), sizeof a);
        std::memcpy(&b, words + g * kWords + (half + i) * static_cast<int64_t>(sizeof(T) / 4),
                    sizeof b);
        const T radius = sd * std::sqrt(T(-2) * log_unit(open_unit(a)));
        // 2 pi b / 2^width = (pi/2) (quadrant + fraction), the fraction in [-1/2, 1/2)
        const B quadrant = (b + (B{1} << (width - 3))) >> (width - 2);
        const T x = quarter_turns(static_cast<B>(b << 2));
        const T s = sine(x), c = cosine(x);
        const T cos_size = (quadrant & 1) ? s : c, sin_size = (quadrant & 1) ? c : s;
        const B cos_sign = ((quadrant ^ (quadrant >> 1)) & 1) << (width - 1);
        const B sin_sign = (quadrant >> 1) << (width - 1);
        out[g * per_group + i] =
            mean + radius * std::bit_cast<T>(std::bit_cast<B>(cos_size) ^ cos_sign);
        out[g * per_group + half + i] =
            mean + radius * std::bit_cast<T>(std::bit_cast<B>(sin_size) ^ sin_sign);
      }
    }
  }
};

// Number 64 t + i of a group is bit t of its word i.
template <typename T>
struct Signs {
  static constexpr int64_t per_group = kWords * 32;

  RITZ_INLINE void operator()(const uint32_t* words, T* out, int64_t groups) const {
    using B = Bits<T>;
    constexpr B one = std::bit_cast<B>(T(1));
    for (int64_t g = 0; g < groups; ++g) {
      for (int t = 0; t < 32; ++t) {
        for (int64_t i = 0; i < kWords; ++i) {
          const B sign = static_cast<B>((words[g * kWords + i] >> t) & 1) << (sizeof(T) * 8 - 1);
          out[g * per_group + t * kWords + i] = std::bit_cast<T>(one | sign);
        }
      }
    }
  }
};

template <typename Set, typename Kernel, typename T>
RITZ_INLINE void fill_with(const Kernel& kernel, const PhiloxStream& from, T* out, int64_t n) {
  alignas(64) uint32_t words[kBuffer * kWords];
  constexpr int64_t chunk = Kernel::per_group > kWords ? 1 : kBuffer;
  const int64_t whole = n / Kernel::per_group;
  for (int64_t g = 0; g < whole; g += chunk) {
    const int64_t groups = whole - g < chunk ? whole - g : chunk;
    Set::words(from.at(g), words, groups);
    kernel(words, out + g * Kernel::per_group, groups);
  }
  if (const int64_t rest = n - whole * Kernel::per_group; rest > 0) {
    T numbers[Kernel::per_group];
    Set::words(from.at(whole), words, 1);
    kernel(words, numbers, 1);
    std::memcpy(out + whole * Kernel::per_group, numbers, static_cast<size_t>(rest) * sizeof(T));
  }
}

#if defined(__x86_64__)
template <typename Kernel, typename T>
RITZ_AVX2 void fill_avx2(const Kernel& kernel, const PhiloxStream& from, T* out, int64_t n) {
  fill_with<Avx2>(kernel, from, out, n);
}
template <typename Kernel, typename T>
RITZ_AVX512 void fill_avx512(const Kernel& kernel, const PhiloxStream& from, T* out, int64_t n) {
  fill_with<Avx512>(kernel, from, out, n);
}
#endif

using detail::InstructionSet;

template <typename Kernel, typename T>
void fill_by(InstructionSet set, const Kernel& kernel, const PhiloxStream& from, T* out,
             int64_t n) {
#if defined(__x86_64__)
  if (set == InstructionSet::avx512) return fill_avx512(kernel, from, out, n);
  if (set == InstructionSet::avx2) return fill_avx2(kernel, from, out, n);
#endif
  if (set == InstructionSet::portable) fill_with<Portable>(kernel, from, out, n);
}

template <typename Kernel, typename T>
void fill(const Kernel& kernel, const PhiloxStream& from, T* out, int64_t n) {
  const auto set = detail::has(InstructionSet::avx512) ? InstructionSet::avx512
                   : detail::has(InstructionSet::avx2) ? InstructionSet::avx2
                                                       : InstructionSet::portable;
  fill_by(set, kernel, from, out, n);
}

template <typename T>
Uniform<T> uniform_on(T low, T high) {
  return {low, high - low, std::nextafter(high, low)};
}

}  // namespace

namespace detail {

bool has(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::avx2) return __builtin_cpu_supports("avx2") != 0;
  if (set == InstructionSet::avx512) {
    return __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw");
  }
#endif
  return set == InstructionSet::portable;
}

void philox_words(InstructionSet set, const PhiloxStream& from, uint32_t* out, int64_t n) {
  fill_by(set, Words<uint32_t>{}, from, out, n);
}
void philox_normal(InstructionSet set, const PhiloxStream& from, float* out, int64_t n) {
  fill_by(set, Normal<float>{0, 1}, from, out, n);
}
void philox_normal(InstructionSet set, const PhiloxStream& from, double* out, int64_t n) {
  fill_by(set, Normal<double>{0, 1}, from, out, n);
}

}  // namespace detail

void philox_words(const PhiloxStream& from, uint32_t* out, int64_t n) {
  fill(Words<uint32_t>{}, from, out, n);
}
void philox_uniform(const PhiloxStream& from, float* out, int64_t n, float low, float high) {
  fill(uniform_on(low, high), from, out, n);
}
void philox_uniform(const PhiloxStream& from, double* out, int64_t n, double low, double high) {
  fill(uniform_on(low, high), from, out, n);
}
void philox_normal(const PhiloxStream& from, float* out, int64_t n, float mean, float sd) {
  fill(Normal<float>{mean, sd}, from, out, n);
}
void philox_normal(const PhiloxStream& from, double* out, int64_t n, double mean, double sd) {
  fill(Normal<double>{mean, sd}, from, out, n);
}
void philox_signs(const PhiloxStream& from, float* out, int64_t n) {
  fill(Signs<float>{}, from, out, n);
}
void philox_signs(const PhiloxStream& from, double* out, int64_t n) {
  fill(Signs<double>{}, from, out, n);
}

}  // namespace ritz
