#include "ritz/sequence/detail/fft_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "ritz/sequence/detail/clones.h"

// Vectors are passed between functions that are all inlined: there is no calling convention that
// could differ.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace ritz::sequence::detail {
namespace {

constexpr int64_t kLanes = kFftLanes;
constexpr int64_t kElement = 2 * kLanes;    // numbers
constexpr int64_t kFirstCache = 24 * 1024;  // bytes of a block that is finished at once

template <class Scalar>
struct Lanes;
template <>
struct Lanes<float> {
  using Vector = float __attribute__((vector_size(32)));
  using InMemory = float __attribute__((vector_size(32), aligned(4), may_alias));
  using Index = int32_t __attribute__((vector_size(32)));
};
template <>
struct Lanes<double> {
  using Vector = double __attribute__((vector_size(64)));
  using InMemory = double __attribute__((vector_size(64), aligned(8), may_alias));
  using Index = int64_t __attribute__((vector_size(64)));
};

template <class Scalar>
struct Complex {
  using Vector = typename Lanes<Scalar>::Vector;
  Vector re, im;
};
template <class Scalar>
RITZ_INLINE Complex<Scalar> load(const Scalar* x) {
  using InMemory = typename Lanes<Scalar>::InMemory;
  return {*reinterpret_cast<const InMemory*>(x), *reinterpret_cast<const InMemory*>(x + kLanes)};
}
template <class Scalar>
RITZ_INLINE void store(Scalar* x, const Complex<Scalar>& z) {
  using InMemory = typename Lanes<Scalar>::InMemory;
  *reinterpret_cast<InMemory*>(x) = z.re;
  *reinterpret_cast<InMemory*>(x + kLanes) = z.im;
}
template <class Scalar>
RITZ_INLINE Complex<Scalar> operator+(const Complex<Scalar>& a, const Complex<Scalar>& b) {
  return {a.re + b.re, a.im + b.im};
}
template <class Scalar>
RITZ_INLINE Complex<Scalar> operator-(const Complex<Scalar>& a, const Complex<Scalar>& b) {
  return {a.re - b.re, a.im - b.im};
}
template <class Scalar>
RITZ_INLINE Complex<Scalar> operator*(const Complex<Scalar>& a, const Complex<Scalar>& b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
/// conj(a) b
template <class Scalar>
RITZ_INLINE Complex<Scalar> conjugate_times(const Complex<Scalar>& a, const Complex<Scalar>& b) {
  return {a.re * b.re + a.im * b.im, a.re * b.im - a.im * b.re};
}
/// z times the scalar complex number at w, or its conjugate.
template <bool kInverse, class Scalar>
RITZ_INLINE Complex<Scalar> turn(const Complex<Scalar>& z, const Scalar* w) {
  const Scalar c = w[0], s = kInverse ? -w[1] : w[1];
  return {z.re * c - z.im * s, z.re * s + z.im * c};
}
/// z times -i (forward) or i.
template <bool kInverse, class Scalar>
RITZ_INLINE Complex<Scalar> quarter(const Complex<Scalar>& z) {
  if constexpr (kInverse) return {-z.im, z.re};
  return {z.im, -z.re};
}

template <bool kInverse, class Scalar>
RITZ_INLINE void butterfly4(Complex<Scalar>& a, Complex<Scalar>& b, Complex<Scalar>& c,
                            Complex<Scalar>& d) {
  const auto t0 = a + c, t1 = a - c, t2 = b + d, t3 = quarter<kInverse>(b - d);
  a = t0 + t2;
  b = t1 + t3;
  c = t0 - t2;
  d = t1 - t3;
}

/// One pass over a block of 4 m elements. 34 flops a lane and four elements.
template <bool kInverse, class Scalar>
RITZ_INLINE void pass4(int64_t m, const Scalar* w, Scalar* x) {
  const int64_t step = m * kElement;
  for (int64_t j = 0; j < m; ++j, x += kElement, w += 6) {
    auto a = load(x), b = load(x + step), c = load(x + 2 * step), d = load(x + 3 * step);
    if constexpr (kInverse) {
      b = turn<true>(b, w);
      c = turn<true>(c, w + 2);
      d = turn<true>(d, w + 4);
    }
    butterfly4<kInverse>(a, b, c, d);
    if constexpr (!kInverse) {
      b = turn<false>(b, w);
      c = turn<false>(c, w + 2);
      d = turn<false>(d, w + 4);
    }
    store(x, a);
    store(x + step, b);
    store(x + 2 * step, c);
    store(x + 3 * step, d);
  }
}
/// The last pass, without twiddles, over all blocks of four.
template <bool kInverse, class Scalar>
RITZ_INLINE void last_pass4(int64_t blocks, Scalar* x) {
  for (int64_t k = 0; k < blocks; ++k, x += 4 * kElement) {
    auto a = load(x), b = load(x + kElement), c = load(x + 2 * kElement),
         d = load(x + 3 * kElement);
    butterfly4<kInverse>(a, b, c, d);
    store(x, a);
    store(x + kElement, b);
    store(x + 2 * kElement, c);
    store(x + 3 * kElement, d);
  }
}
template <bool kInverse, class Scalar>
RITZ_INLINE void pass2(int64_t m, const Scalar* w, Scalar* x) {
  const int64_t step = m * kElement;
  for (int64_t j = 0; j < m; ++j, x += kElement, w += 2) {
    const auto a = load(x);
    auto b = load(x + step);
    if constexpr (kInverse) b = turn<true>(b, w);
    store(x, a + b);
    b = a - b;
    if constexpr (!kInverse) b = turn<false>(b, w);
    store(x + step, b);
  }
}
/// Radix 3 or 5, by the definition: once a transform at most.
template <bool kInverse, int kRadix, class Scalar>
RITZ_INLINE void pass_odd(int64_t m, const Scalar* w, Scalar* x) {
  Scalar roots[kRadix][2];
  for (int q = 0; q < kRadix; ++q) {
    roots[q][0] = static_cast<Scalar>(std::cos(2 * M_PI * q / kRadix));
    roots[q][1] = static_cast<Scalar>(-std::sin(2 * M_PI * q / kRadix));
  }
  const int64_t step = m * kElement;
  for (int64_t j = 0; j < m; ++j, x += kElement, w += 2 * (kRadix - 1)) {
    Complex<Scalar> in[kRadix];
    for (int q = 0; q < kRadix; ++q) {
      in[q] = load(x + q * step);
      if (kInverse && q > 0) in[q] = turn<true>(in[q], w + 2 * (q - 1));
    }
    for (int s = 0; s < kRadix; ++s) {
      auto sum = in[0];
      for (int q = 1; q < kRadix; ++q) sum = sum + turn<kInverse>(in[q], roots[s * q % kRadix]);
      if (!kInverse && s > 0) sum = turn<false>(sum, w + 2 * (s - 1));
      store(x + s * step, sum);
    }
  }
}

template <bool kInverse, class Scalar>
RITZ_INLINE void run_pass(const typename FftPlan<Scalar>::Stage& stage, Scalar* x) {
  const int64_t m = stage.length / stage.radix;
  const Scalar* w = stage.twiddles.data();
  if (stage.radix == 4)
    pass4<kInverse>(m, w, x);
  else if (stage.radix == 2)
    pass2<kInverse>(m, w, x);
  else if (stage.radix == 3)
    pass_odd<kInverse, 3>(m, w, x);
  else
    pass_odd<kInverse, 5>(m, w, x);
}

/// All blocks of the stage `at` and of those behind it within `length` elements, stage by stage.
template <bool kInverse, class Scalar>
RITZ_INLINE void finish(const FftPlan<Scalar>& plan, size_t at, int64_t length, Scalar* x) {
  const auto& stages = plan.stages();
  // Without the attribute a lambda would be compiled for the oldest processor.
  const auto all_blocks = [&](const typename FftPlan<Scalar>::Stage& stage)
      __attribute__((always_inline)) {
    if (stage.length == 4) return last_pass4<kInverse>(length / 4, x);
    for (int64_t k = 0; k < length; k += stage.length) run_pass<kInverse>(stage, x + k * kElement);
  };
  if constexpr (kInverse) {
    for (size_t k = stages.size(); k-- > at;) all_blocks(stages[k]);
  } else {
    for (size_t k = at; k < stages.size(); ++k) all_blocks(stages[k]);
  }
}

/// The first stage whose blocks stay in the first cache.
template <class Scalar>
RITZ_INLINE size_t cached_stage(const FftPlan<Scalar>& plan) {
  size_t at = 0;
  while (at + 1 < plan.stages().size() &&
         plan.stages()[at].length * kElement * static_cast<int64_t>(sizeof(Scalar)) > kFirstCache)
    ++at;
  return at;
}

template <bool kInverse, class Scalar>
RITZ_INLINE void columns(const FftPlan<Scalar>& plan, Scalar* x) {
  const auto& stages = plan.stages();
  const int64_t M = plan.size() / kLanes;
  const size_t inner = cached_stage(plan);
  const int64_t length = stages[inner].length;
  const auto large = [&](size_t k) __attribute__((always_inline)) {
    for (int64_t b = 0; b < M; b += stages[k].length)
      run_pass<kInverse>(stages[k], x + b * kElement);
  };
  if constexpr (!kInverse)
    for (size_t k = 0; k < inner; ++k) large(k);
  for (int64_t b = 0; b < M; b += length) finish<kInverse>(plan, inner, length, x + b * kElement);
  if constexpr (kInverse)
    for (size_t k = inner; k-- > 0;) large(k);
}

template <class Scalar, int kBit>
RITZ_INLINE void swap_bit(Complex<Scalar>* v) {
  using Index = typename Lanes<Scalar>::Index;
  Index low, high;
  for (int l = 0; l < kLanes; ++l) {
    low[l] = (l & kBit) != 0 ? kLanes + l - kBit : l;
    high[l] = (l & kBit) != 0 ? kLanes + l : l + kBit;
  }
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kBit) != 0) continue;
    const auto a = v[i], b = v[i + kBit];
    v[i] = {__builtin_shuffle(a.re, b.re, low), __builtin_shuffle(a.im, b.im, low)};
    v[i + kBit] = {__builtin_shuffle(a.re, b.re, high), __builtin_shuffle(a.im, b.im, high)};
  }
}
template <class Scalar>
RITZ_INLINE void transpose(Complex<Scalar>* v) {
  swap_bit<Scalar, 4>(v);
  swap_bit<Scalar, 2>(v);
  swap_bit<Scalar, 1>(v);
}

