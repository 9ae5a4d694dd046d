#include <algorithm>
#include <vector>

#include "ritz/base/parallel.h"
#include "ritz/sequence/detail/lanes.h"
#include "ritz/sequence/detail/scan_kernels.h"

namespace ritz::sequence::detail {
namespace {

constexpr int64_t kLanes = 8;
constexpr int64_t kKeep = 64;  // steps between the states that backward keeps

int64_t padded(int64_t N) {
  return (N + kLanes - 1) / kLanes * kLanes;
}

/// a, b, c of one system, each real then imaginary, padded with zeros to whole vectors.
struct System {
  int64_t N;
  const double *ar, *ai, *br, *bi, *cr, *ci;
  explicit System(const double* c, int64_t width)
      : N(width),
        ar(c),
        ai(c + width),
        br(c + 2 * width),
        bi(c + 3 * width),
        cr(c + 4 * width),
        ci(c + 5 * width) {}
};

// x <- a x + b u; returns sum Re(c x).
RITZ_INLINE double step_loop(const System& s, double u, double* xr, double* xi) {
  Double8 sum = {};
  for (int64_t k = 0; k < s.N; k += kLanes) {
    const Double8 a = load8(s.ar + k), b = load8(s.ai + k), r = load8(xr + k), i = load8(xi + k);
    const Double8 re = load8(s.br + k) * u + a * r - b * i,
                  im = load8(s.bi + k) * u + a * i + b * r;
    store8(xr + k, re);
    store8(xi + k, im);
    sum += load8(s.cr + k) * re - load8(s.ci + k) * im;
  }
  return sum8(sum);
}

template <class Scalar>
RITZ_INLINE void run_loop(const System& s, int64_t steps, int64_t stride, const Scalar* u,
                          double* x, Scalar* y) {
  for (int64_t l = 0; l < steps; ++l, u += stride, y += stride)
    *y = static_cast<Scalar>(step_loop(s, static_cast<double>(*u), x, x + s.N));
}

// States after every step of a run, [steps, 2N].
template <class Scalar>
RITZ_INLINE void states_loop(const System& s, int64_t steps, int64_t stride, const Scalar* u,
                             const double* start, double* states) {
  for (int64_t l = 0; l < steps; ++l, u += stride, start = states, states += 2 * s.N) {
    const double in = static_cast<double>(*u);
    const double *xr = start, *xi = start + s.N;
    double *to_re = states, *to_im = states + s.N;
    for (int64_t k = 0; k < s.N; k += kLanes) {
      const Double8 a = load8(s.ar + k), b = load8(s.ai + k), r = load8(xr + k), i = load8(xi + k);
      store8(to_re + k, load8(s.br + k) * in + a * r - b * i);
      store8(to_im + k, load8(s.bi + k) * in + a * i + b * r);
    }
  }
}

// One step backwards: G <- conj(a) G + conj(c) g; d gets da, db, dc, each real then imaginary;
// returns du = Re(conj(b) G).
RITZ_INLINE double retreat(const System& s, double u, double g, const double* before,
                           const double* after, double* G, double* d) {
  Double8 sum = {};
  const int64_t N = s.N;
  const auto add = [](double* to, const Double8& value) __attribute__((always_inline)) {
    store8(to, load8(static_cast<const double*>(to)) + value);
  };
  for (int64_t k = 0; k < N; k += kLanes) {
    const Double8 a = load8(s.ar + k), b = load8(s.ai + k);
    const Double8 r = load8(static_cast<const double*>(G + k));
    const Double8 i = load8(static_cast<const double*>(G + N + k));
    const Double8 re = load8(s.cr + k) * g + a * r + b * i,
                  im = a * i - b * r - load8(s.ci + k) * g;
    store8(G + k, re);
    store8(G + N + k, im);
    const Double8 x = load8(before + k), y = load8(before + N + k);
    add(d + k, x * re + y * im);
    add(d + N + k, x * im - y * re);
    add(d + 2 * N + k, u * re);
    add(d + 3 * N + k, u * im);
    add(d + 4 * N + k, load8(after + k) * g);
    add(d + 5 * N + k, load8(after + N + k) * -g);
    sum += load8(s.br + k) * re + load8(s.bi + k) * im;
  }
  return sum8(sum);
}
template <class Scalar>
RITZ_INLINE void retreat_loop(const System& s, int64_t steps, int64_t stride, const Scalar* u,
                              const Scalar* g, const double* start, const double* states, double* G,
                              double* d, Scalar* du) {
  for (int64_t l = steps - 1; l >= 0; --l) {
    const double* after = states + l * 2 * s.N;
    const double* before = l == 0 ? start : after - 2 * s.N;
    du[l * stride] =
        static_cast<Scalar>(retreat(s, static_cast<double>(u[l * stride]),
                                    static_cast<double>(g[l * stride]), before, after, G, d));
  }
}

template <class Scalar>
RITZ_INLINE void step_all(int64_t H, int64_t N, const double* coefficients, const double* D,
                          double* state, const Scalar* u, Scalar* y) {
  for (int64_t h = 0; h < H; ++h) {
    const System s(coefficients + h * 6 * N, N);
    const double in = static_cast<double>(u[h]);
    double* x = state + h * 2 * N;
    y[h] = static_cast<Scalar>(step_loop(s, in, x, x + N) + D[h] * in);
  }
}

#define RITZ_SISO(Scalar)                                                                          \
  RITZ_CLONES void run(const System& s, int64_t steps, int64_t stride, const Scalar* u, double* x, \
                       Scalar* y) {                                                                \
    run_loop(s, steps, stride, u, x, y);                                                           \
  }                                                                                                \
  RITZ_CLONES void run_states(const System& s, int64_t steps, int64_t stride, const Scalar* u,     \
                              const double* start, double* states) {                               \
    states_loop(s, steps, stride, u, start, states);                                               \
  }                                                                                                \
  RITZ_CLONES void run_back(const System& s, int64_t steps, int64_t stride, const Scalar* u,       \
                            const Scalar* g, const double* start, const double* states, double* G, \
                            double* d, Scalar* du) {                                               \
    retreat_loop(s, steps, stride, u, g, start, states, G, d, du);                                 \
  }                                                                                                \
  RITZ_CLONES void run_step(int64_t H, int64_t N, const double* coefficients, const double* D,     \
                            double* state, const Scalar* u, Scalar* y) {                           \
    step_all(H, N, coefficients, D, state, u, y);                                                  \
  }
RITZ_SISO(float)
RITZ_SISO(double)
#undef RITZ_SISO

template <class Scalar>
std::vector<double> coefficients_of(const SisoProblem<Scalar>& p, int64_t h) {
  const int64_t width = padded(p.N);
  std::vector<double> out(static_cast<size_t>(6 * width), 0.0);
  const double* from[3] = {p.a + h * 2 * p.N, p.b + h * 2 * p.N, p.c + h * 2 * p.N};
  for (int64_t i = 0; i < 6; ++i)
    std::copy_n(from[i / 2] + (i % 2) * p.N, p.N, out.data() + i * width);
  return out;
}

template <class Scalar>
struct Row {
  int64_t at, stride, steps;  // of the first step in the direction of the scan
};
template <class Scalar>
Row<Scalar> row_of(const SisoProblem<Scalar>& p, int64_t b, int64_t h) {
  const int64_t steps = p.lengths == nullptr ? p.L : p.lengths[b], base = (b * p.H + h) * p.L;
  return {p.reverse ? base + steps - 1 : base, p.reverse ? -1 : 1, steps};
}

}  // namespace

template <class Scalar>
void siso_forward(const SisoProblem<Scalar>& p) {
  // 10 N flops a step; the state stays in the first cache.
  parallel_for(0, p.H, 1, [&](int64_t first, int64_t last) {
    std::vector<double> x(static_cast<size_t>(2 * padded(p.N)));
    for (int64_t h = first; h < last; ++h) {
      const auto coefficients = coefficients_of(p, h);
      const System system(coefficients.data(), padded(p.N));
      for (int64_t b = 0; b < p.B; ++b) {
        const auto row = row_of(p, b, h);
        std::fill(x.begin(), x.end(), 0.0);
        run(system, row.steps, row.stride, p.u + row.at, x.data(), p.y + row.at);
        Scalar* y = p.y + (b * p.H + h) * p.L;
        std::fill(y + row.steps, y + p.L, Scalar(0));
      }
    }
  });
}

template <class Scalar>
void siso_backward(const SisoProblem<Scalar>& p, const Scalar* g, Scalar* du, double* da,
                   double* db, double* dc) {
  const int64_t width = padded(p.N), kept = (p.L + kKeep - 1) / kKeep;
  parallel_for(0, p.H, 1, [&](int64_t first, int64_t last) {
    std::vector<double> starts(static_cast<size_t>((kept + 1) * 2 * width));
    std::vector<double> states(static_cast<size_t>(kKeep * 2 * width));
    std::vector<double> G(static_cast<size_t>(2 * width)), d(static_cast<size_t>(6 * width));
    for (int64_t h = first; h < last; ++h) {
      const auto coefficients = coefficients_of(p, h);
      const System system(coefficients.data(), width);
      std::fill(d.begin(), d.end(), 0.0);
      for (int64_t b = 0; b < p.B; ++b) {
        const auto row = row_of(p, b, h);
        const int64_t chunks = (row.steps + kKeep - 1) / kKeep;
        const auto at = [&](int64_t c) { return row.at + c * kKeep * row.stride; };
        const auto count = [&](int64_t c) { return std::min(kKeep, row.steps - c * kKeep); };
        const auto start = [&](int64_t c) { return starts.data() + c * 2 * width; };
        std::fill_n(start(0), 2 * width, 0.0);
        for (int64_t c = 0; c + 1 < chunks; ++c) {
          run_states(system, count(c), row.stride, p.u + at(c), start(c), states.data());
          std::copy_n(states.data() + (count(c) - 1) * 2 * width, 2 * width, start(c + 1));
        }
        std::fill(G.begin(), G.end(), 0.0);
        for (int64_t c = chunks - 1; c >= 0; --c) {
          run_states(system, count(c), row.stride, p.u + at(c), start(c), states.data());
          run_back(system, count(c), row.stride, p.u + at(c), g + at(c), start(c), states.data(),
                   G.data(), d.data(), du + at(c));
        }
        Scalar* out = du + (b * p.H + h) * p.L;
        std::fill(out + row.steps, out + p.L, Scalar(0));
      }
      double* to[3] = {da + h * 2 * p.N, db + h * 2 * p.N, dc + h * 2 * p.N};
      for (int64_t i = 0; i < 6; ++i)
        std::copy_n(d.data() + i * width, p.N, to[i / 2] + (i % 2) * p.N);
    }
  });
}

template <class Scalar>
void siso_step(int64_t H, int64_t N, const double* coefficients, const double* D, double* state,
               const Scalar* u, Scalar* y) {
  run_step(H, N, coefficients, D, state, u, y);
}

template void siso_forward(const SisoProblem<float>&);
template void siso_forward(const SisoProblem<double>&);
template void siso_backward(const SisoProblem<float>&, const float*, float*, double*, double*,
                            double*);
template void siso_backward(const SisoProblem<double>&, const double*, double*, double*, double*,
                            double*);
template void siso_step(int64_t, int64_t, const double*, const double*, double*, const float*,
                        float*);
template void siso_step(int64_t, int64_t, const double*, const double*, double*, const double*,
                        double*);

}  // namespace ritz::sequence::detail
