#include "ritz/sequence/detail/cauchy_kernels.h"

#include <algorithm>

#include "ritz/sequence/detail/clones.h"

namespace ritz::sequence::detail {
namespace {

constexpr int64_t kBlock = 256;  // frequencies whose sums stay in the first cache
constexpr int kSums = 4;
constexpr int kLanes = 8;

struct Term {
  double wr, wi;
  double vr[kSums], vi[kSums];
};
RITZ_INLINE Term term_of(int64_t N, int64_t n, const double* w, const double* v) {
  Term t;
  t.wr = w[n];
  t.wi = w[N + n];
  for (int k = 0; k < kSums; ++k) {
    t.vr[k] = v[2 * k * N + n];
    t.vi[k] = v[(2 * k + 1) * N + n];
  }
  return t;
}

// r_k += v_k a + conj(v_k) b, a = 1 / (i s - c w), b = 1 / (i s - c conj(w)). About 36 flops.
RITZ_INLINE void add_loop(const Term& t, int64_t F, int64_t count, const double* s, const double* c,
                          double* r) {
  RITZ_INDEPENDENT
  for (int64_t f = 0; f < count; ++f) {
    const double x = -c[f] * t.wr, low = s[f] - c[f] * t.wi, high = s[f] + c[f] * t.wi;
    const double p = 1 / (x * x + low * low), q = 1 / (x * x + high * high);
    const double ar = x * p, ai = -low * p, br = x * q, bi = -high * q;
    for (int k = 0; k < kSums; ++k) {
      r[2 * k * F + f] += t.vr[k] * (ar + br) - t.vi[k] * (ai - bi);
      r[(2 * k + 1) * F + f] += t.vr[k] * (ai + bi) + t.vi[k] * (ar - br);
    }
  }
}

// dv_k = sum_f g conj(a) + conj(g) b; dw = sum_f c (conj(G a^2) + H b^2), G = sum_k conj(g_k) v_k,
// H = sum_k conj(g_k) conj(v_k). About 100 flops.
RITZ_INLINE void gradient_loop(const Term& t, int64_t F, int64_t count, const double* s,
                               const double* c, const double* g, double* dw, double (*dv)[2]) {
  double sums[2 + 2 * kSums][kLanes] = {};
  for (int64_t first = 0; first < count; first += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const int64_t f = first + l;
      const double x = -c[f] * t.wr, low = s[f] - c[f] * t.wi, high = s[f] + c[f] * t.wi;
      const double p = 1 / (x * x + low * low), q = 1 / (x * x + high * high);
      const double ar = x * p, ai = -low * p, br = x * q, bi = -high * q;
      double Gr = 0, Gi = 0, Hr = 0, Hi = 0;
      for (int k = 0; k < kSums; ++k) {
        const double gr = g[2 * k * F + f], gi = g[(2 * k + 1) * F + f];
        Gr += gr * t.vr[k] + gi * t.vi[k];
        Gi += gr * t.vi[k] - gi * t.vr[k];
        Hr += gr * t.vr[k] - gi * t.vi[k];
        Hi -= gr * t.vi[k] + gi * t.vr[k];
        sums[2 + 2 * k][l] += gr * (ar + br) + gi * (ai + bi);
        sums[3 + 2 * k][l] += gi * (ar - br) - gr * (ai - bi);
      }
      const double a2r = ar * ar - ai * ai, a2i = 2 * ar * ai;
      const double b2r = br * br - bi * bi, b2i = 2 * br * bi;
      sums[0][l] += c[f] * (Gr * a2r - Gi * a2i + Hr * b2r - Hi * b2i);
      sums[1][l] += c[f] * (Hr * b2i + Hi * b2r - Gr * a2i - Gi * a2r);
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    dw[0] += sums[0][l];
    dw[1] += sums[1][l];
    for (int k = 0; k < kSums; ++k) {
      dv[k][0] += sums[2 + 2 * k][l];
      dv[k][1] += sums[3 + 2 * k][l];
    }
  }
}

RITZ_CLONES void add(const Term& t, int64_t F, int64_t count, const double* s, const double* c,
                     double* r) {
  add_loop(t, F, count, s, c, r);
}
RITZ_CLONES void add_gradient(const Term& t, int64_t F, int64_t count, const double* s,
                              const double* c, const double* g, double* dw, double (*dv)[2]) {
  gradient_loop(t, F, count, s, c, g, dw, dv);
}

}  // namespace

void cauchy_forward(int64_t N, int64_t F, const double* w, const double* v, const double* s,
                    const double* c, double* r) {
  std::fill_n(r, 2 * kSums * F, 0.0);
  for (int64_t first = 0; first < F; first += kBlock)
    for (int64_t n = 0; n < N; ++n)
      add(term_of(N, n, w, v), F, std::min(kBlock, F - first), s + first, c + first, r + first);
}

void cauchy_backward(int64_t N, int64_t F, const double* w, const double* v, const double* s,
                     const double* c, const double* g, double* dw, double* dv) {
  std::fill_n(dw, 2 * N, 0.0);
  std::fill_n(dv, 2 * kSums * N, 0.0);
  const int64_t whole = F / kLanes * kLanes;
  // What is left of whole vectors, with c = 0 and g = 0 in the rest: such terms add nothing.
  double s_tail[kLanes], c_tail[kLanes], g_tail[2 * kSums * kLanes] = {};
  for (int64_t l = 0; l < kLanes; ++l) {
    const bool inside = whole + l < F;
    s_tail[l] = inside ? s[whole + l] : 1;
    c_tail[l] = inside ? c[whole + l] : 0;
    for (int64_t k = 0; k < 2 * kSums; ++k)
      g_tail[k * kLanes + l] = inside ? g[k * F + whole + l] : 0;
  }
  const auto put = [&](int64_t n, const double* to_w, const double(*to_v)[2]) {
    for (int part = 0; part < 2; ++part) {
      dw[part * N + n] += to_w[part];
      for (int k = 0; k < kSums; ++k) dv[(2 * k + part) * N + n] += to_v[k][part];
    }
  };
  for (int64_t first = 0; first < F; first += kBlock) {
    const bool end = first + kBlock >= F;
    const int64_t count = std::min(kBlock, whole - first);
    for (int64_t n = 0; n < N; ++n) {
      const Term t = term_of(N, n, w, v);
      double to_w[2] = {}, to_v[kSums][2] = {};
      if (count > 0) add_gradient(t, F, count, s + first, c + first, g + first, to_w, to_v);
      if (end && whole < F) add_gradient(t, kLanes, kLanes, s_tail, c_tail, g_tail, to_w, to_v);
      put(n, to_w, to_v);
    }
  }
}

}  // namespace ritz::sequence::detail
