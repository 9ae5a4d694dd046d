#include "ritz/optim/detail/kernels.h"
#include "ritz/base/parallel.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ritz/base/detail/clones.h"

namespace ritz::optim::detail {

namespace {

// A thread's share must be worth its start.
constexpr int64_t kGrain = 1 << 15;
// Norms are summed over fixed blocks and lanes, whatever the threads: kRun terms a lane in T, which
// loses no more than kRun eps of their sum, the rest in double.
constexpr int64_t kBlock = 1 << 13;
constexpr int kLanes = 32;
constexpr int64_t kRun = 32;

RITZ_INLINE float root(float x) {
  return __builtin_sqrtf(x);
}
RITZ_INLINE double root(double x) {
  return __builtin_sqrt(x);
}

template <class T>
struct SgdArguments {
  T* w;
  const T* g;
  T* b;
  int64_t n;
  T lr, momentum, gradient_weight, decay, direct, indirect;
};

template <class T>
RITZ_INLINE void sgd_loop(const SgdArguments<T>& a) {
  T* w = a.w;
  const T* g = a.g;
  T* b = a.b;
  const auto [lr, mu, gw, decay, direct, indirect] =
      std::array{a.lr, a.momentum, a.gradient_weight, a.decay, a.direct, a.indirect};
  if (b == nullptr) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < a.n; ++i) w[i] -= lr * (g[i] + decay * w[i]);
    return;
  }
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < a.n; ++i) {
    const T d = g[i] + decay * w[i];
    const T next = mu * b[i] + gw * d;
    b[i] = next;
    w[i] -= lr * (direct * d + indirect * next);
  }
}
RITZ_CLONES void run(const SgdArguments<float>& a) {
  sgd_loop(a);
}
RITZ_CLONES void run(const SgdArguments<double>& a) {
  sgd_loop(a);
}

template <class T>
struct AdamArguments {
  T* w;
  const T* g;
  T *m, *v;
  int64_t n;
  T b1, c1, b2, c2, eps, decay, shrink, size, scale;
};

template <class T>
RITZ_INLINE void adam_loop(const AdamArguments<T>& a) {
  T* w = a.w;
  const T* g = a.g;
  T* m = a.m;
  T* v = a.v;
  const auto [b1, c1, b2, c2, eps, decay, shrink, size, scale] =
      std::array{a.b1, a.c1, a.b2, a.c2, a.eps, a.decay, a.shrink, a.size, a.scale};
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < a.n; ++i) {
    const T d = g[i] + decay * w[i];
    const T mi = b1 * m[i] + c1 * d;
    const T vi = b2 * v[i] + c2 * (d * d);
    m[i] = mi;
    v[i] = vi;
    w[i] = shrink * w[i] - size * mi / (root(vi) * scale + eps);
  }
}
RITZ_CLONES void run(const AdamArguments<float>& a) {
  adam_loop(a);
}
RITZ_CLONES void run(const AdamArguments<double>& a) {
  adam_loop(a);
}

template <class T>
struct AdagradArguments {
  T* w;
  const T* g;
  T* s;
  int64_t n;
  T lr, eps, decay;
};

template <class T>
RITZ_INLINE void adagrad_loop(const AdagradArguments<T>& a) {
  T* w = a.w;
  const T* g = a.g;
  T* s = a.s;
  const auto [lr, eps, decay] = std::array{a.lr, a.eps, a.decay};
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < a.n; ++i) {
    const T d = g[i] + decay * w[i];
    const T si = s[i] + d * d;
    s[i] = si;
    w[i] -= lr * d / (root(si) + eps);
  }
}
RITZ_CLONES void run(const AdagradArguments<float>& a) {
  adagrad_loop(a);
}
RITZ_CLONES void run(const AdagradArguments<double>& a) {
  adagrad_loop(a);
}

template <class T>
struct LambArguments {
  T* w;
  const T* g;
  T *m, *v, *r;
  int64_t n;
  T b1, c1, b2, c2, eps, decay, m_scale, root_scale, rate;
  double w2, r2;
};

template <class T>
RITZ_INLINE void lamb_moments_loop(LambArguments<T>& a) {
  const T* w = a.w;
  const T* g = a.g;
  T *m = a.m, *v = a.v, *r = a.r;
  const auto [b1, c1, b2, c2, eps, decay, ms, rs] =
      std::array{a.b1, a.c1, a.b2, a.c2, a.eps, a.decay, a.m_scale, a.root_scale};
  const auto element = [&](int64_t i, T& w2, T& r2) {
    const T mi = b1 * m[i] + c1 * g[i];
    const T vi = b2 * v[i] + c2 * (g[i] * g[i]);
    m[i] = mi;
    v[i] = vi;
    const T ri = mi * ms / (root(vi) * rs + eps) + decay * w[i];
    if (r != nullptr) r[i] = ri;
    w2 += w[i] * w[i];
    r2 += ri * ri;
  };
  for (int64_t run = 0; run < a.n; run += kRun * kLanes) {
    T w2[kLanes] = {}, r2[kLanes] = {};
    const int64_t end = std::min(a.n, run + kRun * kLanes);
    int64_t i = run;
    for (; i + kLanes <= end; i += kLanes) {
      RITZ_INDEPENDENT
      for (int k = 0; k < kLanes; ++k) element(i + k, w2[k], r2[k]);
    }
    for (; i < end; ++i) element(i, w2[0], r2[0]);
    for (int k = 0; k < kLanes; ++k) {
      a.w2 += static_cast<double>(w2[k]);
      a.r2 += static_cast<double>(r2[k]);
    }
  }
}
RITZ_CLONES void run_moments(LambArguments<float>& a) {
  lamb_moments_loop(a);
}
RITZ_CLONES void run_moments(LambArguments<double>& a) {
  lamb_moments_loop(a);
}

