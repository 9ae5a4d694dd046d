#include "ritz/rows/lp_sensitivity/detail/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ritz/base/detail/clones.h"

// CMakeLists.txt adds -O3 -ffast-math, so that sums and powers become vector code (libmvec): no
// number here may be NaN or infinite, and nobody here asks.

namespace ritz::rows::detail {
namespace {

using Double8 = double __attribute__((vector_size(64), aligned(8), may_alias));
constexpr int64_t kChunk = 256;  // rows that stay in the first cache for all columns' tiles

}  // namespace

RITZ_CLONES void multiply(const Columns& D, const double* x, double* y) {
  for (int64_t begin = 0; begin < D.stride; begin += kChunk) {
    const int64_t length = std::min(kChunk, D.stride - begin);
    double* const out = y + begin;
    for (int64_t k = 0; k < D.count; k += kTile) {
      const double* c0 = D.data + k * D.stride + begin;
      const double *c1 = c0 + D.stride, *c2 = c1 + D.stride, *c3 = c2 + D.stride;
      const double x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
      if (k == 0) {
        RITZ_INDEPENDENT
        for (int64_t i = 0; i < length; ++i)
          out[i] = (x0 * c0[i] + x1 * c1[i]) + (x2 * c2[i] + x3 * c3[i]);
      } else {
        RITZ_INDEPENDENT
        for (int64_t i = 0; i < length; ++i)
          out[i] += (x0 * c0[i] + x1 * c1[i]) + (x2 * c2[i] + x3 * c3[i]);
      }
    }
  }
}

RITZ_CLONES void multiply_transposed(const Columns& D, const double* y, double* g) {
  std::memset(g, 0, static_cast<size_t>(D.count) * sizeof(double));
  for (int64_t begin = 0; begin < D.stride; begin += kChunk) {
    const int64_t length = std::min(kChunk, D.stride - begin);
    const double* const in = y + begin;
    for (int64_t k = 0; k < D.count; k += kTile) {
      const double* c0 = D.data + k * D.stride + begin;
      const double *c1 = c0 + D.stride, *c2 = c1 + D.stride, *c3 = c2 + D.stride;
      double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (int64_t i = 0; i < length; ++i) {
        s0 += in[i] * c0[i];
        s1 += in[i] * c1[i];
        s2 += in[i] * c2[i];
        s3 += in[i] * c3[i];
      }
      g[k] += s0, g[k + 1] += s1, g[k + 2] += s2, g[k + 3] += s3;
    }
  }
}

// A tile of 4 x 4 entries: 16 sums in registers, eight loads for sixteen multiply-adds.
RITZ_CLONES void weighted_gram(const Columns& D, const double* w, double* G) {
  const int64_t k = D.count;
  std::memset(G, 0, static_cast<size_t>(k * k) * sizeof(double));
  alignas(64) double scaled[kTile * kChunk];
  for (int64_t begin = 0; begin < D.stride; begin += kChunk) {
    const int64_t length = std::min(kChunk, D.stride - begin);
    for (int64_t i = 0; i < k; i += kTile) {
      for (int64_t t = 0; t < kTile; ++t) {
        const double* column = D.data + (i + t) * D.stride + begin;
        RITZ_INDEPENDENT
        for (int64_t l = 0; l < length; ++l) scaled[t * kChunk + l] = w[begin + l] * column[l];
      }
      for (int64_t j = i; j < k; j += kTile) {
        const double* b = D.data + j * D.stride + begin;
        const int64_t s = D.stride;
        Double8 s00{}, s01{}, s02{}, s03{}, s10{}, s11{}, s12{}, s13{};
        Double8 s20{}, s21{}, s22{}, s23{}, s30{}, s31{}, s32{}, s33{};
        for (int64_t l = 0; l < length; l += kLane) {
          const Double8 a0 = *reinterpret_cast<const Double8*>(scaled + l);
          const Double8 a1 = *reinterpret_cast<const Double8*>(scaled + kChunk + l);
          const Double8 a2 = *reinterpret_cast<const Double8*>(scaled + 2 * kChunk + l);
          const Double8 a3 = *reinterpret_cast<const Double8*>(scaled + 3 * kChunk + l);
          const Double8 b0 = *reinterpret_cast<const Double8*>(b + l);
          const Double8 b1 = *reinterpret_cast<const Double8*>(b + s + l);
          const Double8 b2 = *reinterpret_cast<const Double8*>(b + 2 * s + l);
          const Double8 b3 = *reinterpret_cast<const Double8*>(b + 3 * s + l);
          s00 += a0 * b0, s01 += a0 * b1, s02 += a0 * b2, s03 += a0 * b3;
          s10 += a1 * b0, s11 += a1 * b1, s12 += a1 * b2, s13 += a1 * b3;
          s20 += a2 * b0, s21 += a2 * b1, s22 += a2 * b2, s23 += a2 * b3;
          s30 += a3 * b0, s31 += a3 * b1, s32 += a3 * b2, s33 += a3 * b3;
        }
        const Double8 sums[16] = {s00, s01, s02, s03, s10, s11, s12, s13,
                                  s20, s21, s22, s23, s30, s31, s32, s33};
        for (int64_t t = 0; t < 16; ++t) {
          double total = 0;
          for (int l = 0; l < 8; ++l) total += sums[t][l];
          G[(i + t / 4) * k + j + t % 4] += total;
        }
      }
    }
  }
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < i; ++j) G[i * k + j] = G[j * k + i];
}

