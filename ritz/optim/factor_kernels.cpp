#include "ritz/optim/detail/factor_kernels.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ritz/base/detail/clones.h"
#include "ritz/base/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ritz::optim::detail {

namespace {

constexpr int64_t kGrain = 1 << 15;  // entries: a thread's share must be worth its start
constexpr int64_t kChunk = 1024;     // entries of a row that are widened at a time

// ---- half precision ----

struct Portable {
  static void widen(const uint16_t* from, float* to, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
      // The exponent moves by 112; the product also normalises subnormals. Inf and NaN keep theirs.
      const uint32_t shifted = uint32_t{from[k] & 0x7fffu} << 13;
      const float scaled = std::bit_cast<float>(shifted) * 0x1p112f;
      uint32_t bits = std::bit_cast<uint32_t>(scaled);
      if ((from[k] & 0x7c00u) == 0x7c00u) bits = shifted | 0x7f800000u;
      to[k] = std::bit_cast<float>(bits | uint32_t{from[k] & 0x8000u} << 16);
    }
  }
  static void narrow(const float* from, uint16_t* to, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
      const auto bits = std::bit_cast<uint32_t>(from[k]);
      const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
      uint32_t half = 0;
      if (magnitude > 0x7f800000u) {
        half = 0x7e00u;
      } else if (magnitude >= 0x477ff000u) {  // 65520 and above
        half = 0x7c00u;
      } else if (magnitude < 0x38800000u) {  // subnormal: the unit is 2^-24
        half = static_cast<uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f));
      } else {
        const uint32_t odd = magnitude >> 13 & 1;
        half = (magnitude - 0x38000000u + 0xfffu + odd) >> 13;
      }
      to[k] = static_cast<uint16_t>(sign | half);
    }
  }
};

#if defined(__x86_64__)
struct F16c {
  __attribute__((target("avx2,f16c"))) static void widen(const uint16_t* from, float* to,
                                                         int64_t n) {
    for (int64_t k = 0; k < n; k += 8) {
      const auto half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k));
      _mm256_storeu_ps(to + k, _mm256_cvtph_ps(half));
    }
  }
  __attribute__((target("avx2,f16c"))) static void narrow(const float* from, uint16_t* to,
                                                          int64_t n) {
    for (int64_t k = 0; k < n; k += 8) {
      const auto half = _mm256_cvtps_ph(_mm256_loadu_ps(from + k), _MM_FROUND_TO_NEAREST_INT);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k), half);
    }
  }
};
#endif

struct HalfConversion {
  void (*widen)(const uint16_t*, float*, int64_t);  // n a multiple of 16
  void (*narrow)(const float*, uint16_t*, int64_t);
};

HalfConversion best_conversion() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) {
    return {F16c::widen, F16c::narrow};
  }
#endif
  return {Portable::widen, Portable::narrow};
}

const HalfConversion& half_conversion() {
  static const HalfConversion best = best_conversion();
  return best;
}

// ---- what differs between the ways to store M ----

struct Float32 {
  using Entry = float;
  using Value = float;
  static constexpr double kLargest = std::numeric_limits<float>::max();
};
struct Float64 {
  using Entry = double;
  using Value = double;
  static constexpr double kLargest = std::numeric_limits<double>::max();
};
struct Float16 {
  using Entry = uint16_t;
  using Value = float;
  static constexpr double kLargest = 65519.996;  // what still rounds to 65504
  static void widen(const Entry* from, Value* to, int64_t n) {
    half_conversion().widen(from, to, n);
  }
  static void narrow(const Value* from, Entry* to, int64_t n) {
    half_conversion().narrow(from, to, n);
  }
};
struct Bfloat16 {
  using Entry = uint16_t;
  using Value = float;
  static constexpr double kLargest = 3.3895313e38;  // 0x7f7f
  static RITZ_INLINE void widen(const Entry* from, Value* to, int64_t n) {
    for (int64_t k = 0; k < n; ++k) to[k] = std::bit_cast<float>(uint32_t{from[k]} << 16);
  }
  static RITZ_INLINE void narrow(const Value* from, Entry* to, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
      const auto bits = std::bit_cast<uint32_t>(from[k]);
      to[k] = static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    }
  }
};

