#pragma once
// The objective of a Koopman model on a batch of windows, term by term.
//
//     #include "ritz/koopman/learned/loss.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       Model model({.network = "mlp:16", .sample = {3}, .latent = 4});
//       const auto windows = torch::arange(60.).view({4, 5, 3}) / 60;  // 4 windows of 5 frames
//       const Terms terms = objective(model, {windows}, {.alpha = 0.1, .gamma = 0.1});
//       terms.total.backward();
//       return terms.total.item<double>() > 0 ? 0 : 1;
//     }
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ritz/koopman/learned/model.h"

namespace ritz::dist {
class ProcessGroup;
}

namespace ritz::koopman::learned {

/// How I(z_n; z_{n+-i}) is estimated: contrast, contrast_within, gaussian_information
/// (ritz/koopman/learned/coherence.h).
enum class Estimator { nce_paper, nce_ref, gaussian };
Estimator parse_estimator(std::string_view name);

/// What "squared error" is of: `mean` over frames, `sum` over the frames of a window (and the mean
/// over windows). Either way the mean over a frame's numbers. The published weights (alpha 2, gamma
/// 0.1) belong to sums: T times the errors beside the same I and S.
enum class Reduction { mean, sum };

struct LossOptions {
  double reconstruction = 1;  // ||x_n - g(z_n)||^2 (the published code: 0.1)
  double prediction = 1;      // ||x_{n+h} - g(K^h z_n)||^2
  double alpha = 0;           // - alpha I
  double beta = 1;   // ||z_{n+1} - K z_n||^2; variational: the KL divergence to the transition
  double gamma = 0;  // - gamma S: entropy is rewarded (the published code punishes it)
  double prior = 1;  // variational: KL to N(0, I)
  double variance = 0.005;  // variational: of a standardised number about its reconstruction
  double unitarity = 1;     // pfnn: ||K^T K - I||^2 / d
  int64_t horizon = 1;      // H: predictions 1..H steps ahead, their errors averaged
  Reduction reduction = Reduction::mean;
  Estimator estimator = Estimator::nce_paper;
  int64_t k = 3;       // neighbours (nce), lag n (gaussian)
  double tau = 0.1;    // temperature (nce)
  bool inner = false;  // inner products in place of cosines (nce)
  bool normalise =
      false;            // I over its largest value, log of the number of terms in the denominator
  bool detach = false;  // ridge: no gradient through K
  bool global = false;  // over ranks: contrast with all ranks' latents instead of this rank's
};

/// Standardised windows.
struct Batch {
  Tensor frames;        // [B, T + 1, (objects,) sample...]
  Tensor actions = {};  // [B, T, (objects,) m]: action n leads from frame n to frame n + 1
  Tensor times = {};    // int64 [B]: frame number of each window's first (pfnn)
};

struct Terms {
  Tensor total;
  /// What `total` is made of, unweighted and detached, in a fixed order: "reconstruction",
  /// "prediction", "latent" (AE: squared error, VAE: KL), "coherence" (I), "entropy" (S), "prior",
  /// "unitarity".
  std::vector<std::pair<std::string, Tensor>> parts;
};
/// The names of `parts`.
const std::vector<std::string>& part_names();

/// Autoencoder:
///
///     L = w_r L_rec + w_p L_pred - alpha I + beta ||z_{n+1} - K z_n||^2 - gamma S
///
/// Variational, z ~ N(mu(x), diag s(x)^2) drawn by reparametrisation, v the likelihood's variance
/// of each of a frame's D numbers:
///
///     L = w_r L_rec + w_p L_pred - alpha I - gamma S
///         + 2 v / D (beta KL(p(z_n|x_n) || N(K z_{n-1}, Sigma)) + w_0 KL(p(z_n|x_n) || N(0, I)))
///
/// The errors are means over a frame's numbers, so that D / 2 v times L is the negative ELBO beside
/// the rewards. All frames of all windows go through the encoder in one call, all reconstructions
/// and predictions through the decoder in one (networks of large activations: in pieces that fit
/// the caches). `group`: the batch is one rank's share; S is of all ranks' latents, a ridge K of
/// all ranks' windows.
Terms objective(Model& model, const Batch& batch, const LossOptions& options,
                dist::ProcessGroup* group = nullptr);

/// KL( N(mean, diag e^{2 log_deviation}) || N(target, diag e^{2 log_scale}) ), summed over the last
/// dimension. >= 0, zero where they are equal.
Tensor gaussian_divergence(const Tensor& mean, const Tensor& log_deviation, const Tensor& target,
                           const Tensor& log_scale);

}  // namespace ritz::koopman::learned
