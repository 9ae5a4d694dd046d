#pragma once
// How noisy curvature and gradients of single samples are, measured on a network.
#include <cstdint>
#include <optional>

#include "ritz/nn/curvature.h"
#include "ritz/optim/batch_scaling/spectra.h"

namespace ritz::optim {

struct NoiseOptions {
  int64_t samples = 1024;  // M, drawn without replacement; clipped to N
  int64_t probes = 1;      // random directions (frobenius)
  uint64_t seed = 0;       // streams ("batch-scaling/noise", ..)
  nn::CurvatureOptions curvature = {};
};

/// d_1 = E_i [ ||(H_i - H) v||^2 - (v^T (H_i - H) v)^2 ] along the unit vector v = v_1:
/// second-order perturbation theory gives E lambda_1' = lambda_1 + d_1 / (b lambda_1) + ... .
/// Unbiased for the population of N (the sample's own mean is subtracted, hence M / (M - 1)).
double directional_noise(const nn::Objective& objective, const Tensor& v,
                         const NoiseOptions& options = {});
/// E_i ||(H_i - H) z||^2, z uniform on the unit sphere.
double frobenius_noise(const nn::Objective& objective, const NoiseOptions& options = {});

/// Both for any curvature with a sum over samples (Gauss-Newton, Fisher): one operator a sample, so
/// slower than the Hessian's own way above.
double directional_noise(const BatchOperator& curvature, int64_t samples, const Tensor& v,
                         const NoiseOptions& options = {});
double frobenius_noise(const BatchOperator& curvature, int64_t samples, int64_t parameters,
                       const TensorOptions& tensor, const NoiseOptions& options = {});

/// The gradient noise scale (McCandlish et al. 2018), the baseline of this method.
struct GradientNoise {
  double trace = 0;                  // tr Sigma of per-sample gradients
  double gradient2 = 0;              // ||g||^2, unbiased: it may come out <= 0 where g is all noise
  std::optional<double> scale = {};  // B_noise = trace / gradient2; none where gradient2 <= 0
};
/// From M per-sample gradients g_i with mean m: trace = sum ||g_i - m||^2 / (M - 1) and
/// ||m||^2 - trace (1/M - 1/N), both unbiased. `probes` is not used.
GradientNoise gradient_noise(const nn::Objective& objective, const NoiseOptions& options = {});

}  // namespace ritz::optim
