#include "ritz/koopman/detail/panel_cholesky.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// One binary for all processors.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RITZ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define RITZ_X86 1
#else
#define RITZ_CLONES
#endif
#define RITZ_INLINE [[gnu::always_inline]] inline

namespace ritz::koopman::detail {
namespace {

// Four complex numbers, interleaved; lowered to whatever registers there are. No function takes or
// returns one: the calling convention differs between instruction sets.
using Four = double __attribute__((vector_size(64), aligned(8), may_alias));
constexpr int kVectors = kPanel / 4;     // of a panel's column
constexpr int64_t kColumn = 2 * kPanel;  // doubles of it

#define RITZ_LOAD(pointer) (*reinterpret_cast<const Four*>(pointer))
#define RITZ_STORE(pointer, value) (*reinterpret_cast<Four*>(pointer) = (value))
/// -i v: (re, im) -> (im, -re).
#define RITZ_TURN(v) \
  (__builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6) * Four{1, -1, 1, -1, 1, -1, 1, -1})
#define RITZ_SUM(v) (((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])))

/// Columns j ... j + J - 1 of panel b: minus what the columns before them give. `row` points to
/// L_jk for k = 0. Complex products take no shuffle: c (p - i q) is put together once at the end
/// from the real sums of p c and q c.
template <int J>
RITZ_INLINE void subtract_products(const double* panel, const double* row, int64_t j,
                                   double* target) {
  Four p[J][kVectors] = {}, q[J][kVectors] = {};
  for (int64_t k = 0; k < j; ++k) {
    const double* column = panel + k * kColumn;
    const double* factors = row + k * kColumn;
    Four c[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) c[v] = RITZ_LOAD(column + 8 * v);
#pragma GCC unroll 4
    for (int a = 0; a < J; ++a) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        p[a][v] += c[v] * factors[2 * a];
        q[a][v] += c[v] * factors[2 * a + 1];
      }
    }
  }
#pragma GCC unroll 4
  for (int a = 0; a < J; ++a) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      double* at = target + a * kColumn + 8 * v;
      RITZ_STORE(at, RITZ_LOAD(at) - p[a][v] - RITZ_TURN(q[a][v]));
    }
  }
}

/// The columns' own triangle: target <- target T^{-*}, T [J, J] at `triangle` (L_j'j'').
template <int J>
RITZ_INLINE void solve_columns(const double* triangle, const double* inverse, double* target) {
#pragma GCC unroll 4
  for (int a = 0; a < J; ++a) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Four sum = RITZ_LOAD(target + a * kColumn + 8 * v);
      for (int before = 0; before < a; ++before) {
        const double* factor = triangle + before * kColumn + 2 * a;
        const Four c = RITZ_LOAD(target + before * kColumn + 8 * v);
        sum -= c * factor[0] + RITZ_TURN(c) * factor[1];
      }
      RITZ_STORE(target + a * kColumn + 8 * v, sum * inverse[a]);
    }
  }
}

/// Left-looking by J columns.
template <int J>
RITZ_INLINE bool factor_by(int64_t panels, double* H) {
  for (int64_t j = 0; j < panels * kPanel; j += J) {
    const int64_t first = j / kPanel, r = j % kPanel;
    double* own = H + PanelLayout::begin(first);
    const double* row = own + 2 * r;
    double triangle[J * kColumn], inverse[J];
    for (int64_t b = first; b < panels; ++b) {
      double* panel = H + PanelLayout::begin(b);
      double* target = panel + j * kColumn;
      subtract_products<J>(panel, row, j, target);
      if (b == first) {  // the small triangle itself, number by number
        double* t = target + 2 * r;
        for (int a = 0; a < J; ++a) {
          for (int c = 0; c < a; ++c) {  // t_ac <- (t_ac - sum_e<c t_ae conj(t_ce)) / t_cc
            double re = t[c * kColumn + 2 * a], im = t[c * kColumn + 2 * a + 1];
            for (int e = 0; e < c; ++e) {
              const double* u = t + e * kColumn + 2 * a;
              const double* w = t + e * kColumn + 2 * c;
              re -= u[0] * w[0] + u[1] * w[1];
              im -= u[1] * w[0] - u[0] * w[1];
            }
            t[c * kColumn + 2 * a] = re * inverse[c];
            t[c * kColumn + 2 * a + 1] = im * inverse[c];
          }
          double pivot = t[a * kColumn + 2 * a];
          for (int e = 0; e < a; ++e) {
            const double* u = t + e * kColumn + 2 * a;
            pivot -= u[0] * u[0] + u[1] * u[1];
          }
          if (!(pivot > 0) || !(pivot < 1e300)) return false;
          const double root = std::sqrt(pivot);
          inverse[a] = 1 / root;
          t[a * kColumn + 2 * a] = root;
          t[a * kColumn + 2 * a + 1] = 0;
        }
        // The rows below it in this panel are solved like any others, those of it kept.
        std::memcpy(triangle, t, sizeof(double) * static_cast<size_t>((J - 1) * kColumn + 2 * J));
        double saved[J][2 * J];
        for (int c = 0; c < J; ++c) std::memcpy(saved[c], t + c * kColumn, sizeof saved[c]);
        solve_columns<J>(triangle, inverse, target);
        for (int c = 0; c < J; ++c) std::memcpy(t + c * kColumn, saved[c], sizeof saved[c]);
      } else {
        solve_columns<J>(triangle, inverse, target);
      }
    }
  }
  return true;
}

