#include "ritz/koopman/learned/coherence.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/learned/products.h"

namespace ritz::koopman::learned {
namespace {

void check(const Tensor& latents, const ContrastOptions& options) {
  check_dim("latents", latents, 3);
  check_floating("latents", latents);
  check_at_least("k", options.k, 1);
  check_positive("tau", options.tau);
  check_at_least("frames", latents.size(1), 2);
}

/// Rows of unit length; zero rows stay zero.
Tensor prepared(const Tensor& latents, Similarity similarity) {
  if (similarity == Similarity::inner) return latents;
  return latents / latents.norm(2, -1, true).clamp_min(1e-8);
}

/// |n - m| for 0 <= n, m < T.
Tensor distances(int64_t frames, const Tensor& like) {
  const Tensor n = at::arange(frames, like.options());
  return (n.unsqueeze(1) - n).abs();
}

}  // namespace

Tensor contrast(const Tensor& latents, const ContrastOptions& options) {
  check(latents, options);
  const int64_t B = latents.size(0), T = latents.size(1), N = B * T;
  const Tensor rows = prepared(latents, options.similarity).reshape({N, -1});
  const Tensor scores = product(rows, rows.t()) / options.tau;  // [N, N]
  const Tensor distance = distances(T, latents);
  const Tensor near = (distance > 0)
                          .logical_and(distance <= static_cast<double>(options.k))
                          .to(latents.scalar_type());
  const Tensor weights = near / near.sum(1, true);  // [T, T], rows sum to 1
  const Tensor positives =
      (scores.view({B, T, B, T}).diagonal(0, 0, 2) * weights.to(scores.scalar_type()).unsqueeze(2))
          .sum();
  const Tensor all = options.include_self
                         ? scores
                         : scores.masked_fill(at::eye(N, scores.options().dtype(at::kBool)),
                                              -std::numeric_limits<double>::infinity());
  return (positives - all.logsumexp(1).sum()) / static_cast<double>(N);
}

Tensor contrast_within(const Tensor& latents, const ContrastOptions& options) {
  check(latents, options);
  const int64_t T = latents.size(1), k = options.k;
  if (T < 2 * k + 1) {
    throw InvalidArgument(
        "k", "at most " + std::to_string((T - 1) / 2) + " for " + std::to_string(T) + " frames",
        std::to_string(k));
  }
  const Tensor z = prepared(latents, options.similarity);
  const Tensor anchors = z.narrow(1, k, T - 2 * k);
  const Tensor scores = anchors.matmul(z.transpose(1, 2)) / options.tau;  // [B, T - 2k, T]
  const Tensor distance = distances(T, latents).narrow(0, k, T - 2 * k);
  const double none = -std::numeric_limits<double>::infinity();
  const Tensor others = scores.masked_fill(distance == 0, none);
  const Tensor positives = others.masked_fill(distance > static_cast<double>(k), none);
  return (positives.logsumexp(2) - others.logsumexp(2)).mean();
}

Tensor gaussian_information(const Tensor& K, const Tensor& noise, const Tensor& C, int64_t n,
                            double ridge) {
  check_floating("K", K);
  check_dim("K", K, 2);
  const int64_t d = K.size(0);
  for (const auto& [name, matrix] :
       {std::pair("K", K), std::pair("noise", noise), std::pair("C", C)}) {
    check_shape(name, matrix, {d, d});
    check_options(name, matrix, K.options());
  }
  check_at_least("n", n, 1);
  check_non_negative("ridge", ridge);
  // (M, P) of a steps and of b steps give those of a + b: M_a + P_a M_b P_a^T, P_a P_b. The bits of
  // n pick the doublings.
  Tensor M, P, M2 = noise, P2 = K;
  for (int64_t rest = n; rest > 0; rest /= 2) {
    if (rest % 2 == 1) {
      M = M.defined() ? M + P.mm(M2).mm(P.t()) : M2;
      P = P.defined() ? P.mm(P2) : P2;
    }
    if (rest > 1) {
      M2 = M2 + P2.mm(M2).mm(P2.t());
      P2 = P2.mm(P2);
    }
  }
  const Tensor one = at::eye(d, K.options());
  const Tensor R = at::linalg_cholesky(M + (ridge / static_cast<double>(d)) * M.trace() * one);
  const Tensor half = at::linalg_solve_triangular(R, P, /*upper=*/false);  // R^{-1} K^n
  const Tensor ratio = half.mm(C).mm(half.t());
  return at::linalg_cholesky(one + (ratio + ratio.t()) / 2).diagonal().log().sum();
}

}  // namespace ritz::koopman::learned