RITZ_CLONES double largest(const double* a, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(a[i]));
  return most;
}

RITZ_CLONES double power_sum(const double* a, int64_t n, double p, double scale) {
  const double inverse = 1 / scale;
  double sum = 0;
  if (p == 1) {
    for (int64_t i = 0; i < n; ++i) sum += std::fabs(a[i]) * inverse;
  } else if (p == 2) {
    for (int64_t i = 0; i < n; ++i) sum += a[i] * inverse * (a[i] * inverse);
  } else {
    for (int64_t i = 0; i < n; ++i) sum += std::pow(std::fabs(a[i]) * inverse, p);
  }
  return sum;
}

RITZ_CLONES double newton_weights(const double* r, int64_t n, double p, double s, double floor,
                                  double least, double* w) {
  const double inverse = 1 / s, e = p - 2;
  double sum = 0;
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const double a = std::fabs(r[i]) * inverse;
    const double power = std::pow(std::max(a, floor), e);
    w[i] = std::max(power, least);
    sum += power * a * a;
  }
  return sum;
}

RITZ_CLONES Slope slope_along(const double* r, const double* d, int64_t n, double p, double s,
                              double t) {
  const double inverse = 1 / s, e = p - 2;
  double first = 0, second = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double step = d[i] * inverse, a = r[i] * inverse + t * step;
    const double power = std::pow(std::max(std::fabs(a), 1e-30), e);
    first += power * a * step;
    second += power * step * step;
  }
  return {first, (p - 1) * second};
}

RITZ_CLONES DualNorm dual_norm(const double* w, const double* a, int64_t n, double q) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(w[i] * a[i]));
  if (most == 0) return {};
  const double inverse = 1 / most;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::pow(std::fabs(w[i] * a[i]) * inverse, q);
  return {most, sum};
}

RITZ_CLONES void interior_start(const Interior& s, int64_t n, double p, double delta) {
  const double e = p - 1;
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    s.u[i] = std::max(s.r[i], 0.0) + delta;
    s.v[i] = std::max(-s.r[i], 0.0) + delta;
    s.y[i] = 0;
    s.alpha[i] = e == 0 ? 1 : std::pow(s.u[i], e);
    s.beta[i] = e == 0 ? 1 : std::pow(s.v[i], e);
  }
}

// phi(u) = u^p / p: phi' = u^(p-1), phi'' = (p-1) u^(p-2). At p = 1 both powers are constants, and
// loops are written apart. Divisions cost as much as twenty products: each reciprocal is taken
// once.
RITZ_CLONES Complementarity interior_affine(const Interior& s, int64_t n, double p) {
  double gap = 0, cost = 0;
  if (p == 1) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      const double u = s.u[i], v = s.v[i], al = s.alpha[i], be = s.beta[i];
      const double ia = 1 / al, ib = 1 / be, theta = 1 / (u * ia + v * ib);
      const double tu = -u * (1 - s.y[i]), tv = -v * (1 + s.y[i]);
      gap += al * u + be * v;
      cost += u + v;
      s.ia[i] = ia;
      s.ib[i] = ib;
      s.iu[i] = 1 / u;
      s.iv[i] = 1 / v;
      s.theta[i] = theta;
      s.tu[i] = tu;
      s.tv[i] = tv;
      s.g[i] = theta * (u - v + tu * ia - tv * ib);
    }
    return {gap, cost};
  }
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const double u = s.u[i], v = s.v[i], al = s.alpha[i], be = s.beta[i], y = s.y[i];
    const double pu = std::pow(u, p - 1), pv = std::pow(v, p - 1);
    const double ia = 1 / (al + (p - 1) * pu), ib = 1 / (be + (p - 1) * pv);
    // -alpha u - u (phi' - y - alpha) = -u (phi' - y)
    const double tu = -u * (pu - y), tv = -v * (pv + y);
    const double theta = 1 / (u * ia + v * ib);
    gap += al * u + be * v;
    cost += pu * u + pv * v;
    s.pu[i] = pu;
    s.pv[i] = pv;
    s.ia[i] = ia;
    s.ib[i] = ib;
    s.iu[i] = 1 / u;
    s.iv[i] = 1 / v;
    s.theta[i] = theta;
    s.tu[i] = tu;
    s.tv[i] = tv;
    s.g[i] = theta * (u - v + tu * ia - tv * ib);
  }
  return {gap, cost};
}