/// Vectors of a fixed length, whatever the processor's: sums are taken in the same order by all
/// clones.
template <class T>
struct Lanes {
  typedef T V __attribute__((vector_size(64)));
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef Int I __attribute__((vector_size(64)));
  static constexpr int64_t n = 64 / sizeof(T);
  static constexpr Int kMagnitude = std::numeric_limits<Int>::max();
};

/// Entries [j, j + n) of a row as values, padded with zeros to whole vectors: where they stand, or
/// in `buffer`.
template <class S>
RITZ_INLINE typename S::Value* values(const typename S::Entry* row, int64_t n,
                                      typename S::Value* buffer) {
  constexpr int64_t lanes = Lanes<typename S::Value>::n;
  const int64_t whole = n / lanes * lanes;
  if constexpr (std::is_same_v<typename S::Entry, typename S::Value>) {
    if (whole == n) return const_cast<typename S::Value*>(row);
    std::fill(buffer + whole, buffer + whole + lanes, 0);
    std::copy(row, row + n, buffer);
  } else {
    S::widen(row, buffer, whole);
    if (whole < n) {
      typename S::Entry rest[lanes] = {};
      std::copy(row + whole, row + n, rest);
      S::widen(rest, buffer + whole, lanes);
    }
  }
  return buffer;
}

// ---- u <- M v ----

template <class S>
struct TimesArguments {
  const typename S::Entry* M;
  const typename S::Value* v;  // padded with zeros to whole vectors
  typename S::Value* u;
  int64_t d, first, last;  // rows
  double *entry, *row_sum;
};

// Two products and sums, a maximum an entry; bytes: those of M.
template <class S>
RITZ_INLINE void times_rows(const TimesArguments<S>& a) {
  using T = typename S::Value;
  using L = Lanes<T>;
  using V = typename L::V;
  using I = typename L::I;
  alignas(64) T buffer[kChunk + L::n];
  V most = {};
  double row_sum = 0;
  for (int64_t i = a.first; i < a.last; ++i) {
    V dot[2] = {}, sum[2] = {};
    for (int64_t j = 0; j < a.d; j += kChunk) {
      const int64_t n = std::min(kChunk, a.d - j);
      const T* m = values<S>(a.M + i * a.d + j, n, buffer);
      for (int64_t k = 0; k < n; k += 2 * L::n) {
        for (int h = 0; h < 2; ++h) {
          const int64_t at = k + h * L::n;
          if (at >= n) break;
          V x, y;
          std::memcpy(&x, m + at, sizeof x);
          std::memcpy(&y, a.v + j + at, sizeof y);
          dot[h] += x * y;
          x = reinterpret_cast<V>(reinterpret_cast<I>(x) & L::kMagnitude);
          sum[h] += x;
          most = x > most ? x : most;
        }
      }
    }
    double total = 0, magnitude = 0;
    for (int64_t k = 0; k < L::n; ++k) {
      total += static_cast<double>(dot[0][k]) + static_cast<double>(dot[1][k]);
      magnitude += static_cast<double>(sum[0][k]) + static_cast<double>(sum[1][k]);
    }
    a.u[i] = static_cast<T>(total);
    row_sum = std::max(row_sum, magnitude);
  }
  *a.row_sum = row_sum;
  *a.entry = 0;
  for (int64_t k = 0; k < L::n; ++k) *a.entry = std::max<double>(*a.entry, most[k]);
}

// ---- M <- alpha M + beta I + sign w w^T ----

template <class S>
struct AddArguments {
  typename S::Entry* M;
  const typename S::Value* w;  // padded with zeros to whole vectors
  int64_t d, first, last;
  typename S::Value alpha, beta, sign;
  bool* finite;
};

template <class S>
RITZ_INLINE void store(typename S::Entry* row, const typename S::Value* m, int64_t n) {
  if constexpr (std::is_same_v<typename S::Entry, typename S::Value>) {
    if (m != row) std::copy(m, m + n, row);
  } else {
    constexpr int64_t lanes = Lanes<typename S::Value>::n;
    const int64_t whole = n / lanes * lanes;
    S::narrow(m, row, whole);
    if (whole < n) {
      typename S::Entry rest[lanes];
      S::narrow(m + whole, rest, lanes);
      std::copy(rest, rest + n - whole, row + whole);
    }
  }
}

