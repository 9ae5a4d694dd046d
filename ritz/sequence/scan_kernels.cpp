#include "ritz/sequence/detail/scan_kernels.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "ritz/base/parallel.h"
#include "ritz/base/threads.h"
#include "ritz/sequence/detail/lanes.h"
#include "ritz/sequence/detail/stream_kernel.h"

namespace ritz::sequence::detail {
namespace {

constexpr int64_t kLanes = 8;
constexpr int kRows = 2;  // steps that a state stays in registers

// Loads and stores of eight columns, or of one: what a row's end is left with.
template <int kWidth>
struct Run;
template <>
struct Run<8> {
  using Value = Double8;
  template <class Scalar>
  RITZ_INLINE static Value load(const Scalar* x) {
    return load8(x);
  }
  template <class Scalar>
  RITZ_INLINE static void store(Scalar* x, const Value& value) {
    store8(x, value);
  }
};
template <>
struct Run<1> {
  using Value = double;
  template <class Scalar>
  RITZ_INLINE static Value load(const Scalar* x) {
    return static_cast<double>(*x);
  }
  template <class Scalar>
  RITZ_INLINE static void store(Scalar* x, const Value& value) {
    *x = static_cast<Scalar>(value);
  }
};

constexpr int64_t kColumns = 512;  // states whose a, state and sums stay in the first cache

template <class Scalar>
struct Rows {
  int64_t steps;      // of this piece
  int64_t stride;     // from one step to the next, in elements; negative backwards
  int64_t imaginary;  // from a real part to its imaginary one
  int64_t columns;
  const double *ar, *ai;
};

// state <- a state + v, x <- state: kCount steps of the columns from p on.
template <int kWidth, int kCount, bool kWrites, class Scalar>
RITZ_INLINE void advance(const Rows<Scalar>& rows, int64_t p, const Scalar* v, double* sr,
                         double* si, Scalar* x) {
  using Lane = Run<kWidth>;
  const auto a = Lane::load(rows.ar + p), b = Lane::load(rows.ai + p);
  auto r = Lane::load(static_cast<const double*>(sr + p));
  auto i = Lane::load(static_cast<const double*>(si + p));
  // All loads before all stores: two rows on, v has the last 12 bits of x's address, and the
  // processor would wait for the store.
  typename Lane::Value re[kCount], im[kCount];
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    re[k] = Lane::load(v + k * rows.stride + p);
    im[k] = Lane::load(v + k * rows.stride + rows.imaginary + p);
  }
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    const auto real = re[k] + a * r - b * i;
    i = im[k] + a * i + b * r;
    r = real;
    re[k] = r;
    im[k] = i;
  }
  if constexpr (kWrites) {
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      Lane::store(x + k * rows.stride + p, re[k]);
      Lane::store(x + k * rows.stride + rows.imaginary + p, im[k]);
    }
  }
  Lane::store(sr + p, r);
  Lane::store(si + p, i);
}

// Backward: G <- conj(a) G + g, dv <- G, da += conj(x_before) G. x_before of the last of the kCount
// steps is at `last`.
template <int kWidth, int kCount, class Scalar>
RITZ_INLINE void retreat(const Rows<Scalar>& rows, int64_t p, const Scalar* g, const Scalar* before,
                         const Scalar* last, double* sr, double* si, Scalar* dv, double* tr,
                         double* ti) {
  using Lane = Run<kWidth>;
  const auto a = Lane::load(rows.ar + p), b = Lane::load(rows.ai + p);
  auto r = Lane::load(static_cast<const double*>(sr + p));
  auto i = Lane::load(static_cast<const double*>(si + p));
  auto sum_r = Lane::load(static_cast<const double*>(tr + p));
  auto sum_i = Lane::load(static_cast<const double*>(ti + p));
  typename Lane::Value re[kCount], im[kCount];  // loads before stores, as above
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    re[k] = Lane::load(g + k * rows.stride + p);
    im[k] = Lane::load(g + k * rows.stride + rows.imaginary + p);
  }
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    const auto real = re[k] + a * r + b * i;
    i = im[k] + a * i - b * r;
    r = real;
    re[k] = r;
    im[k] = i;
    const Scalar* of = k + 1 == kCount ? last + p : before + k * rows.stride + p;
    const auto x = Lane::load(of), y = Lane::load(of + rows.imaginary);
    sum_r += x * r + y * i;
    sum_i += x * i - y * r;
  }
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) {
    Lane::store(dv + k * rows.stride + p, re[k]);
    Lane::store(dv + k * rows.stride + rows.imaginary + p, im[k]);
  }
  Lane::store(sr + p, r);
  Lane::store(si + p, i);
  Lane::store(tr + p, sum_r);
  Lane::store(ti + p, sum_i);
}

