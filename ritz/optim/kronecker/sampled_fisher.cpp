#include "ritz/optim/kronecker/sampled_fisher.h"

#include <torch/types.h>

#include <numeric>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/detail/product.h"

namespace ritz::optim {

namespace {

/// [r t, d] as [r, t, d].
Tensor by_sample(const Tensor& rows, int64_t positions) {
  return rows.view({-1, positions, rows.size(1)});
}

/// The lower Cholesky factor of S + shift I. Kernels are made in float64, so that only gradients
/// whose squares differ from the shift by its rounding make S indefinite; the shift is then raised
/// to that rounding, as often as it takes.
Tensor shifted_cholesky(const Tensor& S, double shift) {
  const double rounding = static_cast<double>(S.size(0)) * std::numeric_limits<double>::epsilon() *
                          (S.numel() == 0 ? 0 : S.diagonal().max().item<double>());
  for (;; shift = std::max(10 * shift, rounding)) {
    Tensor shifted = S.clone();
    shifted.diagonal().add_(shift);
    auto [L, info] = at::linalg_cholesky_ex(shifted);
    if (info.item<int64_t>() == 0 || !std::isfinite(shift)) return L;
  }
}

Tensor shifted_inverse(const Tensor& S, double shift) {
  return at::cholesky_inverse(shifted_cholesky(S, shift));
}

double epsilon_of(const Tensor& x) {
  return x.scalar_type() == at::kFloat ? std::numeric_limits<float>::epsilon()
                                       : std::numeric_limits<double>::epsilon();
}

}  // namespace

SampleRows SampleRows::pick(const Tensor& samples) const {
  const auto take = [&](const Tensor& rows) {
    return by_sample(rows, positions).index_select(0, samples).view({-1, rows.size(1)});
  };
  return {take(A), take(G), positions};
}

Tensor gradient_kernel(const SampleRows& given) {
  const SampleRows s{given.A.to(at::kDouble), given.G.to(at::kDouble), given.positions};
  const int64_t r = s.count(), t = s.positions, rows = r * t;
  if (t == 1 || rows * rows <= r * s.A.size(1) * s.G.size(1)) {
    const Tensor products = detail::times_factor(s.A, s.A).mul_(detail::times_factor(s.G, s.G));
    return t == 1 ? products : products.view({r, t, r, t}).sum({1, 3});
  }
  const Tensor gradients =
      at::bmm(by_sample(s.G, t).transpose(1, 2), by_sample(s.A, t)).flatten(1);  // [r, o i']
  return detail::times_factor(gradients, gradients);
}

Tensor gradient_norms2(const SampleRows& s) {
  const auto squares = [&](const Tensor& rows) {
    const Tensor x = by_sample(rows, s.positions);
    return at::bmm(x, x.transpose(1, 2));  // [r, t, t]
  };
  return squares(s.A).mul_(squares(s.G)).sum({1, 2}).clamp_min_(0);
}

Tensor inclusion_probabilities(const Tensor& scores, int64_t k) {
  const Tensor s = scores.to(at::kCPU, at::kDouble).contiguous();
  const int64_t n = s.numel();
  k = std::min(k, n);
  const double* score = s.const_data_ptr<double>();
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return score[i] > score[j]; });
  double left = s.sum().item<double>();  // of the scores whose probability is below 1
  Tensor pi = at::empty({n}, at::kDouble);
  double* p = pi.data_ptr<double>();
  if (!(left > 0)) return pi.fill_(static_cast<double>(k) / static_cast<double>(n));
  int64_t certain = 0;
  for (; certain < k; ++certain) {
    const double largest = score[order[certain]];
    if (static_cast<double>(k - certain) * largest < left || largest == 0) break;
    left -= largest;
  }
  for (int64_t i = 0; i < n; ++i) {
    const double scaled = left > 0 ? static_cast<double>(k - certain) * score[order[i]] / left : 0;
    p[order[i]] = i < certain && score[order[i]] > 0 ? 1 : std::min(1.0, scaled);
  }
  return pi;
}

