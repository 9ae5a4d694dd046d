#include "ritz/optim/kronecker/factor.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/detail/product.h"

namespace ritz::optim {

namespace {

/// Columns of a panel: wide enough for the products' rate, narrow enough to skip most of the upper
/// triangle.
constexpr int64_t kPanel = 128;

/// Left-looking, a panel of columns at a time:
///     P = M[j:, j:e] + damping I - L[j:, :j] L[j:e, :j]^T,  P[:w] = D D^T,  L[j:, j:e] = P D^-T.
/// Nearly all flops are in one large product a panel; libtorch's own factorisation (LAPACK) of
/// order 1024 takes 1.4 times as long. False where a panel's head is not positive definite.
bool factorise(const Tensor& M, double damping, const Tensor& L) {
  const int64_t d = M.size(0);
  const int64_t panel = M.device().is_cpu() ? kPanel : d;
  for (int64_t j = 0; j < d; j += panel) {
    const int64_t w = std::min(panel, d - j);
    const Tensor P = L.narrow(0, j, d - j).narrow(1, j, w), head = P.narrow(0, 0, w);
    P.copy_(M.narrow(0, j, d - j).narrow(1, j, w));
    head.diagonal().add_(damping);
    if (j > 0) {
      P.addmm_(L.narrow(0, j, d - j).narrow(1, 0, j), L.narrow(0, j, w).narrow(1, 0, j).t(), 1, -1);
    }
    const auto [D, info] = at::linalg_cholesky_ex(head);
    if (info.item<int64_t>() != 0) return false;
    head.copy_(D);
    if (j + w == d) break;
    const Tensor rest = P.narrow(0, w, d - j - w);
    rest.copy_(at::linalg_solve_triangular(D.t(), rest, /*upper=*/true, /*left=*/false));
  }
  return true;
}

}  // namespace

void add_gram(const Tensor& M, const Tensor& rows, double keep, double weight) {
  const int64_t d = M.size(0);
  for (int64_t i = 0; i < d; i += kPanel) {
    const int64_t end = std::min(d, i + kPanel);
    M.narrow(0, i, end - i)
        .narrow(1, 0, end)
        .addmm_(rows.narrow(1, i, end - i).t(), rows.narrow(1, 0, end), keep, weight);
  }
}

double damped_cholesky(const Tensor& M, double damping, const Tensor& L) {
  const double top = M.diagonal().max().item<double>();
  const double rounding = M.scalar_type() == at::kFloat ? std::numeric_limits<float>::epsilon()
                                                        : std::numeric_limits<double>::epsilon();
  constexpr int kAttempts = 20;
  for (int attempt = 0; std::isfinite(top) && attempt < kAttempts; ++attempt) {
    if (factorise(M, damping, L)) return damping;
    damping = std::max(10 * damping, static_cast<double>(M.size(0)) * rounding * top);
  }
  throw NotConverged("second moment " + describe(M) + ": expected a finite one, found another");
}

Tensor divide_rows(const Tensor& X, const Tensor& L) {
  const Tensor half = at::linalg_solve_triangular(L.t(), X, /*upper=*/true, /*left=*/false);
  return at::linalg_solve_triangular(L, half, /*upper=*/false, /*left=*/false);
}

Tensor divide_columns(const Tensor& L, const Tensor& X) {
  const Tensor half = at::linalg_solve_triangular(L, X, /*upper=*/false, /*left=*/true);
  return at::linalg_solve_triangular(L.t(), half, /*upper=*/true, /*left=*/true);
}

EigenFactor eigen_factor(const Tensor& M) {
  auto [d, Q] = at::linalg_eigh(M, "L");
  // LAPACK's vectors stand column by column; row by row they can be sent to other ranks, and
  // products with them round alike wherever they come from.
  return {Q.contiguous(), d.clamp_min_(0)};
}

namespace {

/// Q_g [ Y / (d_g d_a^T + damping) ] Q_a^T; overwrites Y.
Tensor divide_inside(Tensor Y, const EigenFactor& g, const EigenFactor& a, double damping) {
  Y.div_(at::outer(g.d, a.d).add_(damping));
  return detail::times_factor(detail::product(g.Q, Y), a.Q);
}

}  // namespace

Tensor divide_by_eigen(const Tensor& X, const EigenFactor& g, const EigenFactor& a,
                       double damping) {
  return divide_inside(detail::product(detail::product(g.Q.t(), X), a.Q), g, a, damping);
}

Tensor divide_by_eigen(const Tensor& G, const Tensor& A, double weight, const EigenFactor& g,
                       const EigenFactor& a, double damping) {
  return divide_inside(
      detail::product(detail::product(G, g.Q).t(), detail::product(A, a.Q)).mul_(weight), g, a,
      damping);
}

}  // namespace ritz::optim