/// Eight-point transforms of eight vectors, natural order in and out.
template <bool kInverse, class Scalar>
RITZ_INLINE void butterfly8(Complex<Scalar>* v) {
  constexpr Scalar h = static_cast<Scalar>(0.70710678118654752440);
  const Scalar eighth[2] = {h, -h}, three[2] = {-h, -h};
  Complex<Scalar> even[4], odd[4];
  for (int q = 0; q < 4; ++q) {
    even[q] = v[q] + v[q + 4];
    odd[q] = v[q] - v[q + 4];
  }
  odd[1] = turn<kInverse>(odd[1], eighth);
  odd[2] = quarter<kInverse>(odd[2]);
  odd[3] = turn<kInverse>(odd[3], three);
  butterfly4<kInverse>(even[0], even[1], even[2], even[3]);
  butterfly4<kInverse>(odd[0], odd[1], odd[2], odd[3]);
  for (int q = 0; q < 4; ++q) {
    v[2 * q] = even[q];
    v[2 * q + 1] = odd[q];
  }
}

/// For eight elements at a time: into(v, offset) sees them as eight vectors of the spectrum, and
/// they go back where kBack. Twiddles on either side.
template <bool kForth, bool kBack, class Scalar, class Work>
RITZ_INLINE void across_lanes(const FftPlan<Scalar>& plan, Scalar* x, const Work& work) {
  const int64_t M = plan.size() / kLanes, count = plan.low_count();
  const Scalar* high = plan.high();
  for (int64_t block = 0; block < M; block += count, high += kElement) {
    const auto outer = load(high);
    const Scalar* low = plan.low();
    for (int64_t at = block; at < block + count; at += kLanes, low += kLanes * kElement) {
      Scalar* here = x + at * kElement;
      Complex<Scalar> v[kLanes];
      for (int e = 0; e < kLanes; ++e) {
        v[e] = load(here + e * kElement);
        if constexpr (kForth) v[e] = v[e] * (outer * load(low + e * kElement));
      }
      if constexpr (kForth) {
        transpose<Scalar>(v);
        butterfly8<false, Scalar>(v);
      }
      work(v, at * kElement);
      if constexpr (kBack) {
        butterfly8<true, Scalar>(v);
        transpose<Scalar>(v);
      }
      for (int e = 0; e < kLanes; ++e) {
        if constexpr (kBack) v[e] = conjugate_times(outer * load(low + e * kElement), v[e]);
        store(here + e * kElement, v[e]);
      }
    }
  }
}

