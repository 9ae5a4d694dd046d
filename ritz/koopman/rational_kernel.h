#pragma once
// Smoothing kernels of high order on the circle, as sums of simple poles.
//
//     K_eps(delta) = (1 / 2 pi) Re sum_j r_j i cot((delta + eps a_j) / 2)
//
// with m poles a_j in the upper half plane and residues sum_j r_j a_j^p = (p = 0), p = 0..m-1. Its
// Fourier coefficients are Re sum_j r_j e^{i eps n a_j} = 1 + O((eps n)^m): a measure smoothed by
// it is off by O(eps^m log(1 / eps)) wherever its density is smooth, and what an integral equation
// has to offer for it is one resolvent a pole. m = 1 is Poisson's kernel, the only positive one.
// (paper) Colbrook, Horning, Townsend, "Computing spectral measures of self-adjoint operators",
// SIAM Review 2021; (code) Rigged DMD for the families of poles.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/rational_kernel.h"
//     int main() {  // the mass of a kernel is one
//       const auto kernel = ritz::koopman::rational_kernel(4);
//       const auto delta = torch::arange(0., 2000., torch::kFloat64) * (2 * M_PI / 2000);
//       const double mass = kernel.smooth(delta, 0.1).mean().item<double>() * 2 * M_PI;
//       return std::abs(mass - 1) < 1e-12 ? 0 : 1;
//     }
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::koopman {

/// Where the poles lie; all families are {i} for m = 1 and symmetric about the imaginary axis.
enum class Poles {
  equispaced,     // 2 j / (m + 1) - 1 + i, j = 1..m
  chebyshev,      // cos((2 j - 1) pi / (2 m)) + i
  roots,          // e^{i pi (j - 1/2) / m}: on the unit circle
  extrapolation,  // i 2^{-k}, k = 0..m-1: Richardson's, one real resolvent each
};
/// "equispaced", "chebyshev", "roots", "extrapolation"; InvalidArgument for another word.
Poles parse_poles(std::string_view name);

struct RationalKernel {
  Tensor poles;     // complex128 [m]
  Tensor residues;  // complex128 [m]

  int64_t order() const;
  /// K_eps at every element of `delta` (float64, any shape). m cotangents an element.
  Tensor smooth(const Tensor& delta, double epsilon) const;
};

/// The kernel of this order, 1 to 10: above, residues alternate with sizes that cost more digits
/// than the order gains.
RationalKernel rational_kernel(int64_t order, Poles poles = Poles::equispaced);

}  // namespace ritz::koopman