// Two products, a sum and a comparison an entry; bytes: those of M, twice. (sign w_i) w_j and
// (sign w_j) w_i are the same number, so that M stays symmetric to the bit.
template <class S>
RITZ_INLINE void add_rows(const AddArguments<S>& a) {
  using T = typename S::Value;
  using L = Lanes<T>;
  using V = typename L::V;
  using I = typename L::I;
  alignas(64) T buffer[kChunk + L::n];
  const T largest = static_cast<T>(S::kLargest);
  I outside = {};
  bool finite = true;
  for (int64_t i = a.first; i < a.last; ++i) {
    const T wi = a.sign * a.w[i];
    for (int64_t j = 0; j < a.d; j += kChunk) {
      const int64_t n = std::min(kChunk, a.d - j);
      typename S::Entry* row = a.M + i * a.d + j;
      T* m = values<S>(row, n, buffer);
      const bool diagonal = j <= i && i < j + n;
      const T old = diagonal ? m[i - j] : 0;
      for (int64_t at = 0; at < n; at += L::n) {
        V x, y;
        std::memcpy(&x, m + at, sizeof x);
        std::memcpy(&y, a.w + j + at, sizeof y);
        x = a.alpha * x + wi * y;
        std::memcpy(m + at, &x, sizeof x);
        x = reinterpret_cast<V>(reinterpret_cast<I>(x) & L::kMagnitude);
        outside |= ~(x <= largest);
      }
      if (diagonal) {
        const T x = (a.alpha * old + wi * a.w[i]) + a.beta;
        m[i - j] = x;
        finite = finite && std::abs(x) <= largest;
      }
      store<S>(row, m, n);
    }
  }
  for (int64_t k = 0; k < L::n; ++k) finite = finite && outside[k] == 0;
  *a.finite = finite;
}

#define RITZ_ROWS(S)                                 \
  RITZ_CLONES void run(const TimesArguments<S>& a) { \
    times_rows(a);                                   \
  }                                                  \
  RITZ_CLONES void run(const AddArguments<S>& a) {   \
    add_rows(a);                                     \
  }
RITZ_ROWS(Float32)
RITZ_ROWS(Float64)
RITZ_ROWS(Float16)
RITZ_ROWS(Bfloat16)

template <class F>
auto with_storage(Stored stored, const F& f) {
  switch (stored) {
    case Stored::float32:
      return f(Float32{});
    case Stored::float64:
      return f(Float64{});
    case Stored::float16:
      return f(Float16{});
    case Stored::bfloat16:
      break;
  }
  return f(Bfloat16{});
}

template <class T>
std::vector<T> padded(const void* values, int64_t d) {
  std::vector<T> copy(static_cast<size_t>((d + Lanes<T>::n - 1) / Lanes<T>::n * Lanes<T>::n));
  std::memcpy(copy.data(), values, static_cast<size_t>(d) * sizeof(T));
  return copy;
}

void atomic_max(std::atomic<double>& most, double value) {
  double seen = most.load();
  while (value > seen && !most.compare_exchange_weak(seen, value)) {
  }
}

int64_t grain(int64_t d) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(d, 1));
}

}  // namespace

FactorNorms factor_times_vector(Stored stored, const void* M, const void* v, void* u, int64_t d) {
  std::atomic<double> entry{0}, row_sum{0};
  with_storage(stored, [&](auto storage) {
    using S = decltype(storage);
    using T = typename S::Value;
    const auto whole = padded<T>(v, d);
    parallel_for(0, d, grain(d), [&](int64_t first, int64_t last) {
      double most = 0, sum = 0;
      run(TimesArguments<S>{static_cast<const typename S::Entry*>(M), whole.data(),
                            static_cast<T*>(u), d, first, last, &most, &sum});
      atomic_max(entry, most);
      atomic_max(row_sum, sum);
    });
  });
  return {entry, row_sum};
}

bool add_rank_one(Stored stored, void* M, const void* w, int64_t d, double alpha, double beta,
                  double sign) {
  std::atomic<bool> finite{true};
  with_storage(stored, [&](auto storage) {
    using S = decltype(storage);
    using T = typename S::Value;
    const auto whole = padded<T>(w, d);
    parallel_for(0, d, grain(d), [&](int64_t first, int64_t last) {
      bool good = true;
      run(AddArguments<S>{static_cast<typename S::Entry*>(M), whole.data(), d, first, last,
                          static_cast<T>(alpha), static_cast<T>(beta), static_cast<T>(sign),
                          &good});
      if (!good) finite = false;
    });
  });
  return finite;
}

}  // namespace ritz::optim::detail