template <class Scalar>
RITZ_INLINE void forward(const FftPlan<Scalar>& plan, Scalar* x) {
  columns<false>(plan, x);
  across_lanes<true, false>(plan, x, [](Complex<Scalar>*, int64_t) {});
}
template <class Scalar>
RITZ_INLINE void inverse(const FftPlan<Scalar>& plan, Scalar* x) {
  across_lanes<false, true>(plan, x, [](Complex<Scalar>*, int64_t) {});
  columns<true>(plan, x);
}
template <class Scalar>
RITZ_INLINE void filter(const FftPlan<Scalar>& plan, const Scalar* spectrum, Scalar* x) {
  columns<false>(plan, x);
  across_lanes<true, true>(
      plan, x, [=](Complex<Scalar> * v, int64_t at) __attribute__((always_inline)) {
        for (int e = 0; e < kLanes; ++e) v[e] = v[e] * load(spectrum + at + e * kElement);
      });
  columns<true>(plan, x);
}
template <class Scalar>
RITZ_INLINE void correlate(const FftPlan<Scalar>& plan, const Scalar* spectrum, const Scalar* other,
                           Scalar* sum, Scalar* x) {
  columns<false>(plan, x);
  across_lanes<true, true>(
      plan, x, [=](Complex<Scalar> * v, int64_t at) __attribute__((always_inline)) {
        for (int e = 0; e < kLanes; ++e) {
          const int64_t k = at + e * kElement;
          store(sum + k,
                load(static_cast<const Scalar*>(sum + k)) + conjugate_times(load(other + k), v[e]));
          v[e] = conjugate_times(load(spectrum + k), v[e]);
        }
      });
  columns<true>(plan, x);
}

