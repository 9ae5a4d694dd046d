#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ritz/base/detail/clones.h"
#include "ritz/base/detail/eight.h"
#include "ritz/base/parallel.h"
#include "ritz/rows/top_vector/detail/row_kernels.h"

namespace ritz::rows::detail {
namespace {

using ritz::detail::Double8;
using ritz::detail::Eight;
// Macros, as no function may take or return a Double8.
#define RITZ_LOAD8(Scalar, pointer) \
  __builtin_convertvector(*reinterpret_cast<const typename Eight<Scalar>::Type*>(pointer), Double8)
#define RITZ_STORE8(pointer, value) *reinterpret_cast<Eight<double>::Type*>(pointer) = (value)
#define RITZ_SUM8(v) (((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])))

/// A slab of Z or Y (four rows of so many columns, 32 KiB) stays in the first cache while the rows
/// pass by.
constexpr int64_t kSlab = 1024;

/// c[r * ld + j] += a_r . z_j for R rows and K rows of z, n columns.
template <class Scalar, int R, int K>
RITZ_INLINE void add_dots(const Scalar* const* a, const double* z, int64_t z_stride, int64_t n,
                          double* c, int64_t ld) {
  Double8 sum[R][K] = {};
  int64_t x = 0;
  for (; x + 8 <= n; x += 8) {
    Double8 zs[K];
#pragma GCC unroll 4
    for (int j = 0; j < K; ++j) zs[j] = RITZ_LOAD8(double, z + j * z_stride + x);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Double8 row = RITZ_LOAD8(Scalar, a[r] + x);
#pragma GCC unroll 4
      for (int j = 0; j < K; ++j) sum[r][j] += row * zs[j];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < K; ++j) {
      double total = RITZ_SUM8(sum[r][j]);
      for (int64_t t = x; t < n; ++t) total += static_cast<double>(a[r][t]) * z[j * z_stride + t];
      c[r * ld + j] += total;
    }
}

/// y_j += sum_r c[r * ld + j] a_r
template <class Scalar, int R, int K>
RITZ_INLINE void add_rows(const Scalar* const* a, const double* c, int64_t ld, int64_t n, double* y,
                          int64_t y_stride) {
  int64_t x = 0;
  for (; x + 8 <= n; x += 8) {
    Double8 row[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) row[r] = RITZ_LOAD8(Scalar, a[r] + x);
#pragma GCC unroll 4
    for (int j = 0; j < K; ++j) {
      Double8 to = RITZ_LOAD8(double, y + j * y_stride + x);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) to += row[r] * c[r * ld + j];
      RITZ_STORE8(y + j * y_stride + x, to);
    }
  }
  for (; x < n; ++x)
    for (int j = 0; j < K; ++j)
      for (int r = 0; r < R; ++r)
        y[j * y_stride + x] += c[r * ld + j] * static_cast<double>(a[r][x]);
}

/// Rows as the two stages see them.
template <class Scalar>
struct Batch {
  const Scalar* data;
  int64_t stride;
  const int64_t* which;
  int64_t count;

