#include <torch/types.h>

#include <algorithm>

#include "ritz/krylov/extreme_eigenpairs.h"
#include "ritz/linop/function_operator.h"
#include "ritz/rows/top_vector/detail/factor.h"

namespace ritz::rows::detail {
namespace {

// Up to this order dense diagonalisation takes milliseconds.
constexpr int64_t kDense = 512;

}  // namespace

TopPair top_pair(const Tensor& W) {
  const int64_t m = W.size(0), d = W.size(1);
  TopPair pair;
  Tensor v;
  if (std::min(m, d) <= kDense) {
    const auto [values, vectors] = torch::linalg_eigh(m <= d ? W.mm(W.t()) : W.t().mm(W));
    const int64_t last = values.size(0) - 1;
    pair.first = values[last].item<double>();
    if (last > 0) pair.second = std::max(values[last - 1].item<double>(), 0.0);
    const Tensor u = vectors.select(1, last);
    v = m <= d ? W.t().mv(u) : u;
  } else {
    const SymmetricFunctionOperator square(
        d, W.options(), [&](const Tensor& x) { return W.t().matmul(W.matmul(x)); });
    const auto ends = extreme_eigenpairs(square, {.largest = 2, .tolerance = 1e-12});
    pair.first = ends.largest.values[0].item<double>();
    pair.second = std::max(ends.largest.values[1].item<double>(), 0.0);
    v = ends.largest.vectors[0];
  }
  v = W.t().mv(W.mv(v / v.norm()));
  pair.vector = v / v.norm();
  return pair;
}

Tensor nystrom_factor(const Tensor& Z, const Tensor& Y, double scale) {
  const Tensor T = Z.mm(Y.t());
  const auto [w, U] = torch::linalg_eigh((T + T.t()) / 2);
  const Tensor large = (w > 1e-12 * w.max()).logical_and(w > 0);
  const Tensor chosen = large.nonzero().flatten();
  const Tensor root = w.index_select(0, chosen).rsqrt().mul_(scale);
  return U.index_select(1, chosen).mul_(root).t().mm(Y);
}

Tensor leading_rows(const Tensor& W, int64_t count) {
  if (W.size(0) <= count) return W;
  const auto [values, vectors] = torch::linalg_eigh(W.mm(W.t()));
  return vectors.slice(1, W.size(0) - count).t().mm(W);
}

Tensor orthonormal_rows(const Tensor& Y, const Tensor& otherwise) {
  if (!(Y.abs().max().item<double>() > 0)) return otherwise;
  return std::get<0>(torch::linalg_qr(Y.t())).t().contiguous();
}

}  // namespace ritz::rows::detail
