#pragma once
// How many directions a cloud of latents fills: the von Neumann entropy of its normalised
// covariance, with a gradient that is safe where eigenvalues coincide.
//
//     #include "ritz/koopman/learned/entropy.h"
//     #include <torch/types.h>
//     int main() {
//       const auto z = torch::cat({torch::eye(4), -torch::eye(4)}).to(torch::kFloat64);
//       const double s = ritz::koopman::learned::entropy(z).item<double>();
//       return std::abs(std::exp(s) - 4) < 1e-9 ? 0 : 1;  // four equal directions
//     }
#include "ritz/base/tensor.h"

namespace ritz::dist {
class ProcessGroup;
}

namespace ritz::koopman::learned {

struct EntropyOptions {
  /// rho = (C + ridge (tr C / d) I) / ((1 + ridge) tr C). Relative to tr C, so that S does not
  /// depend on the latents' scale (the paper's absolute 1e-8 I makes latents below 1e-4 look full).
  double ridge = 1e-8;
  /// Take C over the rows of all ranks (d^2 + d + 1 numbers in one all-reduce). The gradient is
  /// then `world_size` times that of the local rows, so that averaging over ranks gives the whole
  /// one.
  dist::ProcessGroup* group = nullptr;
};

/// S(rho) = -sum_i l_i log l_i over the eigenvalues l of rho, C the covariance (centred, divided by
/// n) of `rows` [n, d]; a scalar in [0, log d], differentiable once in `rows` by the closed form
///
///     dS/dC = -(log rho - tr(rho_0 log rho) I) / ((1 + ridge) tr C),  rho_0 = C / tr C,
///     dS/drows = (2 / n) rows_c dS/dC                                                (derived)
///
/// from one symmetric eigendecomposition, never through eigenvectors. Where n < d (and no group)
/// the Gram matrix rows_c rows_c^T takes the covariance's place: n^2 d + 9 n^3 flops instead of n
/// d^2 + 9 d^3. Inside the logarithm l is at least 1e-10 (float32: 1e-6, the accuracy of its
/// eigenvalues). Constant rows give 0 with zero gradient.
Tensor entropy(const Tensor& rows, const EntropyOptions& options = {});

/// The same of a covariance [d, d] that is given; differentiable once in it.
Tensor covariance_entropy(const Tensor& covariance, double ridge = 1e-8);

/// exp(S) in [1, d] in float64, and tr C, of rows [n, d]; no gradient.
struct Dimension {
  double effective = 1;
  double trace = 0;
};
Dimension effective_dimension(const Tensor& rows);

/// Covariance [d, d] of rows [n, d], divided by n.
Tensor covariance(const Tensor& rows);

}  // namespace ritz::koopman::learned