  template <int R>
  RITZ_INLINE void pointers(int64_t at, int64_t column, const Scalar** a) const {
    for (int r = 0; r < R; ++r) a[r] = data + which[at + r] * stride + column;
  }
};

template <class Scalar, int K>
RITZ_INLINE void dots_of(const Batch<Scalar>& batch, int64_t begin, int64_t end, const double* z,
                         int64_t d, double* c, int64_t ld) {
  for (int64_t at = 0; at < d; at += kSlab) {
    const int64_t n = std::min(kSlab, d - at);
    const Scalar* a[4];
    int64_t i = begin;
    for (; i + 4 <= end; i += 4) {
      batch.template pointers<4>(i, at, a);
      add_dots<Scalar, 4, K>(a, z + at, d, n, c + i * ld, ld);
    }
    for (; i < end; ++i) {
      batch.template pointers<1>(i, at, a);
      add_dots<Scalar, 1, K>(a, z + at, d, n, c + i * ld, ld);
    }
  }
}

template <class Scalar, int K>
RITZ_INLINE void rows_of(const Batch<Scalar>& batch, const double* c, int64_t ld, int64_t column,
                         int64_t n, double* y, int64_t d) {
  const Scalar* a[4];
  int64_t i = 0;
  for (; i + 4 <= batch.count; i += 4) {
    batch.template pointers<4>(i, column, a);
    add_rows<Scalar, 4, K>(a, c + i * ld, ld, n, y + column, d);
  }
  for (; i < batch.count; ++i) {
    batch.template pointers<1>(i, column, a);
    add_rows<Scalar, 1, K>(a, c + i * ld, ld, n, y + column, d);
  }
}

template <class Scalar>
struct DotArguments {
  Batch<Scalar> batch;
  int64_t begin, end;
  const double* z;
  int64_t d;
  double* c;
  int64_t ld;
  int width;
};
template <class Scalar>
RITZ_INLINE void dots_body(const DotArguments<Scalar>& a) {
  if (a.width == 4) return dots_of<Scalar, 4>(a.batch, a.begin, a.end, a.z, a.d, a.c, a.ld);
  if (a.width == 3) return dots_of<Scalar, 3>(a.batch, a.begin, a.end, a.z, a.d, a.c, a.ld);
  if (a.width == 2) return dots_of<Scalar, 2>(a.batch, a.begin, a.end, a.z, a.d, a.c, a.ld);
  dots_of<Scalar, 1>(a.batch, a.begin, a.end, a.z, a.d, a.c, a.ld);
}
RITZ_CLONES void run(const DotArguments<float>& a) {
  dots_body(a);
}
RITZ_CLONES void run(const DotArguments<double>& a) {
  dots_body(a);
}

template <class Scalar>
struct RowArguments {
  Batch<Scalar> batch;
  const double* c;
  int64_t ld, column, n;
  double* y;
  int64_t d;
  int width;
};
template <class Scalar>
RITZ_INLINE void rows_body(const RowArguments<Scalar>& a) {
  if (a.width == 4) return rows_of<Scalar, 4>(a.batch, a.c, a.ld, a.column, a.n, a.y, a.d);
  if (a.width == 3) return rows_of<Scalar, 3>(a.batch, a.c, a.ld, a.column, a.n, a.y, a.d);
  if (a.width == 2) return rows_of<Scalar, 2>(a.batch, a.c, a.ld, a.column, a.n, a.y, a.d);
  rows_of<Scalar, 1>(a.batch, a.c, a.ld, a.column, a.n, a.y, a.d);
}
RITZ_CLONES void run(const RowArguments<float>& a) {
  rows_body(a);
}
RITZ_CLONES void run(const RowArguments<double>& a) {
  rows_body(a);
}

/// a . b over d columns, four sums of eight side by side.
template <class Scalar, class Other>
RITZ_INLINE double dot(const Scalar* a, const Other* b, int64_t d) {
  Double8 s0{}, s1{}, s2{}, s3{};
  int64_t x = 0;
  for (; x + 32 <= d; x += 32) {
    s0 += RITZ_LOAD8(Scalar, a + x) * RITZ_LOAD8(Other, b + x);
    s1 += RITZ_LOAD8(Scalar, a + x + 8) * RITZ_LOAD8(Other, b + x + 8);
    s2 += RITZ_LOAD8(Scalar, a + x + 16) * RITZ_LOAD8(Other, b + x + 16);
    s3 += RITZ_LOAD8(Scalar, a + x + 24) * RITZ_LOAD8(Other, b + x + 24);
  }
  for (; x + 8 <= d; x += 8) s0 += RITZ_LOAD8(Scalar, a + x) * RITZ_LOAD8(Other, b + x);
  s0 = (s0 + s1) + (s2 + s3);
  double sum = RITZ_SUM8(s0);
  for (; x < d; ++x) sum += static_cast<double>(a[x]) * static_cast<double>(b[x]);
  return sum;
}

template <class Scalar>
struct NormArguments {
  const Scalar* data;
  int64_t stride, count, d;
  double* norms;
};
template <class Scalar>
RITZ_INLINE void norms_body(const NormArguments<Scalar>& a) {
  for (int64_t i = 0; i < a.count; ++i) {
    const Scalar* row = a.data + i * a.stride;
    a.norms[i] = dot(row, row, a.d);
  }
}
RITZ_CLONES void run(const NormArguments<float>& a) {
  norms_body(a);
}
RITZ_CLONES void run(const NormArguments<double>& a) {
  norms_body(a);
}

// Beyond this ||v||^2 the next rows might overflow; far below it nothing is lost by waiting.
constexpr double kLarge = 1e120;

template <class Scalar>
struct OjaArguments {
  const Scalar* data;
  int64_t stride, count, d;
  const double *norms, *eta;
  double *v, *y;
  double norm2, log_scale;
};
template <class Scalar>
RITZ_INLINE void oja_body(OjaArguments<Scalar>& a) {
  double* v = a.v;
  for (int64_t i = 0; i < a.count; ++i) {
    const Scalar* row = a.data + i * a.stride;
    const double y = dot(row, v, a.d), eta = a.eta[i], step = eta * y;
    a.y[i] = y / std::sqrt(a.norm2);
    a.norm2 += (2 * eta + eta * eta * a.norms[i]) * y * y;
    int64_t x = 0;
    for (; x + 8 <= a.d; x += 8)
      RITZ_STORE8(v + x, RITZ_LOAD8(double, v + x) + step * RITZ_LOAD8(Scalar, row + x));
    for (; x < a.d; ++x) v[x] += step * static_cast<double>(row[x]);
    if (a.norm2 > kLarge) {
      const double scale = 1 / std::sqrt(a.norm2);
      for (int64_t t = 0; t < a.d; ++t) v[t] *= scale;
      a.log_scale -= std::log(scale);
      a.norm2 = 1;
    }
  }
}
RITZ_CLONES void run(OjaArguments<float>& a) {
  oja_body(a);
}
RITZ_CLONES void run(OjaArguments<double>& a) {
  oja_body(a);
}

/// Work for one thread that is worth its start, in multiplications.
constexpr int64_t kGrain = 1 << 16;

int64_t grain(int64_t each) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(each, 1));
}

