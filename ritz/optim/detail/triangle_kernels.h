#pragma once
// The two products of a static inverse Fisher matrix on one slab of columns, triangles alone, for
// contiguous float32 and float64 on the CPU. General products waste the other triangle, or run at
// two thirds of their rate on blocks thin enough not to; these reach the rate of a large product.
// Their plain twins are in tests/optim/inverse_fisher_test.cpp.
#include <cstdint>
#include <vector>

namespace ritz::optim::detail {

/// A slab of m rows and `width` columns, copied by the caller into rows `stride` apart: zeros fill
/// it up to `padded_rows` rows and `padded_width` columns, whole tiles.
template <class T>
struct Slab {
  Slab(int64_t m, int64_t width);
  int64_t m, width, padded_rows, padded_width, stride;
  T* values;  // aligned to whole lines of the cache

 private:
  std::vector<T> memory_;
};

/// K[i, j] += sum_k slab[i, k] slab[j, k] for j <= i (and some above), K [m, m] in double.
/// Cost: m^2 width flops.
template <class T>
void add_gram(const Slab<T>& slab, double* K);

/// out[i, k] = sum_{j <= i} L[i, j] slab[j, k] for `width` columns k; L [padded_rows, padded_rows]
/// with zeros above the diagonal and beyond m. Cost: m^2 width flops.
template <class T>
void multiply_lower(const Slab<T>& slab, const T* L, int64_t width, T* out, int64_t out_stride);

}  // namespace ritz::optim::detail
