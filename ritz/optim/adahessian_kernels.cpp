#include "ritz/optim/detail/adahessian_kernels.h"

#include <algorithm>
#include <cmath>

#include "ritz/base/detail/clones.h"
#include "ritz/base/parallel.h"

namespace ritz::optim::detail {

namespace {

constexpr int64_t kGrain = 1 << 15;  // elements: a thread's share must be worth its start
constexpr int64_t kTile = 2048;      // elements whose divisors are kept at hand
constexpr int kLanes = 16;

template <class T>
struct MeanArguments {
  const T *h, *z;
  T* out;
  int64_t n, block;
  T scale;
};

template <class T>
RITZ_INLINE T absolute(T x) {
  return x < 0 ? -x : x;
}

// Sums run over fixed lanes, so that they become vector code without being reordered at will.
template <class T>
RITZ_INLINE void means_loop(const MeanArguments<T>& a) {
  const T *h = a.h, *z = a.z;
  T* out = a.out;
  if (a.block == 1) {
    if (z == nullptr) {
      RITZ_INDEPENDENT
      for (int64_t i = 0; i < a.n; ++i) out[i] = a.scale * absolute(h[i]);
    } else {
      RITZ_INDEPENDENT
      for (int64_t i = 0; i < a.n; ++i) out[i] = a.scale * z[i] * h[i];
    }
    return;
  }
  for (int64_t first = 0, j = 0; first < a.n; first += a.block, ++j) {
    const int64_t count = std::min(a.block, a.n - first), whole = count / kLanes * kLanes;
    T lanes[kLanes] = {}, sum = 0;
    for (int64_t i = first; i < first + whole; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) {
        lanes[k] += z == nullptr ? absolute(h[i + k]) : z[i + k] * h[i + k];
      }
    }
    for (int64_t i = first + whole; i < first + count; ++i) {
      sum += z == nullptr ? absolute(h[i]) : z[i] * h[i];
    }
    for (const T lane : lanes) sum += lane;
    out[j] = a.scale * sum / T(count);
  }
}
RITZ_CLONES void run_means(const MeanArguments<float>& a) {
  means_loop(a);
}
RITZ_CLONES void run_means(const MeanArguments<double>& a) {
  means_loop(a);
}

template <class T>
struct UpdateArguments {
  T* w;
  const T* g;
  T *m, *v;
  const T* D;
  int64_t n, block;
  T b1, c1, b2, c2, eps, half_k, shrink, size, v_scale;
};

RITZ_INLINE float root(float x) {
  return __builtin_sqrtf(x);
}
RITZ_INLINE double root(double x) {
  return __builtin_sqrt(x);
}

/// size / ((v v_scale)^(k/2) + eps) for `count` blocks, v brought up to date where there is a D.
template <class T>
RITZ_INLINE void rates(const UpdateArguments<T>& a, int64_t first, int64_t count, T* rate) {
  T* v = a.v + first;
  if (a.D != nullptr) {
    const T* D = a.D + first;
    RITZ_INDEPENDENT
    for (int64_t j = 0; j < count; ++j) v[j] = a.b2 * v[j] + a.c2 * (D[j] * D[j]);
  }
  if (a.half_k == T(0.5)) {
    RITZ_INDEPENDENT
    for (int64_t j = 0; j < count; ++j) rate[j] = a.size / (root(v[j] * a.v_scale) + a.eps);
  } else {
    for (int64_t j = 0; j < count; ++j) {
      rate[j] = a.size / (std::pow(v[j] * a.v_scale, a.half_k) + a.eps);
    }
  }
}

template <class T>
RITZ_INLINE void element(const UpdateArguments<T>& a, int64_t i, T rate) {
  const T mi = a.b1 * a.m[i] + a.c1 * a.g[i];
  a.m[i] = mi;
  a.w[i] = a.shrink * a.w[i] - rate * mi;
}

template <class T>
RITZ_INLINE void update_loop(const UpdateArguments<T>& a) {
  T rate[kTile];
  if (a.block > kTile) {
    for (int64_t first = 0, j = 0; first < a.n; first += a.block, ++j) {
      rates(a, j, 1, rate);
      const T one = rate[0];
      const int64_t end = std::min(a.n, first + a.block);
      RITZ_INDEPENDENT
      for (int64_t i = first; i < end; ++i) element(a, i, one);
    }
    return;
  }
  const int64_t step = kTile / a.block * a.block;
  for (int64_t first = 0; first < a.n; first += step) {
    const int64_t count = std::min(step, a.n - first);
    const int64_t blocks = (count + a.block - 1) / a.block;
    rates(a, first / a.block, blocks, rate);
    // Spread each block's rate over its elements, from the back, in place.
    if (a.block > 1) {
      for (int64_t j = blocks - 1; j >= 0; --j) {
        const T one = rate[j];
        const int64_t begin = j * a.block, end = std::min(count, begin + a.block);
        for (int64_t i = begin; i < end; ++i) rate[i] = one;
      }
    }
    T* w = a.w + first;
    const T* g = a.g + first;
    T* m = a.m + first;
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) {
      const T mi = a.b1 * m[i] + a.c1 * g[i];
      m[i] = mi;
      w[i] = a.shrink * w[i] - rate[i] * mi;
    }
  }
}
RITZ_CLONES void run_update(const UpdateArguments<float>& a) {
  update_loop(a);
}
RITZ_CLONES void run_update(const UpdateArguments<double>& a) {
  update_loop(a);
}

/// Calls body(first element, elements) on shares that are whole blocks.
template <class Body>
void over_blocks(int64_t n, int64_t block, const Body& body) {
  const int64_t blocks = (n + block - 1) / block;
  parallel_for(0, blocks, std::max<int64_t>(1, kGrain / block), [&](int64_t j, int64_t end) {
    const int64_t first = j * block;
    body(first, j, std::min(n, end * block) - first);
  });
}

}  // namespace

template <class T>
void hessian_block_means(const T* h, const T* z, T* out, int64_t n, int64_t block, double scale) {
  over_blocks(n, block, [&](int64_t first, int64_t j, int64_t count) {
    run_means(MeanArguments<T>{h + first, z == nullptr ? nullptr : z + first, out + j, count, block,
                               T(scale)});
  });
}

template <class T>
void adahessian(T* w, const T* g, T* m, T* v, const T* D, int64_t n, int64_t block,
                const AdaHessianScalars& s) {
  over_blocks(n, block, [&](int64_t first, int64_t j, int64_t count) {
    run_update(UpdateArguments<T>{w + first, g + first, m + first, v + j,
                                  D == nullptr ? nullptr : D + j, count, block, T(s.beta1),
                                  T(1 - s.beta1), T(s.beta2), T(1 - s.beta2), T(s.eps), T(s.k / 2),
                                  T(s.shrink), T(s.step_size), T(s.v_scale)});
  });
}

#define RITZ_INSTANTIATE(T)                                                            \
  template void hessian_block_means(const T*, const T*, T*, int64_t, int64_t, double); \
  template void adahessian(T*, const T*, T*, T*, const T*, int64_t, int64_t,           \
                           const AdaHessianScalars&);
RITZ_INSTANTIATE(float)
RITZ_INSTANTIATE(double)

}  // namespace ritz::optim::detail