template <class Scalar>
RITZ_INLINE void pack(int64_t M, int64_t count, const Scalar* first, const Scalar* second,
                      Scalar scale, Scalar* x) {
  const int64_t whole = count / kLanes;
  const auto part = [&](const Scalar* from, Scalar* to) __attribute__((always_inline)) {
    if (from == nullptr) {
      for (int64_t k = 0; k < M; ++k)
        for (int l = 0; l < kLanes; ++l) to[k * kElement + l] = 0;
      return;
    }
    for (int64_t k = 0; k < whole; ++k)
      for (int l = 0; l < kLanes; ++l) to[k * kElement + l] = scale * from[k * kLanes + l];
    for (int64_t k = whole; k < M; ++k)
      for (int64_t l = 0; l < kLanes; ++l)
        to[k * kElement + l] = k * kLanes + l < count ? scale * from[k * kLanes + l] : 0;
  };
  part(first, x);
  part(second, x + kLanes);
}

template <class Scalar>
RITZ_INLINE void unpack(int64_t count, const Scalar* x, Scalar direct, const Scalar* in,
                        Scalar* out) {
  const int64_t whole = count / kLanes;
  for (int64_t k = 0; k < whole; ++k)
    for (int l = 0; l < kLanes; ++l)
      out[k * kLanes + l] = x[k * kElement + l] + (in == nullptr ? 0 : direct * in[k * kLanes + l]);
  for (int64_t l = whole * kLanes; l < count; ++l)
    out[l] = x[whole * kElement + l - whole * kLanes] + (in == nullptr ? 0 : direct * in[l]);
}

