#include "ritz/sequence/transfer.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/sequence/hippo.h"

namespace ritz::sequence {
namespace {

Tensor wide(const Tensor& z) {
  return z.detach().to(torch::kComplexDouble);
}

/// || error ||_2 at each omega, in slabs that fit the cache.
Tensor error_norms(const Tensor& omega, const Tensor& m, const Tensor& Wt, const Tensor& Yb) {
  const int64_t n = Wt.size(1);
  std::vector<Tensor> parts;
  for (const Tensor& w : omega.split(2048)) {
    const Tensor s = torch::complex(torch::zeros_like(w), w);
    const Tensor approximate = (Yb / (s.unsqueeze(1) - m)).mm(Wt);
    parts.push_back(
        (hippo_resolvent(n, s) / static_cast<double>(n) - approximate).norm(2, at::IntArrayRef{1}));
  }
  return torch::real(torch::cat(parts));
}

}  // namespace

Tensor hippo_ratio(int64_t n, const Tensor& s) {
  check_at_least("n", n, 1);
  const Tensor k = torch::arange(n, torch::kFloat64), at = wide(s).unsqueeze(-1);
  const Tensor above = at - k, below = at + (1 + k);
  const Tensor log_size = (above.abs().log() - below.abs().log()).sum(-1);
  return torch::polar(log_size.exp(), (above.angle() - below.angle()).sum(-1));
}

Tensor hippo_resolvent(int64_t n, const Tensor& s) {
  check_at_least("n", n, 1);
  check_dim("s", s, 1);
  const Tensor k = torch::arange(n, torch::kFloat64), at = wide(s).unsqueeze(1);
  const Tensor below = at + (1 + k);
  // Right of -1/2 no factor is larger than 1, and on the axis their product is |w| / sqrt(k^2 +
  // w^2): the running product can neither over- nor underflow there.
  const Tensor factors = ((at - k) / below).slice(1, 0, n - 1);
  const Tensor products = torch::cat({torch::ones_like(at), factors}, 1).cumprod(1);
  return products * (2 * k + 1).sqrt() / below;
}

Tensor hippo_transfer(const Tensor& C, const Tensor& s) {
  check_dim("C", C, 1);
  return hippo_resolvent(C.size(0), s).matmul(wide(C));
}

Tensor diagonal_transfer(const DiagonalSystem& system, const Tensor& C, const Tensor& s) {
  check_dim("s", s, 1);
  const bool half = system.weights.max().item<double>() > 1.5;
  if (half && C.is_complex())
    throw InvalidArgument("C", "real, where one of each pair of states is stored", describe(C));
  const Tensor row = wide(C).matmul(system.W) * system.B, at = wide(s).unsqueeze(1);
  Tensor G = (row / (at - system.eigenvalues))
                 .mul(half ? (system.weights > 0).to(torch::kFloat64) : system.weights);
  if (half)  // the partners' terms
    G = G + (row.conj() / (at - system.eigenvalues.conj())) * (system.weights - 1);
  return G.sum(1);
}

Tensor resonance_grid(int64_t n, const Tensor& eigenvalues) {
  const double low = 0.01, high = 1.3 * static_cast<double>(n * n) / M_PI;
  if (high <= low) return torch::tensor({low}, torch::kFloat64);
  const auto points = std::max<int64_t>(400, 40 * n);
  std::vector<Tensor> all{
      torch::logspace(std::log10(low), std::log10(high), points, 10, torch::kFloat64)};
  const Tensor offsets = torch::linspace(-3, 3, 61, torch::kFloat64);
  for (const Tensor& m : {wide(eigenvalues), hippo_normal_part(n).eigenvalues}) {
    const Tensor width = torch::real(m).abs().clamp_min(1e-3);
    all.push_back((torch::imag(m).unsqueeze(1) + width.unsqueeze(1) * offsets).flatten());
  }
  const Tensor grid = torch::cat(all);
  return std::get<0>(grid.masked_select((grid >= low).logical_and(grid <= high)).sort());
}

SupError hippo_sup_error(const Tensor& eigenvalues, const Tensor& W, const Tensor& W_inv,
                         double b_scale) {
  const int64_t n = W.size(0);
  const double low = 0.01, high = std::max(low, 1.3 * static_cast<double>(n * n) / M_PI);
  const Tensor b = hippo_input(n) * (b_scale / static_cast<double>(n));
  const Tensor m = wide(eigenvalues), Wt = wide(W).t(), Yb = wide(W_inv).mv(wide(b));
  const Tensor grid = resonance_grid(n, m), errors = error_norms(grid, m, Wt, Yb);
  // Between the neighbours of the largest few, three times twenty times as fine.
  SupError best;
  const auto largest = errors.topk(std::min<int64_t>(8, errors.size(0)));
  const Tensor places = std::get<1>(largest);
  for (int64_t i = 0; i < places.size(0); ++i) {
    const int64_t at = places[i].item<int64_t>();
    double left = at > 0 ? grid[at - 1].item<double>() : low;
    double right = at + 1 < grid.size(0) ? grid[at + 1].item<double>() : high;
    for (int round = 0; round < 3; ++round) {
      const Tensor fine = torch::linspace(left, right, 41, torch::kFloat64);
      const Tensor values = error_norms(fine, m, Wt, Yb);
      const int64_t top = values.argmax().item<int64_t>();
      if (const double value = values[top].item<double>(); value > best.value || i + round == 0)
        best = {value, fine[top].item<double>()};
      left = fine[std::max<int64_t>(0, top - 1)].item<double>();
      right = fine[std::min<int64_t>(40, top + 1)].item<double>();
    }
  }
  return best;
}

Tensor dense_impulse(const Tensor& A, const Tensor& B, const Tensor& C, double dt, int64_t L,
                     Discretisation kind) {
  check_positive("dt", dt);
  check_at_least("L", L, 1);
  const int64_t n = A.size(0);
  check_shape("A", A, {n, n});
  check_shape("B", B, {n});
  check_shape("C", C, {n});
  const Tensor I = torch::eye(n, A.options());
  Tensor Abar, x;
  if (kind == Discretisation::bilinear) {
    const auto both =
        at::linalg_solve(I - dt / 2 * A, torch::cat({I + dt / 2 * A, (dt * B).unsqueeze(1)}, 1));
    Abar = both.slice(1, 0, n);
    x = both.select(1, n);
  } else {
    // exp of [[A, B], [0, 0]] holds the integral of exp(A t) B: right for singular A too.
    Tensor block = torch::zeros({n + 1, n + 1}, A.options());
    block.slice(0, 0, n).slice(1, 0, n) = A;
    block.slice(0, 0, n).select(1, n) = B;
    const Tensor e = at::linalg_matrix_exp(block * dt);
    Abar = e.slice(0, 0, n).slice(1, 0, n);
    x = kind == Discretisation::zoh ? e.slice(0, 0, n).select(1, n) : B;
  }
  Tensor K = torch::empty({L}, A.options());
  for (int64_t l = 0; l < L; ++l, x = Abar.mv(x)) K[l] = C.dot(x);
  return K;
}

}  // namespace ritz::sequence
