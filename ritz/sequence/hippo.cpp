#include "ritz/sequence/hippo.h"

#include <torch/types.h>

#include "ritz/base/check.h"

namespace ritz::sequence {

Tensor hippo_input(int64_t n) {
  check_at_least("n", n, 1);
  return (2 * torch::arange(1, n + 1, torch::kFloat64) - 1).sqrt();
}

Tensor hippo_matrix(int64_t n) {
  const Tensor B = hippo_input(n);
  return -(B.outer(B).tril(-1) + torch::diag(torch::arange(1, n + 1, torch::kFloat64)));
}

NormalPart hippo_normal_part(int64_t n) {
  const Tensor B = hippo_input(n), product = B.outer(B) / 2;
  const Tensor S = product.triu(1) - product.tril(-1);
  const auto [w, vectors] = at::linalg_eigh(torch::complex(torch::zeros_like(S), -S));
  // The solver's pairs agree to rounding only: the upper half says what the lower is.
  const int64_t half = n / 2;
  const Tensor upper_w = w.slice(0, n - half), upper_V = vectors.slice(1, n - half);
  Tensor frequencies = torch::cat({-upper_w.flip(0), upper_w});
  Tensor V = torch::cat({upper_V.flip(1).conj(), upper_V}, 1);
  if (n % 2 == 1) {
    // The null vector of S is real up to a phase.
    Tensor null = vectors.select(1, half);
    const Tensor largest = null.abs().argmax();
    null = torch::real(null * null[largest.item<int64_t>()].conj());
    null = null / null.norm();
    frequencies = torch::cat({-upper_w.flip(0), torch::zeros({1}, w.options()), upper_w});
    V = torch::cat({upper_V.flip(1).conj(),
                    torch::complex(null, torch::zeros_like(null)).unsqueeze(1), upper_V},
                   1);
  }
  return {torch::complex(torch::full({n}, -0.5, torch::kFloat64), frequencies),
          V.resolve_conj().contiguous()};
}

DiagonalSystem diagonal_hippo(int64_t n, const DiagonalHippoOptions& options) {
  check_positive("b_scale", options.b_scale);
  const auto part = hippo_normal_part(n);
  return diagonal_system(part.eigenvalues, part.V, part.V.conj().t().resolve_conj(),
                         options.b_scale * hippo_input(n), options.storage);
}

DplrSystem dplr_hippo(int64_t n, Storage storage) {
  const auto system = diagonal_hippo(n, {.b_scale = 1, .storage = storage});
  return {system.eigenvalues, system.B / std::sqrt(2.0), system.B, system.W, system.weights};
}

namespace {
Tensor half_count(int64_t n) {
  check_at_least("n", n, 2);
  if (n % 2 != 0) throw InvalidArgument("n", "an even number of states", std::to_string(n));
  return torch::arange(n / 2, torch::kFloat64);
}
}  // namespace

Tensor s4d_lin_eigenvalues(int64_t n) {
  const Tensor k = half_count(n);
  return torch::complex(torch::full_like(k, -0.5), M_PI * k);
}

Tensor s4d_inv_eigenvalues(int64_t n) {
  const Tensor k = half_count(n);
  const double N = static_cast<double>(n);
  return torch::complex(torch::full_like(k, -0.5), N / M_PI * (N / (2 * k + 1) - 1));
}

}  // namespace ritz::sequence