// In parts of 1024, so that a float's rounding does not grow with the length.
template <class Scalar>
RITZ_INLINE Scalar dot_loop(int64_t count, const Scalar* a, const Scalar* b) {
  double total = 0;
  for (int64_t first = 0; first < count; first += 1024) {
    const int64_t last = std::min(count, first + 1024), whole = first + (last - first) / 16 * 16;
    Scalar lanes[16] = {};
    for (int64_t i = first; i < whole; i += 16)
      for (int l = 0; l < 16; ++l) lanes[l] += a[i + l] * b[i + l];
    for (int64_t i = whole; i < last; ++i) lanes[i - whole] += a[i] * b[i];
    for (const Scalar lane : lanes) total += static_cast<double>(lane);
  }
  return static_cast<Scalar>(total);
}

#define RITZ_FFT(Scalar)                                                                         \
  RITZ_CLONES Scalar run_dot(int64_t count, const Scalar* a, const Scalar* b) {                  \
    return dot_loop(count, a, b);                                                                \
  }                                                                                              \
  RITZ_CLONES void run_forward(const FftPlan<Scalar>& plan, Scalar* x) {                         \
    forward(plan, x);                                                                            \
  }                                                                                              \
  RITZ_CLONES void run_inverse(const FftPlan<Scalar>& plan, Scalar* x) {                         \
    inverse(plan, x);                                                                            \
  }                                                                                              \
  RITZ_CLONES void run_filter(const FftPlan<Scalar>& plan, const Scalar* spectrum, Scalar* x) {  \
    filter(plan, spectrum, x);                                                                   \
  }                                                                                              \
  RITZ_CLONES void run_correlate(const FftPlan<Scalar>& plan, const Scalar* spectrum,            \
                                 const Scalar* other, Scalar* sum, Scalar* x) {                  \
    correlate(plan, spectrum, other, sum, x);                                                    \
  }                                                                                              \
  RITZ_CLONES void run_pack(int64_t M, int64_t count, const Scalar* first, const Scalar* second, \
                            Scalar scale, Scalar* x) {                                           \
    pack(M, count, first, second, scale, x);                                                     \
  }                                                                                              \
  RITZ_CLONES void run_unpack(int64_t count, const Scalar* x, Scalar direct, const Scalar* in,   \
                              Scalar* out) {                                                     \
    unpack(count, x, direct, in, out);                                                           \
  }
RITZ_FFT(float)
RITZ_FFT(double)
#undef RITZ_FFT

}  // namespace

template <class Scalar>
FftPlan<Scalar>::FftPlan(int64_t least) {
  N_ = 0;
  for (const int64_t odd : {1, 3, 5}) {
    int64_t size = 64 * odd;
    while (size < least) size *= 2;
    if (N_ == 0 || size < N_) N_ = size;
  }
  int64_t length = N_ / kLanes;
  std::vector<int64_t> radices;
  int64_t rest = length;
  for (const int64_t odd : {3, 5})
    if (rest % odd == 0) {
      radices.push_back(odd);
      rest /= odd;
    }
  int64_t fours = 0;
  while (rest % 4 == 0) {
    rest /= 4;
    ++fours;
  }
  if (rest == 2) radices.push_back(2);
  radices.insert(radices.end(), static_cast<size_t>(fours), 4);
  for (const int64_t radix : radices) {
    Stage stage{radix, length, {}};
    for (int64_t j = 0; j < length / radix; ++j)
      for (int64_t s = 1; s < radix; ++s) {
        const double angle = -2 * M_PI * static_cast<double>(s * j) / static_cast<double>(length);
        stage.twiddles.push_back(static_cast<Scalar>(std::cos(angle)));
        stage.twiddles.push_back(static_cast<Scalar>(std::sin(angle)));
      }
    stages_.push_back(std::move(stage));
    length /= radix;
  }
  // Position p = sum_i d_i (length of stage i) / radix_i holds the frequency sum_i d_i prod_{k < i}
  // radix_k: additive in the digits, so that twiddles factor into those of the last digits (`low`)
  // and of the others.
  const int64_t M = N_ / kLanes;
  low_count_ = 1;
  for (size_t i = radices.size(); i-- > 0 && low_count_ * radices[i] <= 64;)
    low_count_ *= radices[i];
  const auto frequency = [&](int64_t position) {
    int64_t k = 0, weight = 1;
    for (const auto& stage : stages_) {
      const int64_t block = stage.length / stage.radix;
      k += position / block * weight;
      position %= block;
      weight *= stage.radix;
    }
    return k;
  };
  const auto add = [&](int64_t position, std::vector<Scalar>& table) {
    const double k = static_cast<double>(frequency(position)) / static_cast<double>(N_);
    for (const bool sine : {false, true})
      for (int64_t j = 0; j < kLanes; ++j) {
        const double angle = -2 * M_PI * k * static_cast<double>(j);
        table.push_back(static_cast<Scalar>(sine ? std::sin(angle) : std::cos(angle)));
      }
  };
  for (int64_t p = 0; p < M; p += low_count_) add(p, high_);
  for (int64_t p = 0; p < low_count_; ++p) add(p, low_);
}