RITZ_CLONES void interior_dual_step(const Interior& s, int64_t n) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) s.dy[i] = s.theta[i] * s.Dx[i] - s.g[i];
}

RITZ_CLONES Reach interior_step(const Interior& s, int64_t n, double p) {
  double primal = 0, dual = 0;
  if (p == 1) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      const double y = s.y[i], dy = s.dy[i], ia = s.ia[i], ib = s.ib[i];
      const double du = (s.tu[i] + s.u[i] * dy) * ia, dv = (s.tv[i] - s.v[i] * dy) * ib;
      const double dal = 1 - y - s.alpha[i] - dy, dbe = 1 + y - s.beta[i] + dy;
      primal = std::max(primal, std::max(-du * s.iu[i], -dv * s.iv[i]));
      dual = std::max(dual, std::max(-dal * ia, -dbe * ib));
      s.du[i] = du;
      s.dv[i] = dv;
      s.dalpha[i] = dal;
      s.dbeta[i] = dbe;
    }
    return {primal, dual};
  }
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const double y = s.y[i], dy = s.dy[i], al = s.alpha[i], be = s.beta[i];
    const double iu = s.iu[i], iv = s.iv[i], pu = s.pu[i], pv = s.pv[i];
    const double du = (s.tu[i] + s.u[i] * dy) * s.ia[i], dv = (s.tv[i] - s.v[i] * dy) * s.ib[i];
    const double dal = (p - 1) * pu * iu * du - dy + pu - y - al;
    const double dbe = (p - 1) * pv * iv * dv + dy + pv + y - be;
    primal = std::max(primal, std::max(-du * iu, -dv * iv));
    dual = std::max(dual, std::max(-dal / al, -dbe / be));
    s.du[i] = du;
    s.dv[i] = dv;
    s.dalpha[i] = dal;
    s.dbeta[i] = dbe;
  }
  return {primal, dual};
}

RITZ_CLONES double interior_gap_after(const Interior& s, int64_t n, double primal, double dual) {
  double gap = 0;
  for (int64_t i = 0; i < n; ++i)
    gap += (s.u[i] + primal * s.du[i]) * (s.alpha[i] + dual * s.dalpha[i]) +
           (s.v[i] + primal * s.dv[i]) * (s.beta[i] + dual * s.dbeta[i]);
  return gap;
}

RITZ_CLONES void interior_corrector(const Interior& s, int64_t n, double mu) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const double tu = s.tu[i] + mu - s.du[i] * s.dalpha[i];
    const double tv = s.tv[i] + mu - s.dv[i] * s.dbeta[i];
    s.tu[i] = tu;
    s.tv[i] = tv;
    s.g[i] = s.theta[i] * (s.u[i] - s.v[i] + tu * s.ia[i] - tv * s.ib[i]);
  }
}

RITZ_CLONES void interior_move(const Interior& s, int64_t n, double primal, double dual) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    s.u[i] += primal * s.du[i];
    s.v[i] += primal * s.dv[i];
    s.y[i] += dual * s.dy[i];
    s.alpha[i] += dual * s.dalpha[i];
    s.beta[i] += dual * s.dbeta[i];
  }
}

RITZ_CLONES void repair_weights(const double* y, int64_t n, double scale, double least, double* w) {
  const double inverse = 1 / scale;
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const double a = y[i] * inverse;
    w[i] = std::max(1 - a * a, 0.0) + least;
  }
}

RITZ_CLONES void add_scaled(double a, const double* x, int64_t n, double* y) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

RITZ_CLONES void add_product(const double* w, const double* x, int64_t n, double* y) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) y[i] += w[i] * x[i];
}

}  // namespace ritz::rows::detail