Tensor systematic_sample(const Tensor& probabilities, double u) {
  const Tensor pi = probabilities.to(at::kCPU, at::kDouble).contiguous();
  const double* p = pi.const_data_ptr<double>();
  std::vector<int64_t> chosen;
  double below = 0;  // sum of what came before; item i is drawn where it passes some u + integer
  for (int64_t i = 0; i < pi.numel(); ++i) {
    const double above = below + p[i];
    if (p[i] >= 1 || std::ceil(above - u) > std::ceil(below - u)) chosen.push_back(i);
    below = above;
  }
  return at::tensor(chosen, at::kLong).to(probabilities.device());
}

PivotedCholesky pivoted_cholesky(const Tensor& K, int64_t rank, double rounding) {
  const int64_t n = K.size(0);
  rank = std::min(rank, n);
  Tensor left = K.diagonal().clone();  // of the diagonal
  const double stop = static_cast<double>(n) * rounding * left.max().item<double>();
  const Tensor L = at::zeros({n, rank}, K.options());
  std::vector<int64_t> pivots;
  for (int64_t k = 0; k < rank; ++k) {
    const int64_t p = left.argmax().item<int64_t>();
    const double top = left[p].item<double>();
    if (!(top > stop)) break;
    Tensor column = K.select(1, p) - L.narrow(1, 0, k).mv(L[p].narrow(0, 0, k));
    column.div_(std::sqrt(top));
    left.sub_(column.square());
    pivots.push_back(p);
    const Tensor taken = at::tensor(pivots, at::TensorOptions(at::kLong).device(K.device()));
    left.index_fill_(0, taken, 0);
    column.index_fill_(0, taken.narrow(0, 0, k), 0);  // rounding's
    L.select(1, k).copy_(column);
  }
  const auto found = static_cast<int64_t>(pivots.size());
  return {at::tensor(pivots, at::TensorOptions(at::kLong).device(K.device())),
          L.narrow(1, 0, found)};
}

Tensor SampledFisher::divide(const Tensor& X) const {
  const int64_t t = rows.positions;
  const Tensor inner =
      detail::times_factor(rows.A, X).mul_(rows.G).sum(1).view({-1, t}).sum(1);  // <u_i, X>
  const Tensor c = W.mv(inner);
  const Tensor weighted = rows.G * (t == 1 ? c : c.repeat_interleave(t)).unsqueeze(1);
  return (X - detail::product(weighted.t(), rows.A)).div_(damping);
}

namespace {

/// Rows with a W made in float64.
SampledFisher with(const SampleRows& rows, const Tensor& W, double damping) {
  return {rows, W.to(rows.A.options()), damping};
}

}  // namespace

SampledFisher exact_fisher(const SampleRows& rows, double damping) {
  const double shift = damping * static_cast<double>(rows.count());
  return with(rows, shifted_inverse(gradient_kernel(rows), shift), damping);
}

SampledFisher weighted_fisher(const SampleRows& rows, const Tensor& probabilities, int64_t N,
                              double damping) {
  // mu N B^-1 + K = S (mu N I + S^-1 K S^-1) S with S the root of B^-1 = diag(pi).
  const Tensor K = gradient_kernel(rows);
  const Tensor root = probabilities.to(K.options()).rsqrt();
  const Tensor scale = at::outer(root, root);
  return with(rows, shifted_inverse(K * scale, damping * static_cast<double>(N)).mul_(scale),
              damping);
}

SampledFisher interpolated_fisher(const SampleRows& rows, int64_t rank, double damping) {
  // With K ~ L L^T and L_S its pivots' rows, Q = L_S^-1 U_S has orthonormal rows and U ~ L Q, so
  // F ~ 1/N Q^T M Q with M = L^T L, and W = L_S^-T M (mu N I + M)^-1 L_S^-1.
  const Tensor K = gradient_kernel(rows);
  const auto [pivots, L] = pivoted_cholesky(K, rank, epsilon_of(rows.A));
  const Tensor M = L.t().mm(L), LS = L.index_select(0, pivots);
  const Tensor S =
      at::cholesky_solve(M, shifted_cholesky(M, damping * static_cast<double>(rows.count())));
  const Tensor half = at::linalg_solve_triangular(LS.t(), S, /*upper=*/true, /*left=*/true);
  const Tensor W = at::linalg_solve_triangular(LS, half, /*upper=*/false, /*left=*/false);
  return with(rows.pick(pivots), (W + W.t()) / 2, damping);
}

}  // namespace ritz::optim
