#include "ritz/sequence/eigensystem.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {
namespace {

Tensor column_norms(const Tensor& W) {
  return at::linalg_vector_norm(W, 2, at::IntArrayRef{0}, true);
}

}  // namespace

EigenSystem eigensystem(const Tensor& A) {
  check_floating("A", A, /*complex=*/true);
  if (A.dim() != 2 || A.size(0) != A.size(1) || A.size(0) < 1)
    throw InvalidArgument("A", "a square matrix", describe(A));
  check_finite("A", A);
  EigenSystem system;
  try {
    const Tensor wide =
        A.detach().to(torch::kCPU, A.is_complex() ? torch::kComplexDouble : torch::kFloat64);
    auto [m, W] = at::linalg_eig(wide);
    system.eigenvalues = m;
    system.W = W / column_norms(W);
    system.W_inv = at::linalg_inv(system.W);
  } catch (const c10::Error& error) {
    throw NotConverged(format_error("eigenvectors of A", "a basis of eigenvectors",
                                    "a matrix that cannot be diagonalised as it is (" +
                                        std::string(error.what_without_backtrace()).substr(0, 120) +
                                        ")"));
  }
  const Tensor m = system.eigenvalues;
  const int64_t n = m.size(0);
  system.gap = std::numeric_limits<double>::infinity();
  if (n > 1) {
    const Tensor apart = (m.unsqueeze(0) - m.unsqueeze(1)).abs();
    apart.fill_diagonal_(std::numeric_limits<double>::infinity());
    system.gap = apart.min().item<double>();
  }
  return system;
}

double condition_number(const Tensor& W) {
  const Tensor s = at::linalg_svdvals(W.to(torch::kComplexDouble));
  return (s[0] / s[-1]).item<double>();
}

EigenLoss eigen_loss(const EigenSystem& system, const EigenObjective& objective) {
  const Tensor &W = system.W, &Y = system.W_inv, &m = system.eigenvalues;
  const int64_t n = m.size(0);
  EigenLoss result;
  Tensor G;  // the gradient of log kappa with respect to W
  const Tensor Wt = W.conj().t();
  if (objective.conditioning == Conditioning::two_norm) {
    // Singular values by way of W^* W: kappa^2 is far from 1/eps wherever it is worth minimising.
    const auto [square, V] = at::linalg_eigh(Wt.mm(W));
    const double low = std::max(square[0].item<double>(), 1e-300), high = square[-1].item<double>();
    result.kappa = std::sqrt(high / low);
    // u v^* / sigma with u = W v / sigma.
    const Tensor top = V.select(1, n - 1), end = V.select(1, 0);
    G = W.mv(top).outer(top.conj()) / high - W.mv(end).outer(end.conj()) / low;
  } else {
    const double inverse = Y.norm().item<double>();
    result.kappa = inverse / std::sqrt(static_cast<double>(n));  // ||W||_F = sqrt(n)
    const Tensor Yt = Y.conj().t();
    G = -Yt.mm(Y).mm(Yt) / (inverse * inverse);
  }
  result.loss = std::log(result.kappa);
  G = G - W * torch::real((W.conj() * G).sum(0));  // columns stay of unit length
  const Tensor distance = m.unsqueeze(0) - m.unsqueeze(1);
  Tensor F = 1 / distance;
  F.fill_diagonal_(0);
  Tensor N = Wt.mm(G) * F.conj();
  if (objective.penalty > 0) {
    const Tensor over = (torch::real(m) - objective.abscissa).clamp_min(0);
    result.loss += objective.penalty * over.square().mean().item<double>();
    N.diagonal().add_(2 * objective.penalty / static_cast<double>(n) * over);
  }
  result.gradient = Y.conj().t().mm(N).mm(Wt);
  return result;
}

}  // namespace ritz::sequence