/// c[i, j] += a_i . z_j over the rows of the batch, c [m, k].
template <class Scalar>
void dot_all(const Batch<Scalar>& batch, const Tensor& Z, double* c) {
  const int64_t d = Z.size(1), k = Z.size(0);
  const double* z = Z.const_data_ptr<double>();
  for (int64_t j = 0; j < k; j += 4) {
    const int width = static_cast<int>(std::min<int64_t>(4, k - j));
    parallel_for(0, batch.count, grain(d * width), [&](int64_t begin, int64_t end) {
      run(DotArguments<Scalar>{batch, begin, end, z + j * d, d, c + j, k, width});
    });
  }
}

/// y_j += sum_i c[i, j] a_i
template <class Scalar>
void add_all(const Batch<Scalar>& batch, const double* c, const Tensor& Y) {
  const int64_t d = Y.size(1), k = Y.size(0), slabs = (d + kSlab - 1) / kSlab;
  double* y = Y.mutable_data_ptr<double>();
  for (int64_t j = 0; j < k; j += 4) {
    const int width = static_cast<int>(std::min<int64_t>(4, k - j));
    parallel_for(0, slabs, grain(batch.count * width * kSlab), [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s)
        run(RowArguments<Scalar>{batch, c + j, k, s * kSlab, std::min(kSlab, d - s * kSlab),
                                 y + j * d, d, width});
    });
  }
}

