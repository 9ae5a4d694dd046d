#include "ritz/nn/detail/chain_norm_kernels.h"

#include <algorithm>

#include "ritz/base/detail/clones.h"
#include "ritz/base/parallel.h"

namespace ritz::nn::detail {
namespace {

// Channels repeat with a short period: arrays are taken in tiles of whole rows, long enough for
// vector code whatever the number of channels. Sums run in T within kFlush tiles, then in float64.
constexpr int64_t kTile = 1024;
constexpr int64_t kFlush = 64;

int64_t tile_rows(int64_t channels) {
  return std::max<int64_t>(1, kTile / channels);
}

template <class T>
RITZ_INLINE void add_products(const T* a, const T* b, T* sums, int64_t count) {
  if (b == nullptr) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) sums[i] += a[i];
  } else {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) sums[i] += a[i] * b[i];
  }
}
RITZ_CLONES void run_products(const float* a, const float* b, float* sums, int64_t count) {
  add_products(a, b, sums, count);
}
RITZ_CLONES void run_products(const double* a, const double* b, double* sums, int64_t count) {
  add_products(a, b, sums, count);
}

template <class T>
RITZ_INLINE void combine(const T* const* terms, int64_t count, const T* coefficients, int64_t tile,
                         T* out, int64_t n) {
  const T *k0 = coefficients, *k1 = k0 + tile, *k2 = k1 + tile, *k3 = k2 + tile, *k4 = k3 + tile;
  const T *a = terms[0], *b = terms[1], *c = terms[2], *d = terms[3];
  if (count == 2) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) out[i] = k0[i] * a[i] + (k1[i] * b[i] + k2[i]);
  } else if (count == 3) {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) out[i] = k0[i] * a[i] + (k1[i] * b[i] + (k2[i] * c[i] + k3[i]));
  } else {
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < n; ++i)
      out[i] = k0[i] * a[i] + (k1[i] * b[i] + (k2[i] * c[i] + (k3[i] * d[i] + k4[i])));
  }
}
RITZ_CLONES void run_combine(const float* const* terms, int64_t count, const float* coefficients,
                             int64_t tile, float* out, int64_t n) {
  combine(terms, count, coefficients, tile, out, n);
}
RITZ_CLONES void run_combine(const double* const* terms, int64_t count, const double* coefficients,
                             int64_t tile, double* out, int64_t n) {
  combine(terms, count, coefficients, tile, out, n);
}

// Sums over a row run in fixed lanes, so that they become vector code without being reordered at
// will.
constexpr int kLanes = 16;

template <class T>
RITZ_INLINE T total(const T* lanes) {
  T sum = 0;
  for (int k = 0; k < kLanes; ++k) sum += lanes[k];
  return sum;
}

template <class T>
RITZ_INLINE void forward_tangent_rows(const LayerNormRows<T>& rows, const T* Rx, const T* Vg,
                                      const T* Vb, T* Ry, T* Rhat, T* a) {
  const int64_t w = rows.w, whole = w / kLanes * kLanes;
  const T* g = rows.gain;
  for (int64_t j = 0; j < rows.n; ++j) {
    const T *hat = rows.hat + j * w, *in = Rx + j * rows.stride;
    T sums[kLanes] = {}, dots[kLanes] = {}, sum = 0, dot = 0;
    for (int64_t i = 0; i < whole; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) {
        sums[k] += in[i + k];
        dots[k] += in[i + k] * hat[i + k];
      }
    }
    for (int64_t i = whole; i < w; ++i) {
      sum += in[i];
      dot += in[i] * hat[i];
    }
    const T r = rows.r[j], mean = (sum + total(sums)) / T(w), along = (dot + total(dots)) / T(w);
    if (a != nullptr) a[j] = r * along;
    T *y = Ry + j * rows.stride, *kept = Rhat == nullptr ? y : Rhat + j * rows.stride;
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < w; ++i) {
      const T h = r * (in[i] - mean - hat[i] * along);
      kept[i] = h;
      y[i] = g[i] * h + (Vg[i] * hat[i] + Vb[i]);
    }
  }
}
RITZ_CLONES void run_forward_tangent(const LayerNormRows<float>& rows, const float* Rx,
                                     const float* Vg, const float* Vb, float* Ry, float* Rhat,
                                     float* a) {
  forward_tangent_rows(rows, Rx, Vg, Vb, Ry, Rhat, a);
}
RITZ_CLONES void run_forward_tangent(const LayerNormRows<double>& rows, const double* Rx,
                                     const double* Vg, const double* Vb, double* Ry, double* Rhat,
                                     double* a) {
  forward_tangent_rows(rows, Rx, Vg, Vb, Ry, Rhat, a);
}

