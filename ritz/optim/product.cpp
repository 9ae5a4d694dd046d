#include <torch/types.h>

#include <algorithm>

#include "ritz/base/gemm.h"
#include "ritz/optim/detail/product.h"

namespace ritz::optim::detail {

namespace {
// Rows of a half-precision factor that are widened at a time: they then stay in the cache.
constexpr int64_t kRows = 256;

bool onednn_works() {
  const at::NoGradGuard no_graph;
  try {
    gemm_by(GemmBackend::onednn, at::ones({2, 2}), at::ones({2, 2}));
    return true;
  } catch (const std::exception&) {  // another libtorch
    return false;
  }
}
}  // namespace

Tensor product(const Tensor& a, const Tensor& b) {
  constexpr double kLarge = 128.0 * 128 * 128;
  const auto work = static_cast<double>(a.size(0)) * static_cast<double>(a.size(1)) *
                    static_cast<double>(b.size(1));
  static const bool available = onednn_works();
  const bool onednn = available && work >= kLarge && std::min(a.size(0), b.size(1)) >= 8 &&
                      a.is_cpu() && a.scalar_type() == at::kFloat;
  return onednn ? gemm_by(GemmBackend::onednn, a, b) : a.mm(b);
}

Tensor times_factor(const Tensor& x, const Tensor& M) {
  if (M.scalar_type() == x.scalar_type()) return product(x, M.t());
  Tensor y = at::empty({x.size(0), M.size(0)}, x.options());
  for (int64_t first = 0; first < M.size(0); first += kRows) {
    const int64_t n = std::min(kRows, M.size(0) - first);
    y.narrow(1, first, n).copy_(product(x, M.narrow(0, first, n).to(x.scalar_type()).t()));
  }
  return y;
}

Tensor factor_times(const Tensor& M, const Tensor& x) {
  if (M.scalar_type() == x.scalar_type()) return product(M, x);
  Tensor y = at::empty({M.size(0), x.size(1)}, x.options());
  for (int64_t first = 0; first < M.size(0); first += kRows) {
    const int64_t n = std::min(kRows, M.size(0) - first);
    y.narrow(0, first, n).copy_(product(M.narrow(0, first, n).to(x.scalar_type()), x));
  }
  return y;
}

}  // namespace ritz::optim::detail