#ifdef RITZ_X86
[[gnu::target("avx512f")]] bool factor_avx512(int64_t panels, double* H) {
  return factor_by<4>(panels, H);
}
[[gnu::target("avx2,fma")]] bool factor_avx2(int64_t panels, double* H) {
  return factor_by<1>(panels, H);
}
#endif

}  // namespace

void to_panels(const PanelLayout& layout, const double* matrix, double pad, double* panels) {
  std::fill(panels, panels + layout.size(), 0.);
  const int64_t n = layout.order();
  for (int64_t i = 0; i < layout.padded(); ++i) {
    if (i >= n) {
      panels[PanelLayout::at(i, i)] = pad;
      continue;
    }
    for (int64_t k = 0; k <= i; ++k) {
      std::memcpy(panels + PanelLayout::at(i, k), matrix + 2 * (i * n + k), 2 * sizeof(double));
    }
  }
}

RITZ_CLONES void shifted_normal_matrix(const PanelLayout& layout, const double* __restrict L,
                                       const double* __restrict P, const double* __restrict Q,
                                       double x, double y, double* __restrict H) {
  const int64_t size = PanelLayout::begin(layout.panels());
  for (int64_t i = 0; i < size; ++i) H[i] = L[i] - x * P[i] + y * Q[i];
  for (int64_t i = 0; i < layout.order(); ++i) {
    H[PanelLayout::begin(i / kPanel) + 2 * (i * kPanel + i % kPanel)] += x * x + y * y;
  }
}

bool factor(const PanelLayout& layout, double* H) {
#ifdef RITZ_X86
  if (__builtin_cpu_supports("avx512f")) return factor_avx512(layout.panels(), H);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return factor_avx2(layout.panels(), H);
  }
#endif
  return factor_by<1>(layout.panels(), H);
}

RITZ_CLONES void solve(const PanelLayout& layout, const double* __restrict C,
                       double* __restrict x) {
  const int64_t panels = layout.panels();
  // C y = x, panel by panel: x_b minus the columns before, then the panel's triangle.
  for (int64_t b = 0; b < panels; ++b) {
    const double* panel = C + kPanel * kPanel * b * (b + 1);
    double* own = x + b * kColumn;
    Four p[kVectors] = {}, q[kVectors] = {};
    for (int64_t k = 0; k < b * kPanel; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Four c = RITZ_LOAD(panel + k * kColumn + 8 * v);
        p[v] += c * x[2 * k];
        q[v] += c * x[2 * k + 1];
      }
    }
    for (int v = 0; v < kVectors; ++v) {  // c (re + i im) = re c + im (i c)
      RITZ_STORE(own + 8 * v, RITZ_LOAD(own + 8 * v) - p[v] + RITZ_TURN(q[v]));
    }
    const double* t = panel + b * kPanel * kColumn;
    for (int64_t k = 0; k < kPanel; ++k) {
      const double scale = 1 / t[k * kColumn + 2 * k];
      const double re = own[2 * k] * scale, im = own[2 * k + 1] * scale;
      own[2 * k] = re;
      own[2 * k + 1] = im;
      for (int64_t i = k + 1; i < kPanel; ++i) {
        const double* c = t + k * kColumn + 2 * i;
        own[2 * i] -= c[0] * re - c[1] * im;
        own[2 * i + 1] -= c[1] * re + c[0] * im;
      }
    }
  }
  // C^* x = y from the last panel: its triangle, then every column before loses its product.
  for (int64_t b = panels - 1; b >= 0; --b) {
    const double* panel = C + kPanel * kPanel * b * (b + 1);
    double* own = x + b * kColumn;
    const double* t = panel + b * kPanel * kColumn;
    for (int64_t k = kPanel - 1; k >= 0; --k) {
      double re = own[2 * k], im = own[2 * k + 1];
      for (int64_t i = k + 1; i < kPanel; ++i) {  // conj(c) x
        const double* c = t + k * kColumn + 2 * i;
        re -= c[0] * own[2 * i] + c[1] * own[2 * i + 1];
        im -= c[0] * own[2 * i + 1] - c[1] * own[2 * i];
      }
      const double scale = 1 / t[k * kColumn + 2 * k];
      own[2 * k] = re * scale;
      own[2 * k + 1] = im * scale;
    }
    Four direct[kVectors], turned[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      direct[v] = RITZ_LOAD(own + 8 * v);
      turned[v] = RITZ_TURN(direct[v]);
    }
    for (int64_t k = 0; k < b * kPanel; ++k) {
      Four re = {}, im = {};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Four c = RITZ_LOAD(panel + k * kColumn + 8 * v);
        re += c * direct[v];
        im += c * turned[v];  // c_re x_im - c_im x_re
      }
      x[2 * k] -= RITZ_SUM(re);
      x[2 * k + 1] -= RITZ_SUM(im);
    }
  }
}

RITZ_CLONES void dot(const double* __restrict a, const double* __restrict b, int64_t n,
                     double* __restrict result) {
  double re = 0, im = 0;
  for (int64_t i = 0; i < n; ++i) {
    re += a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    im += a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i];
  }
  result[0] = re;
  result[1] = im;
}

RITZ_CLONES void axpy(double re, double im, const double* __restrict x, double* __restrict y,
                      int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] += re * x[2 * i] - im * x[2 * i + 1];
    y[2 * i + 1] += re * x[2 * i + 1] + im * x[2 * i];
  }
}

}  // namespace ritz::koopman::detail