template <class T>
RITZ_INLINE void backward_rows(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dg, T* db) {
  const int64_t w = rows.w, whole = w / kLanes * kLanes;
  const T* g = rows.gain;
  for (int64_t j = 0; j < rows.n; ++j) {
    const T *hat = rows.hat + j * w, *in = dy + j * w;
    if (dg != nullptr) {
      RITZ_INDEPENDENT
      for (int64_t i = 0; i < w; ++i) {
        dg[i] += in[i] * hat[i];
        db[i] += in[i];
      }
    }
    if (dx == nullptr) continue;
    T sums[kLanes] = {}, dots[kLanes] = {}, sum = 0, dot = 0;
    for (int64_t i = 0; i < whole; i += kLanes) {
      for (int k = 0; k < kLanes; ++k) {
        const T u = g[i + k] * in[i + k];
        sums[k] += u;
        dots[k] += u * hat[i + k];
      }
    }
    for (int64_t i = whole; i < w; ++i) {
      sum += g[i] * in[i];
      dot += g[i] * in[i] * hat[i];
    }
    const T r = rows.r[j], mean = (sum + total(sums)) / T(w), along = (dot + total(dots)) / T(w);
    T* out = dx + j * w;
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < w; ++i) out[i] = r * (g[i] * in[i] - mean - hat[i] * along);
  }
}
RITZ_CLONES void run_backward(const LayerNormRows<float>& rows, const float* dy, float* dx,
                              float* dg, float* db) {
  backward_rows(rows, dy, dx, dg, db);
}
RITZ_CLONES void run_backward(const LayerNormRows<double>& rows, const double* dy, double* dx,
                              double* dg, double* db) {
  backward_rows(rows, dy, dx, dg, db);
}

// With u = g dy, Ru = g R dy + V_g dy and b = mean(x^ Ru) + mean(R x^ u):
// R dx = r (Ru - mean Ru - x^ b - R x^ mean(x^ u)) - a r (u - mean u - x^ mean(x^ u)).
template <class T>
RITZ_INLINE void second_order_row(int64_t w, const T* g, const T* Vg, const T* hat, const T* Rhat,
                                  const T* dy, const T* Rdy, T r, T a, T* out) {
  const int64_t whole = w / kLanes * kLanes;
  T s_u[kLanes] = {}, s_hu[kLanes] = {}, s_Ru[kLanes] = {}, s_b[kLanes] = {};
  T u_sum = 0, hu_sum = 0, Ru_sum = 0, b_sum = 0;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const T u = g[i + k] * dy[i + k], Ru = g[i + k] * Rdy[i + k] + Vg[i + k] * dy[i + k];
      s_u[k] += u;
      s_hu[k] += u * hat[i + k];
      s_Ru[k] += Ru;
      s_b[k] += Ru * hat[i + k] + u * Rhat[i + k];
    }
  }
  for (int64_t i = whole; i < w; ++i) {
    const T u = g[i] * dy[i], Ru = g[i] * Rdy[i] + Vg[i] * dy[i];
    u_sum += u;
    hu_sum += u * hat[i];
    Ru_sum += Ru;
    b_sum += Ru * hat[i] + u * Rhat[i];
  }
  const T u_mean = (u_sum + total(s_u)) / T(w), hu_mean = (hu_sum + total(s_hu)) / T(w);
  const T Ru_mean = (Ru_sum + total(s_Ru)) / T(w), b = (b_sum + total(s_b)) / T(w);
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < w; ++i) {
    const T u = g[i] * dy[i], Ru = g[i] * Rdy[i] + Vg[i] * dy[i];
    out[i] =
        r * (Ru - Ru_mean - hat[i] * b - Rhat[i] * hu_mean - a * (u - u_mean - hat[i] * hu_mean));
  }
}