template <class Scalar>
Batch<Scalar> batch_of(const Tensor& rows, std::span<const int64_t> which) {
  return {rows.const_data_ptr<Scalar>(), rows.stride(0), which.data(),
          static_cast<int64_t>(which.size())};
}

template <class Scalar>
void product(const Tensor& rows, std::span<const int64_t> which, std::span<const double> weights,
             const Tensor& Z, const Tensor& Y) {
  const auto batch = batch_of<Scalar>(rows, which);
  const int64_t k = Z.size(0);
  std::vector<double> c(batch.count * k, 0.0);
  dot_all(batch, Z, c.data());
  if (!weights.empty())
    for (int64_t i = 0; i < batch.count; ++i)
      for (int64_t j = 0; j < k; ++j) c[i * k + j] *= weights[i];
  add_all(batch, c.data(), Y);
}

std::vector<int64_t> all_rows(const Tensor& rows) {
  std::vector<int64_t> all(rows.size(0));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Tensor index_of(std::span<const int64_t> which, const c10::Device& device) {
  return torch::tensor(at::IntArrayRef(which.data(), which.size()), torch::kInt64).to(device);
}

template <class Scalar>
double oja_dense(const Tensor& rows, std::span<const double> norms, std::span<const double> eta,
                 const Tensor& v, std::span<double> y) {
  const double before = v.dot(v).item<double>();
  OjaArguments<Scalar> a{rows.const_data_ptr<Scalar>(),
                         rows.stride(0),
                         rows.size(0),
                         rows.size(1),
                         norms.data(),
                         eta.data(),
                         v.mutable_data_ptr<double>(),
                         y.data(),
                         before,
                         0};
  run(a);
  return a.log_scale + 0.5 * std::log(a.norm2 / before);
}

/// The nonzeros of a compressed row.
template <class Visit>
void for_each_row(const SparseRows& rows, Visit&& visit) {
  const int64_t* starts = rows.pointers.const_data_ptr<int64_t>();
  const int64_t* columns = rows.columns.const_data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(rows.values.scalar_type(), "sparse rows", [&] {
    const scalar_t* values = rows.values.const_data_ptr<scalar_t>();
    for (int64_t i = 0, b = rows.rows(); i < b; ++i)
      visit(i, columns + starts[i], values + starts[i], starts[i + 1] - starts[i]);
  });
}

}  // namespace

void squared_norms(const Tensor& rows, std::span<double> norms) {
  if (!rows.is_cpu()) {
    const Tensor found = rows.to(torch::kFloat64).square().sum(1).to(torch::kCPU);
    std::copy_n(found.const_data_ptr<double>(), norms.size(), norms.begin());
    return;
  }
  const int64_t d = rows.size(1);
  parallel_for(0, rows.size(0), grain(d), [&](int64_t begin, int64_t end) {
    AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "squared_norms", [&] {
      run(NormArguments<scalar_t>{rows.const_data_ptr<scalar_t>() + begin * rows.stride(0),
                                  rows.stride(0), end - begin, d, norms.data() + begin});
    });
  });
}

void squared_norms(const SparseRows& rows, std::span<double> norms) {
  for_each_row(rows, [&](int64_t i, const int64_t*, const auto* value, int64_t n) {
    double sum = 0;
    for (int64_t t = 0; t < n; ++t)
      sum += static_cast<double>(value[t]) * static_cast<double>(value[t]);
    norms[i] = sum;
  });
}

void add_gram_product(const Tensor& rows, std::span<const int64_t> which,
                      std::span<const double> weights, const Tensor& Z, const Tensor& Y) {
  if (which.empty()) return;
  if (!rows.is_cpu()) return add_gram_product_reference(rows, which, weights, Z, Y);
  AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "add_gram_product",
                             [&] { product<scalar_t>(rows, which, weights, Z, Y); });
}

