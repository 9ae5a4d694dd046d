#pragma once
// How much neighbouring latents tell about each other: two contrastive estimates of their mutual
// information, and its closed form for a linear Gaussian latent.
//
//     #include "ritz/koopman/learned/coherence.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       const auto K = 0.8 * torch::eye(2, torch::kFloat64), one = torch::eye(2, torch::kFloat64);
//       // Stationary: C = Sigma / (1 - 0.64), so I = -log(1 - 0.64) over both coordinates.
//       const double I = gaussian_information(K, one, one / 0.36, 1, 0).item<double>();
//       return std::abs(I + std::log(0.36)) < 1e-12 ? 0 : 1;
//     }
#include "ritz/base/tensor.h"

namespace ritz::koopman::learned {

enum class Similarity { cosine, inner };

struct ContrastOptions {
  int64_t k = 3;                               // neighbours within k frames are positives; >= 1
  double tau = 0.1;                            // temperature, > 0
  Similarity similarity = Similarity::cosine;  // cosine (code), inner product (paper)
  bool include_self = false;  // in the denominator of contrast (the paper's sum over all j)
};

/// The paper's estimate over latents [B, T, d]: the mean over anchors (b, n) and their neighbours
/// p = n +- i, 1 <= i <= k, within the same sequence, of
///
///     s_np / tau - log sum_j exp(s_nj / tau),   j over all other latents of the batch,
///
/// <= 0 where the anchor's positives are among the j. One product [BT, d] x [d, BT] and a row
/// log-sum-exp: 2 (BT)^2 d flops. (paper)
Tensor contrast(const Tensor& latents, const ContrastOptions& options = {});

/// The published code's estimate: anchors with a complete neighbourhood only (k <= n < T - k),
/// negatives from the same sequence at distance > k, all positives inside one logarithm:
///
///     I = mean log( sum_pos e^{s/tau} / (sum_pos e^{s/tau} + sum_neg e^{s/tau}) ) <= 0.   (code)
///
/// Throws InvalidArgument unless T >= 2 k + 1 (there the code returns 0 silently).
Tensor contrast_within(const Tensor& latents, const ContrastOptions& options = {});

/// I(z_{t-n}; z_t) = 1/2 log det(I + M_n^{-1/2} K^n C (K^n)^T M_n^{-1/2}) for z_{t+1} = K z_t + e,
/// e ~ N(0, noise), z_{t-n} ~ N(0, C), M_n = sum_{i<n} K^i noise (K^i)^T, all [d, d]. M_n and K^n
/// by doubling (log2 n steps of three products), M_n + ridge (tr M_n / d) I = R R^T, then I = sum
/// log diag chol(I + R^{-1} K^n C (K^n)^T R^{-T}). Differentiable in K, noise and C.
Tensor gaussian_information(const Tensor& K, const Tensor& noise, const Tensor& C, int64_t n = 1,
                            double ridge = 1e-6);

}  // namespace ritz::koopman::learned