// The next rows are asked for: a row is two pieces a stride apart, which the processor's own
// prefetching does not see, and stores that miss would hold up all others behind them (measured:
// 2.5 times the time at 16 MB).
constexpr int64_t kLine = 16;  // columns asked for at once
template <int kWrite, class Scalar>
RITZ_INLINE void ask_for(const Rows<Scalar>& rows, const Scalar* x) {
#pragma GCC unroll 4
  for (int k = 0; k < kRows; ++k) {
    __builtin_prefetch(x + (kRows + k) * rows.stride, kWrite);
    __builtin_prefetch(x + (kRows + k) * rows.stride + rows.imaginary, kWrite);
  }
}

template <int kCount, bool kWrites, class Scalar>
RITZ_INLINE void advance_steps(const Rows<Scalar>& rows, const Scalar* v, double* sr, double* si,
                               Scalar* x) {
  const int64_t whole = rows.columns / kLanes * kLanes;
  for (int64_t p = 0; p < whole; p += kLanes) {
    if (kCount == kRows && p % kLine == 0) {
      ask_for<0>(rows, v + p);
      if constexpr (kWrites) ask_for<1>(rows, x + p);
    }
    advance<kLanes, kCount, kWrites>(rows, p, v, sr, si, x);
  }
  for (int64_t p = whole; p < rows.columns; ++p) advance<1, kCount, kWrites>(rows, p, v, sr, si, x);
}
template <bool kWrites, class Scalar>
RITZ_INLINE void advance_rows(const Rows<Scalar>& given, const Scalar* v, double* sr, double* si,
                              Scalar* x) {
  const Rows<Scalar> rows = given;  // a copy of its own: stores cannot change it
  int64_t l = 0;
  for (; l + kRows <= rows.steps; l += kRows, v += kRows * rows.stride) {
    advance_steps<kRows, kWrites>(rows, v, sr, si, x);
    if (kWrites) x += kRows * rows.stride;
  }
  for (; l < rows.steps; ++l, v += rows.stride) {
    advance_steps<1, kWrites>(rows, v, sr, si, x);
    if (kWrites) x += rows.stride;
  }
}

template <int kCount, class Scalar>
RITZ_INLINE void retreat_steps(const Rows<Scalar>& rows, const Scalar* g, const Scalar* before,
                               const Scalar* last, double* sr, double* si, Scalar* dv, double* tr,
                               double* ti) {
  const int64_t whole = rows.columns / kLanes * kLanes;
  for (int64_t p = 0; p < whole; p += kLanes) {
    if (kCount == kRows && p % kLine == 0) {
      ask_for<0>(rows, g + p);
      ask_for<0>(rows, before + p);
      ask_for<1>(rows, static_cast<const Scalar*>(dv + p));
    }
    retreat<kLanes, kCount>(rows, p, g, before, last, sr, si, dv, tr, ti);
  }
  for (int64_t p = whole; p < rows.columns; ++p)
    retreat<1, kCount>(rows, p, g, before, last, sr, si, dv, tr, ti);
}
// `before`: x one step earlier in the direction of the scan; at the piece's last step `last` where
// given.
template <class Scalar>
RITZ_INLINE void retreat_rows(const Rows<Scalar>& given, const Scalar* g, const Scalar* before,
                              const Scalar* last, double* sr, double* si, Scalar* dv, double* tr,
                              double* ti) {
  const Rows<Scalar> rows = given;
  const auto end = [&](int64_t l, int64_t count) __attribute__((always_inline)) {
    return l + count == rows.steps && last != nullptr ? last : before + (count - 1) * rows.stride;
  };
  int64_t l = 0;
  for (; l + kRows <= rows.steps; l += kRows) {
    retreat_steps<kRows>(rows, g, before, end(l, kRows), sr, si, dv, tr, ti);
    g += kRows * rows.stride;
    before += kRows * rows.stride;
    dv += kRows * rows.stride;
  }
  for (; l < rows.steps; ++l) {
    retreat_steps<1>(rows, g, before, end(l, 1), sr, si, dv, tr, ti);
    g += rows.stride;
    before += rows.stride;
    dv += rows.stride;
  }
}

