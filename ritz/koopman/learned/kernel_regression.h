#pragma once
// Koopman kernel regression: whole trajectories from their first frame, as a sum of modes with
// chosen eigenvalues whose eigenfunctions live in a kernel's space. A baseline without a network.
//
//     #include "ritz/koopman/learned/kernel_regression.h"
//     #include <torch/types.h>
//     int main() {
//       const auto t = torch::arange(60, torch::kFloat64) * 0.3;
//       const auto x = torch::stack({t.sin(), t.cos()}, 1).unsqueeze(0);  // one trajectory [1, 60, 2]
//       const ritz::koopman::learned::KernelRegression fit(x, {.horizon = 20});
//       return fit.forecast(x.select(1, 10)).size(1) == 20 ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::koopman::learned {

struct KernelRegressionOptions {
  int64_t horizon = 50;       // H: steps of a trajectory
  int64_t samples = 1000;     // at most so many starts are kept, drawn at random
  int64_t eigenvalues = 100;  // of the unit disk: r e^{i omega}, with their conjugates
  double least_radius = 0.9;  // r uniform on [least_radius, 1], omega on [0, pi)
  double scale = 0;           // of the Gaussian kernel; 0: half the median distance of the starts
  double ridge = 1e-3;        // relative to the mean eigenvalue of the whole kernel
  uint64_t seed = 0;
};

/// y_h(x) = sum_j lambda_j^h phi_j(x), phi_j in the space of k(x, x') = exp(-|x - x'|^2 / 2 s^2):
/// kernel ridge regression with the kernel k(x, x') kappa(h, h'), kappa(h, h') = sum_j
/// Re(lambda_j^h conj(lambda_j)^h') (Bevanda et al., NeurIPS 2023, reconstructed: eigenfunctions
/// from initial states alone). Solved through the eigendecompositions of both factors: n^3 + H^3 +
/// n H (n + H) D flops. Outputs are the frames themselves.
class KernelRegression {
 public:
  /// Trajectories [N, L, D], L > horizon.
  KernelRegression(const Tensor& trajectories, const KernelRegressionOptions& options = {});
  /// [N, H, D] from starts [N, D].
  Tensor forecast(const Tensor& starts) const;

 private:
  Tensor kernel(const Tensor& a, const Tensor& b) const;
  double scale_;
  Tensor starts_, weights_, mean_;  // [n, D], [n, H D], [D]
  int64_t horizon_;
};

}  // namespace ritz::koopman::learned
