#include "ritz/koopman/kernel_edmd.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

struct KernelMatrices {
  Tensor G, A, L;
};

/// The states that are used by some pair lie side by side, and one Gram matrix holds all three.
KernelMatrices matrices(const Kernel& kernel, const Snapshots& snapshots) {
  const int64_t M = snapshots.pairs();
  if (snapshots.consecutive()) {
    const int64_t first = snapshots.rows[0].item<int64_t>();
    const int64_t count = snapshots.rows[M - 1].item<int64_t>() + 2 - first;
    if (count * count < 5 * M * M / 2) {
      const Tensor all = kernel.gram(snapshots.states.narrow(0, first, count));
      if (count == M + 1) {
        return {all.slice(0, 0, M).slice(1, 0, M), all.slice(0, 1).slice(1, 0, M),
                all.slice(0, 1).slice(1, 1)};
      }
      const Tensor x = (snapshots.rows - first).to(all.device()), y = x + 1;
      const auto part = [&](const Tensor& i, const Tensor& j) {
        return all.index_select(0, i).index_select(1, j);
      };
      return {part(x, x), part(y, x), part(y, y)};
    }
  }
  const Tensor x = snapshots.x(), y = snapshots.y();
  return {kernel.gram(x), kernel(y, x), kernel.gram(y)};
}

/// For each left eigenvalue the right one nearest to it that no other has taken.
Tensor matching(const Tensor& left, const Tensor& right) {
  const int64_t r = left.size(0);
  const Tensor a = at::view_as_real(left.cpu().contiguous()).contiguous();
  const Tensor b = at::view_as_real(right.cpu().contiguous()).contiguous();
  const double* l = a.data_ptr<double>();
  const double* q = b.data_ptr<double>();
  std::vector<char> taken(static_cast<size_t>(r), 0);
  std::vector<int64_t> partner(static_cast<size_t>(r));
  for (int64_t j = 0; j < r; ++j) {
    int64_t best = -1;
    double least = 0;
    for (int64_t k = 0; k < r; ++k) {
      if (taken[static_cast<size_t>(k)] != 0) continue;
      const double gap = std::hypot(l[2 * j] - q[2 * k], l[2 * j + 1] - q[2 * k + 1]);
      if (best < 0 || gap < least) {
        best = k;
        least = gap;
      }
    }
    taken[static_cast<size_t>(best)] = 1;
    partner[static_cast<size_t>(j)] = best;
  }
  return torch::tensor(partner, torch::kInt64);
}

}  // namespace

KernelEdmd kernel_edmd(const Kernel& kernel, const Snapshots& snapshots,
                       const KernelEdmdOptions& options) {
  if (snapshots.pairs() < 1) throw InvalidArgument("snapshots", "at least one pair", "none");
  if (snapshots.weights.defined()) {
    throw Unsupported("kernel EDMD takes pairs of equal weights; EDMD takes any");
  }
  const KernelMatrices m = matrices(kernel, snapshots);
  KernelEdmd result;
  result.kernel = kernel;
  result.states = snapshots.x();
  result.T = principal_sections(m.G, options.size, options.cutoff);
  const Tensor adjoint = result.T.mH();
  result.K = adjoint.matmul(m.A.matmul(result.T));
  result.L = adjoint.matmul(m.L.matmul(result.T));
  return result;
}

// Cost: 2 M r d flops.
Tensor kernel_modes(const KernelEdmd& fit, const Tensor& right) {
  check_shape("right", right, {fit.rank(), fit.rank()});
  // PX = G1 T = U D^{1/2} has the pseudo-inverse D^{-1/2} U^* = T^*.
  const Tensor T =
      fit.T.is_complex() == fit.states.is_complex() ? fit.T : detail::complex128(fit.T);
  const Tensor coordinates = T.mH().matmul(detail::float64(fit.states));
  return std::get<0>(at::linalg_lstsq(detail::complex128(right), detail::complex128(coordinates)));
}

// Cost: two eigendecompositions, 25 r^3 flops each.
AdjointModes adjoint_modes(const Tensor& K, const Tensor& L) {
  check_dim("K", K, 2);
  check_shape("K", K, {-1, K.size(0)});
  check_shape("L", L, K.sizes());
  const auto [left_values, left] = at::linalg_eig(K.mH());
  const auto [right_values, right] = at::linalg_eig(K);
  const Tensor values = left_values.conj().resolve_conj();
  const Tensor image = detail::complex128(L).matmul(left);
  const Tensor size = left.abs().square().sum(0);
  const Tensor quotient = at::real((left.conj() * image).sum(0)) / size;
  const Tensor residuals = (quotient - values.abs().square()).clamp_min(0).sqrt();
  const Tensor order = std::get<1>(residuals.sort(/*stable=*/true, 0, /*descending=*/false));
  const Tensor sorted = values.index_select(0, order);
  const Tensor partner = matching(sorted, right_values).to(K.device());
  return {sorted, left.index_select(1, order), right.index_select(1, partner),
          residuals.index_select(0, order)};
}

}  // namespace ritz::koopman