template <class T>
RITZ_INLINE void backward_tangent_rows(const LayerNormRows<T>& rows, const T* Rdy, const T* Vg,
                                       const T* dy, const T* Rhat, const T* a, T* Rdx, T* Rdg,
                                       T* Rdb) {
  const int64_t w = rows.w, stride = rows.stride;
  const LayerNormRows<T> one{1, w, w, nullptr, nullptr, rows.gain};
  for (int64_t j = 0; j < rows.n; ++j) {
    const T *hat = rows.hat + j * w, *in = Rdy + j * stride;
    T* out = Rdx == nullptr ? nullptr : Rdx + j * stride;
    if (Rhat == nullptr) {
      LayerNormRows<T> row = one;
      row.hat = hat;
      row.r = rows.r + j;
      backward_rows(row, in, out, Rdg, Rdb);
      continue;
    }
    const T *value = dy + j * w, *turned = Rhat + j * stride;
    RITZ_INDEPENDENT
    for (int64_t i = 0; i < w; ++i) {
      Rdg[i] += in[i] * hat[i] + value[i] * turned[i];
      Rdb[i] += in[i];
    }
    if (out != nullptr) {
      second_order_row(w, rows.gain, Vg, hat, turned, value, in, rows.r[j], a[j], out);
    }
  }
}
RITZ_CLONES void run_backward_tangent(const LayerNormRows<float>& rows, const float* Rdy,
                                      const float* Vg, const float* dy, const float* Rhat,
                                      const float* a, float* Rdx, float* Rdg, float* Rdb) {
  backward_tangent_rows(rows, Rdy, Vg, dy, Rhat, a, Rdx, Rdg, Rdb);
}
RITZ_CLONES void run_backward_tangent(const LayerNormRows<double>& rows, const double* Rdy,
                                      const double* Vg, const double* dy, const double* Rhat,
                                      const double* a, double* Rdx, double* Rdg, double* Rdb) {
  backward_tangent_rows(rows, Rdy, Vg, dy, Rhat, a, Rdx, Rdg, Rdb);
}

template <class T>
RITZ_INLINE void gelu_loop(const T* x, T* value, T* erf, T* phi, int64_t n) {
  RITZ_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const T Phi = T(0.5) * (1 + erf[i]), density = phi[i];
    value[i] = x[i] * Phi;
    erf[i] = Phi + x[i] * density;
    phi[i] = density * (2 - x[i] * x[i]);
  }
}
RITZ_CLONES void run_gelu(const float* x, float* value, float* erf, float* phi, int64_t n) {
  gelu_loop(x, value, erf, phi, n);
}
RITZ_CLONES void run_gelu(const double* x, double* value, double* erf, double* phi, int64_t n) {
  gelu_loop(x, value, erf, phi, n);
}

}  // namespace

// Blocks of tiles are summed by themselves and then in order: the same bits for any number of
// threads.
template <class T>
std::vector<double> channel_sums(const std::vector<ChannelProduct<T>>& quantities, int64_t n,
                                 int64_t channels) {
  const int64_t rows = tile_rows(channels), tile = rows * channels;
  const int64_t block_rows = rows * kFlush, blocks = (n + block_rows - 1) / block_rows;
  const auto count = static_cast<int64_t>(quantities.size());
  std::vector<double> of_blocks(static_cast<size_t>(blocks * count * channels));
  parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    std::vector<T> sums(static_cast<size_t>(tile * count));
    for (int64_t block = first; block < last; ++block) {
      std::fill(sums.begin(), sums.end(), T(0));
      const int64_t end = std::min(n, (block + 1) * block_rows) * channels;
      for (int64_t i = block * block_rows * channels; i < end; i += tile) {
        for (int64_t q = 0; q < count; ++q) {
          const auto& [a, b] = quantities[static_cast<size_t>(q)];
          run_products(a + i, b == nullptr ? nullptr : b + i, sums.data() + q * tile,
                       std::min(tile, end - i));
        }
      }
      for (int64_t q = 0; q < count; ++q) {
        double* out = of_blocks.data() + (block * count + q) * channels;
        for (int64_t i = 0; i < tile; ++i) {
          out[i % channels] += static_cast<double>(sums[static_cast<size_t>(q * tile + i)]);
        }
      }
    }
  });
  std::vector<double> result(static_cast<size_t>(count * channels));
  for (size_t i = 0; i < of_blocks.size(); ++i) result[i % result.size()] += of_blocks[i];
  return result;
}