#define RITZ_SCAN_ROWS(Scalar)                                                                     \
  RITZ_CLONES void run_advance(const Rows<Scalar>& rows, const Scalar* v, double* sr, double* si,  \
                               Scalar* x) {                                                        \
    advance_rows<true>(rows, v, sr, si, x);                                                        \
  }                                                                                                \
  RITZ_CLONES void run_follow(const Rows<Scalar>& rows, const Scalar* v, double* sr, double* si) { \
    advance_rows<false, Scalar>(rows, v, sr, si, nullptr);                                         \
  }                                                                                                \
  RITZ_CLONES void run_retreat(const Rows<Scalar>& rows, const Scalar* g, const Scalar* before,    \
                               const Scalar* last, double* sr, double* si, Scalar* dv, double* tr, \
                               double* ti) {                                                       \
    retreat_rows(rows, g, before, last, sr, si, dv, tr, ti);                                       \
  }
RITZ_SCAN_ROWS(float)
RITZ_SCAN_ROWS(double)
#undef RITZ_SCAN_ROWS

// Rows too many for the caches, by the kernel that writes past them; false where it cannot.
bool stream(const Rows<float>& rows, const float* v, double* sr, double* si, float* x) {
  const bool fits = rows.columns % 8 == 0 && rows.imaginary % 8 == 0 && rows.stride % 8 == 0 &&
                    reinterpret_cast<uintptr_t>(x) % 32 == 0;
  if (!fits || rows.steps * rows.columns * 8 < kStreamedBytes || !has_stream_kernel()) return false;
  stream_scan({rows.steps, rows.stride, rows.imaginary, rows.columns, rows.ar, rows.ai}, v, sr, si,
              x);
  return true;
}
bool stream(const Rows<double>&, const double*, double*, double*, double*) {
  return false;
}

// conj(a)^steps state, for the state that chunks hand on; a few multiplications, so not vector
// code.
void multiply_power(int64_t count, const double* ar, const double* ai, int64_t steps, double sign,
                    double* sr, double* si) {
  for (int64_t p = 0; p < count; ++p) {
    double br = ar[p], bi = sign * ai[p], r = sr[p], i = si[p];
    for (int64_t e = steps; e > 0; e /= 2) {
      if (e % 2 == 1) {
        const double t = br * r - bi * i;
        i = br * i + bi * r;
        r = t;
      }
      const double t = br * br - bi * bi;
      bi = 2 * br * bi;
      br = t;
    }
    sr[p] = r;
    si[p] = i;
  }
}

// How the work is cut: sequences x blocks of columns, and chunks of time where these are too few.
struct Plan {
  int64_t blocks, chunk, chunks;
};
Plan make_plan(int64_t B, int64_t L, int64_t P, int64_t chunk) {
  Plan plan{(P + kColumns - 1) / kColumns, L, 1};
  if (chunk > 0) {
    plan.chunk = std::min(chunk, L);
  } else if (const int64_t workers = threads(); B * plan.blocks < workers && P >= 32) {
    // Cutting the states costs nothing; cutting time, one more reading of v.
    plan.blocks = std::min<int64_t>(workers, (P + 15) / 16);
  } else if (B * plan.blocks < workers && L >= 4096) {
    plan.chunk = (L + workers - 1) / workers;
  }
  plan.chunks = (L + plan.chunk - 1) / plan.chunk;
  return plan;
}

struct Block {
  int64_t first, count;
};
Block block_of(int64_t P, int64_t blocks, int64_t index) {
  const int64_t width = (P + 16 * blocks - 1) / (16 * blocks) * 16;
  const int64_t first = std::min(P, index * width);
  return {first, std::min(width, P - first)};
}