void row_products(const Tensor& rows, const Tensor& Z, const Tensor& C) {
  if (!rows.is_cpu()) {
    C.copy_(rows.to(torch::kFloat64).mm(Z.t()));
    return;
  }
  const auto all = all_rows(rows);
  C.zero_();
  AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "row_products", [&] {
    dot_all(batch_of<scalar_t>(rows, all), Z, C.mutable_data_ptr<double>());
  });
}

void add_combinations(const Tensor& rows, const Tensor& C, const Tensor& Y) {
  if (!rows.is_cpu()) {
    Y.addmm_(C.t(), rows.to(torch::kFloat64));
    return;
  }
  const auto all = all_rows(rows);
  AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "add_combinations", [&] {
    add_all(batch_of<scalar_t>(rows, all), C.const_data_ptr<double>(), Y);
  });
}

void add_gram_product_reference(const Tensor& rows, std::span<const int64_t> which,
                                std::span<const double> weights, const Tensor& Z, const Tensor& Y) {
  const Tensor B = rows.index_select(0, index_of(which, rows.device())).to(torch::kFloat64);
  Tensor C = B.mm(Z.t());
  if (!weights.empty()) {
    const std::vector<double> w(weights.begin(), weights.end());
    C.mul_(torch::tensor(w, torch::kFloat64).to(C.device()).unsqueeze(1));
  }
  Y.addmm_(C.t(), B);
}

void add_gram_product(const SparseRows& rows, std::span<const int64_t> which,
                      std::span<const double> weights, const Tensor& Z, const Tensor& Y) {
  const int64_t d = rows.cols, k = Z.size(0);
  const double* z = Z.const_data_ptr<double>();
  double* y = Y.mutable_data_ptr<double>();
  size_t next = 0;
  for_each_row(rows, [&](int64_t i, const int64_t* column, const auto* value, int64_t n) {
    if (next == which.size() || which[next] != i) return;
    const double weight = weights.empty() ? 1 : weights[next];
    ++next;
    for (int64_t j = 0; j < k; ++j) {
      double c = 0;
      for (int64_t t = 0; t < n; ++t) c += static_cast<double>(value[t]) * z[j * d + column[t]];
      c *= weight;
      for (int64_t t = 0; t < n; ++t) y[j * d + column[t]] += c * static_cast<double>(value[t]);
    }
  });
}

double oja_rows(const Tensor& rows, std::span<const double> norms, std::span<const double> eta,
                const Tensor& v, std::span<double> y) {
  return rows.scalar_type() == torch::kFloat32 ? oja_dense<float>(rows, norms, eta, v, y)
                                               : oja_dense<double>(rows, norms, eta, v, y);
}

double oja_rows(const SparseRows& rows, std::span<const double> norms, std::span<const double> eta,
                const Tensor& v, std::span<double> y) {
  const double before = v.dot(v).item<double>();
  double norm2 = before, log_scale = 0;
  double* at = v.mutable_data_ptr<double>();
  for_each_row(rows, [&](int64_t i, const int64_t* column, const auto* value, int64_t n) {
    double found = 0;
    for (int64_t t = 0; t < n; ++t) found += static_cast<double>(value[t]) * at[column[t]];
    y[i] = found / std::sqrt(norm2);
    norm2 += (2 * eta[i] + eta[i] * eta[i] * norms[i]) * found * found;
    for (int64_t t = 0; t < n; ++t) at[column[t]] += eta[i] * found * static_cast<double>(value[t]);
    if (norm2 > kLarge) {
      const double scale = 1 / std::sqrt(norm2);
      for (int64_t x = 0; x < rows.cols; ++x) at[x] *= scale;
      log_scale -= std::log(scale);
      norm2 = 1;
    }
  });
  return log_scale + 0.5 * std::log(norm2 / before);
}

}  // namespace ritz::rows::detail