template <class T>
RITZ_INLINE void lamb_apply_loop(const LambArguments<T>& a) {
  T* w = a.w;
  const T *m = a.m, *v = a.v, *r = a.r;
  const auto [eps, decay, ms, rs, rate] =
      std::array{a.eps, a.decay, a.m_scale, a.root_scale, a.rate};
  if (r != nullptr) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < a.n; ++i) w[i] -= rate * r[i];
    return;
  }
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < a.n; ++i) {
    w[i] -= rate * (m[i] * ms / (root(v[i]) * rs + eps) + decay * w[i]);
  }
}
RITZ_CLONES void run_apply(const LambArguments<float>& a) {
  lamb_apply_loop(a);
}
RITZ_CLONES void run_apply(const LambArguments<double>& a) {
  lamb_apply_loop(a);
}

template <class T>
LambArguments<T> lamb_arguments(const LambScalars& s) {
  return {.w = nullptr,
          .g = nullptr,
          .m = nullptr,
          .v = nullptr,
          .r = nullptr,
          .n = 0,
          .b1 = T(s.beta1),
          .c1 = T(1 - s.beta1),
          .b2 = T(s.beta2),
          .c2 = T(1 - s.beta2),
          .eps = T(s.eps),
          .decay = T(s.weight_decay),
          .m_scale = T(s.m_scale),
          .root_scale = T(s.root_scale),
          .rate = T(0),
          .w2 = 0,
          .r2 = 0};
}

}  // namespace

template <class T>
void sgd(T* w, const T* g, T* b, int64_t n, const SgdScalars& s) {
  parallel_for(0, n, kGrain, [&](int64_t i, int64_t end) {
    run(SgdArguments<T>{w + i, g + i, b == nullptr ? nullptr : b + i, end - i, T(s.lr),
                        T(s.momentum), T(s.gradient_weight), T(s.weight_decay),
                        T(s.nesterov ? 1 : 0), T(s.nesterov ? s.momentum : 1)});
  });
}

template <class T>
void adam(T* w, const T* g, T* m, T* v, int64_t n, const AdamScalars& s) {
  parallel_for(0, n, kGrain, [&](int64_t i, int64_t end) {
    run(AdamArguments<T>{w + i, g + i, m + i, v + i, end - i, T(s.beta1), T(1 - s.beta1),
                         T(s.beta2), T(1 - s.beta2), T(s.eps), T(s.coupled_decay), T(s.shrink),
                         T(s.step_size), T(s.inverse_root)});
  });
}

template <class T>
void adagrad(T* w, const T* g, T* sum, int64_t n, const AdagradScalars& s) {
  parallel_for(0, n, kGrain, [&](int64_t i, int64_t end) {
    run(AdagradArguments<T>{w + i, g + i, sum + i, end - i, T(s.lr), T(s.eps), T(s.weight_decay)});
  });
}

template <class T>
LambNorms lamb_moments(const T* w, const T* g, T* m, T* v, T* r, int64_t n, const LambScalars& s) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  std::vector<LambNorms> sums(blocks);
  parallel_for(0, blocks, kGrain / kBlock, [&](int64_t first, int64_t last) {
    auto a = lamb_arguments<T>(s);
    for (int64_t block = first; block < last; ++block) {
      const int64_t i = block * kBlock;
      a.w = const_cast<T*>(w) + i;
      a.g = g + i;
      a.m = m + i;
      a.v = v + i;
      a.r = r == nullptr ? nullptr : r + i;
      a.n = std::min(kBlock, n - i);
      a.w2 = a.r2 = 0;
      run_moments(a);
      sums[block] = {a.w2, a.r2};
    }
  });
  LambNorms total;
  for (const LambNorms& sum : sums) {
    total.w2 += sum.w2;
    total.r2 += sum.r2;
  }
  return total;
}

template <class T>
void lamb_apply(T* w, const T* m, const T* v, const T* r, int64_t n, double rate,
                const LambScalars& s) {
  parallel_for(0, n, kGrain, [&](int64_t i, int64_t end) {
    auto a = lamb_arguments<T>(s);
    a.w = w + i;
    a.m = const_cast<T*>(m) + i;
    a.v = const_cast<T*>(v) + i;
    a.r = r == nullptr ? nullptr : const_cast<T*>(r) + i;
    a.n = end - i;
    a.rate = T(rate);
    run_apply(a);
  });
}

#define RITZ_INSTANTIATE(T)                                                                     \
  template void sgd(T*, const T*, T*, int64_t, const SgdScalars&);                              \
  template void adam(T*, const T*, T*, T*, int64_t, const AdamScalars&);                        \
  template void adagrad(T*, const T*, T*, int64_t, const AdagradScalars&);                      \
  template LambNorms lamb_moments(const T*, const T*, T*, T*, T*, int64_t, const LambScalars&); \
  template void lamb_apply(T*, const T*, const T*, const T*, int64_t, double, const LambScalars&);
RITZ_INSTANTIATE(float)
RITZ_INSTANTIATE(double)

}  // namespace ritz::optim::detail