/// Runs the chunks of every (sequence, block of columns) such that each has the state it begins
/// with. `body(b, block, from, steps, state, last_pass, chunk)`; time counts from 0 in the
/// direction of the scan.
template <class Follow, class Finish, class Start>
void run_chunks(const Plan& plan, int64_t B, int64_t P, const double* ar, const double* ai,
                double sign, const std::function<int64_t(int64_t)>& length, const Start& start,
                const Follow& follow, const Finish& finish) {
  const int64_t pairs = B * plan.blocks;
  const auto piece = [&](int64_t task, const auto& work) {
    const int64_t pair = task / plan.chunks, chunk = task % plan.chunks;
    const int64_t b = pair / plan.blocks;
    const Block block = block_of(P, plan.blocks, pair % plan.blocks);
    const int64_t from = std::min(length(b), chunk * plan.chunk);
    const int64_t steps = std::min(plan.chunk, length(b) - from);
    if (block.count > 0) work(b, block, chunk, from, steps);
  };
  std::vector<double> carry;
  const auto state_of = [&](int64_t b, const Block& block, int64_t chunk, int part) {
    return carry.data() + ((chunk * B + b) * 2 + part) * P + block.first;
  };
  carry.assign(static_cast<size_t>(plan.chunks * B * 2 * P), 0);
  if (plan.chunks > 1) {
    parallel_for(0, pairs * plan.chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task)
        piece(task, [&](int64_t b, const Block& block, int64_t chunk, int64_t from, int64_t steps) {
          if (chunk + 1 < plan.chunks)
            follow(b, block, from, steps, state_of(b, block, chunk + 1, 0),
                   state_of(b, block, chunk + 1, 1));
        });
    });
  }
  parallel_for(0, pairs, 1, [&](int64_t first, int64_t last) {
    for (int64_t pair = first; pair < last; ++pair)
      for (int64_t c = 0; c < plan.chunks; ++c)
        piece(pair * plan.chunks + c,
              [&](int64_t b, const Block& block, int64_t chunk, int64_t, int64_t) {
                double *r = state_of(b, block, chunk, 0), *i = state_of(b, block, chunk, 1);
                if (chunk == 0) return start(b, block, r, i);
                // What the chunk before began with, carried through it.
                const int64_t from = std::min(length(b), (chunk - 1) * plan.chunk);
                const int64_t steps = std::min(plan.chunk, length(b) - from);
                std::vector<double> sr(state_of(b, block, chunk - 1, 0),
                                       state_of(b, block, chunk - 1, 0) + block.count);
                std::vector<double> si(state_of(b, block, chunk - 1, 1),
                                       state_of(b, block, chunk - 1, 1) + block.count);
                multiply_power(block.count, ar + block.first, ai + block.first, steps, sign,
                               sr.data(), si.data());
                for (int64_t p = 0; p < block.count; ++p) {
                  r[p] += sr[static_cast<size_t>(p)];
                  i[p] += si[static_cast<size_t>(p)];
                }
              });
  });
  parallel_for(0, pairs * plan.chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task)
      piece(task, [&](int64_t b, const Block& block, int64_t chunk, int64_t from, int64_t steps) {
        // A copy: the state in `carry` is what this chunk began with.
        std::vector<double> sr(state_of(b, block, chunk, 0),
                               state_of(b, block, chunk, 0) + block.count);
        std::vector<double> si(state_of(b, block, chunk, 1),
                               state_of(b, block, chunk, 1) + block.count);
        finish(b, block, chunk, from, steps, sr.data(), si.data());
      });
  });
}

template <class Scalar>
int64_t length_of(const ScanProblem<Scalar>& p, int64_t b) {
  return p.lengths == nullptr ? p.L : p.lengths[b];
}

}  // namespace

template <class Scalar>
void scan_forward(const ScanProblem<Scalar>& p, int64_t chunk) {
  const int64_t row = 2 * p.P;
  const auto length = [&](int64_t b) { return length_of(p, b); };
  // Step t of the scan is row t, or length - 1 - t backwards.
  const auto offset = [&](int64_t b, int64_t t) {
    return (b * p.L + (p.reverse ? length(b) - 1 - t : t)) * row;
  };
  const auto rows = [&](const Block& block, int64_t steps) {
    return Rows<Scalar>{steps,       p.reverse ? -row : row, p.P,
                        block.count, p.a_re + block.first,   p.a_im + block.first};
  };
  run_chunks(
      make_plan(p.B, p.L, p.P, chunk), p.B, p.P, p.a_re, p.a_im, 1, length,
      [&](int64_t b, const Block& block, double* r, double* i) {
        if (p.initial == nullptr) return;
        const Scalar* from = p.initial + b * row + block.first;
        std::copy(from, from + block.count, r);
        std::copy(from + p.P, from + p.P + block.count, i);
      },
      [&](int64_t b, const Block& block, int64_t from, int64_t steps, double* r, double* i) {
        if (steps > 0) run_follow(rows(block, steps), p.v + offset(b, from) + block.first, r, i);
      },
      [&](int64_t b, const Block& block, int64_t, int64_t from, int64_t steps, double* r,
          double* i) {
        if (steps <= 0) return;
        const Scalar* v = p.v + offset(b, from) + block.first;
        Scalar* x = p.x + offset(b, from) + block.first;
        if (!stream(rows(block, steps), v, r, i, x)) run_advance(rows(block, steps), v, r, i, x);
      });
  for (int64_t b = 0; b < p.B; ++b)
    std::fill(p.x + (b * p.L + length(b)) * row, p.x + (b + 1) * p.L * row, Scalar(0));
}