template <class Scalar>
FftBuffer<Scalar>::FftBuffer(int64_t numbers)
    : data_(static_cast<Scalar*>(
          std::aligned_alloc(64, (static_cast<size_t>(numbers) * sizeof(Scalar) + 63) / 64 * 64))) {
  if (data_ == nullptr) throw std::bad_alloc();
}
template <class Scalar>
FftBuffer<Scalar>::~FftBuffer() {
  std::free(data_);
}

template <class Scalar>
void fft_pack(const FftPlan<Scalar>& plan, int64_t count, const Scalar* first, const Scalar* second,
              Scalar scale, Scalar* row) {
  run_pack(plan.size() / kLanes, count, first, second, scale, row);
}
template <class Scalar>
void fft_unpack(const FftPlan<Scalar>&, int64_t count, const Scalar* row, Scalar direct,
                const Scalar* in_first, const Scalar* in_second, Scalar* first, Scalar* second) {
  run_unpack(count, row, direct, in_first, first);
  if (second != nullptr) run_unpack(count, row + kLanes, direct, in_second, second);
}
template <class Scalar>
void fft_forward(const FftPlan<Scalar>& plan, Scalar* row) {
  run_forward(plan, row);
}
template <class Scalar>
void fft_inverse(const FftPlan<Scalar>& plan, Scalar* row) {
  run_inverse(plan, row);
}
template <class Scalar>
void fft_filter(const FftPlan<Scalar>& plan, const Scalar* spectrum, Scalar* row) {
  run_filter(plan, spectrum, row);
}
template <class Scalar>
void fft_correlate(const FftPlan<Scalar>& plan, const Scalar* spectrum, const Scalar* other,
                   Scalar* sum, Scalar* row) {
  run_correlate(plan, spectrum, other, sum, row);
}
template <class Scalar>
Scalar dot(int64_t count, const Scalar* a, const Scalar* b) {
  return run_dot(count, a, b);
}

#define RITZ_FFT(Scalar)                                                                          \
  template Scalar dot(int64_t, const Scalar*, const Scalar*);                                     \
  template class FftPlan<Scalar>;                                                                 \
  template class FftBuffer<Scalar>;                                                               \
  template void fft_pack(const FftPlan<Scalar>&, int64_t, const Scalar*, const Scalar*, Scalar,   \
                         Scalar*);                                                                \
  template void fft_unpack(const FftPlan<Scalar>&, int64_t, const Scalar*, Scalar, const Scalar*, \
                           const Scalar*, Scalar*, Scalar*);                                      \
  template void fft_forward(const FftPlan<Scalar>&, Scalar*);                                     \
  template void fft_inverse(const FftPlan<Scalar>&, Scalar*);                                     \
  template void fft_filter(const FftPlan<Scalar>&, const Scalar*, Scalar*);                       \
  template void fft_correlate(const FftPlan<Scalar>&, const Scalar*, const Scalar*, Scalar*,      \
                              Scalar*);
RITZ_FFT(float)
RITZ_FFT(double)
#undef RITZ_FFT

}  // namespace ritz::sequence::detail