template <class T>
void channel_combination(const std::vector<const T*>& terms,
                         const std::vector<double>& coefficients, T* out, int64_t n,
                         int64_t channels) {
  const int64_t rows = tile_rows(channels), tile = rows * channels;
  const auto count = static_cast<int64_t>(terms.size());
  std::vector<T> repeated(static_cast<size_t>(tile * 5));
  for (int64_t q = 0; q <= count; ++q) {
    for (int64_t i = 0; i < tile; ++i) {
      repeated[static_cast<size_t>(q * tile + i)] =
          static_cast<T>(coefficients[static_cast<size_t>(q * channels + i % channels)]);
    }
  }
  parallel_for(0, (n + rows - 1) / rows, 16, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t i = t * tile;
      const T* at[4] = {};
      for (int64_t q = 0; q < count; ++q) at[q] = terms[static_cast<size_t>(q)] + i;
      run_combine(at, count, repeated.data(), tile, out + i, std::min(tile, n * channels - i));
    }
  });
}

template <class T>
void layer_norm_forward_tangent(const LayerNormRows<T>& rows, const T* Rx, const T* gain_tangent,
                                const T* bias_tangent, T* Ry, T* Rhat, T* a) {
  run_forward_tangent(rows, Rx, gain_tangent, bias_tangent, Ry, Rhat, a);
}
// Sums over rows: in T within kRows rows, then in float64.
template <class T, class Run>
void over_rows(int64_t n, int64_t w, T* dg, T* db, const Run& run) {
  constexpr int64_t kRows = 256;
  std::vector<T> part(static_cast<size_t>(2 * w));
  std::vector<double> sums(part.size());
  for (int64_t first = 0; first < n; first += kRows) {
    std::fill(part.begin(), part.end(), T(0));
    run(first, std::min(kRows, n - first), part.data(), part.data() + w);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(part[i]);
  }
  for (int64_t i = 0; dg != nullptr && i < w; ++i) {
    dg[i] += static_cast<T>(sums[static_cast<size_t>(i)]);
    db[i] += static_cast<T>(sums[static_cast<size_t>(w + i)]);
  }
}

template <class T>
LayerNormRows<T> piece(const LayerNormRows<T>& rows, int64_t first, int64_t count) {
  return {count, rows.w, rows.stride, rows.hat + first * rows.w, rows.r + first, rows.gain};
}

template <class T>
void layer_norm_backward(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dg, T* db) {
  over_rows(rows.n, rows.w, dg, db, [&](int64_t first, int64_t count, T* sum_g, T* sum_b) {
    const int64_t at = first * rows.w;
    run_backward(piece(rows, first, count), dy + at, dx == nullptr ? nullptr : dx + at,
                 dg == nullptr ? nullptr : sum_g, sum_b);
  });
}

template <class T>
void layer_norm_backward_tangent(const LayerNormRows<T>& rows, const T* Rdy, const T* gain_tangent,
                                 const T* dy, const T* Rhat, const T* a, T* Rdx, T* Rdg, T* Rdb) {
  over_rows(rows.n, rows.w, Rdg, Rdb, [&](int64_t first, int64_t count, T* sum_g, T* sum_b) {
    const int64_t at = first * rows.stride;
    const bool second = Rhat != nullptr;
    run_backward_tangent(piece(rows, first, count), Rdy + at, gain_tangent,
                         second ? dy + first * rows.w : nullptr, second ? Rhat + at : nullptr,
                         second ? a + first : nullptr, Rdx == nullptr ? nullptr : Rdx + at, sum_g,
                         sum_b);
  });
}

template <class T>
void gelu_slopes(const T* x, T* value, T* erf, T* phi, int64_t n) {
  run_gelu(x, value, erf, phi, n);
}

#define RITZ_INSTANTIATE(T)                                                                        \
  template std::vector<double> channel_sums(const std::vector<ChannelProduct<T>>&, int64_t,        \
                                            int64_t);                                              \
  template void channel_combination(const std::vector<const T*>&, const std::vector<double>&, T*,  \
                                    int64_t, int64_t);                                             \
  template void layer_norm_forward_tangent(const LayerNormRows<T>&, const T*, const T*, const T*,  \
                                           T*, T*, T*);                                            \
  template void layer_norm_backward(const LayerNormRows<T>&, const T*, T*, T*, T*);                \
  template void layer_norm_backward_tangent(const LayerNormRows<T>&, const T*, const T*, const T*, \
                                            const T*, const T*, T*, T*, T*);                       \
  template void gelu_slopes(const T*, T*, T*, T*, int64_t);
RITZ_INSTANTIATE(float)
RITZ_INSTANTIATE(double)

}  // namespace ritz::nn::detail