template <class Scalar>
void scan_backward(const ScanProblem<Scalar>& p, int64_t chunk, const Scalar* g, Scalar* dv,
                   double* da_re, double* da_im, Scalar* d_initial) {
  const int64_t row = 2 * p.P;
  const auto length = [&](int64_t b) { return length_of(p, b); };
  // Time runs the other way: step t is row length - 1 - t, or t where the scan was reversed.
  const auto offset = [&](int64_t b, int64_t t) {
    return (b * p.L + (p.reverse ? t : length(b) - 1 - t)) * row;
  };
  const int64_t stride = p.reverse ? row : -row;
  const auto rows = [&](const Block& block, int64_t steps) {
    return Rows<Scalar>{
        steps, stride, p.P, block.count, p.a_re + block.first, p.a_im + block.first};
  };
  const std::vector<Scalar> zeros(static_cast<size_t>(row), Scalar(0));
  const std::vector<double> conjugate = [&] {
    std::vector<double> out(p.a_im, p.a_im + p.P);
    for (auto& value : out) value = -value;
    return out;
  }();
  const Plan plan = make_plan(p.B, p.L, p.P, chunk);
  // Sums of da by task, so that they do not depend on the threads.
  std::vector<double> sums(static_cast<size_t>(p.B * plan.chunks * 2 * p.P), 0.0);
  run_chunks(
      plan, p.B, p.P, p.a_re, p.a_im, -1, length, [](int64_t, const Block&, double*, double*) {},
      [&](int64_t b, const Block& block, int64_t from, int64_t steps, double* r, double* i) {
        Rows<Scalar> backwards = rows(block, steps);
        backwards.ai = conjugate.data() + block.first;
        if (steps > 0) run_follow(backwards, g + offset(b, from) + block.first, r, i);
      },
      [&](int64_t b, const Block& block, int64_t c, int64_t from, int64_t steps, double* r,
          double* i) {
        if (steps <= 0) return;
        const bool ends = from + steps == length(b);
        const Scalar* start = p.initial == nullptr ? zeros.data() : p.initial + b * row;
        double* sum = sums.data() + (b * plan.chunks + c) * row + block.first;
        run_retreat(rows(block, steps), g + offset(b, from) + block.first,
                    p.x + offset(b, from) + stride + block.first,
                    ends ? start + block.first : nullptr, r, i, dv + offset(b, from) + block.first,
                    sum, sum + p.P);
        if (ends && d_initial != nullptr) {
          // One more turn: conj(a) G_0.
          for (int64_t k = 0; k < block.count; ++k) {
            const double ar = p.a_re[block.first + k], ai = p.a_im[block.first + k];
            d_initial[b * row + block.first + k] = static_cast<Scalar>(ar * r[k] + ai * i[k]);
            d_initial[b * row + p.P + block.first + k] = static_cast<Scalar>(ar * i[k] - ai * r[k]);
          }
        }
      });
  for (int64_t b = 0; b < p.B; ++b)
    std::fill(dv + (b * p.L + length(b)) * row, dv + (b + 1) * p.L * row, Scalar(0));
  std::fill(da_re, da_re + p.P, 0.0);
  std::fill(da_im, da_im + p.P, 0.0);
  for (int64_t task = 0; task < p.B * plan.chunks; ++task)
    for (int64_t k = 0; k < p.P; ++k) {
      da_re[k] += sums[static_cast<size_t>(task * row + k)];
      da_im[k] += sums[static_cast<size_t>(task * row + p.P + k)];
    }
}

template void scan_forward(const ScanProblem<float>&, int64_t);
template void scan_forward(const ScanProblem<double>&, int64_t);
template void scan_backward(const ScanProblem<float>&, int64_t, const float*, float*, double*,
                            double*, float*);
template void scan_backward(const ScanProblem<double>&, int64_t, const double*, double*, double*,
                            double*, double*);

}  // namespace ritz::sequence::detail
