#pragma once
// Positive-definite kernels k(a, b) of states, evaluated in blocks through matrix products.
//
//     #include "ritz/koopman/kernel.h"
//     #include <torch/types.h>
//     int main() {
//       const auto x = torch::arange(6., torch::kFloat64).view({3, 2});
//       const auto k = ritz::koopman::make_kernel(ritz::koopman::KernelKind::gaussian, x);
//       return torch::allclose(k(x, x).diagonal(), torch::ones({3}, torch::kFloat64)) ? 0 : 1;
//     }
#include <cstdint>
#include <string>
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::koopman {

enum class KernelKind { gaussian, laplacian, lorentzian, polynomial, linear };

/// "gaussian", ...; InvalidArgument for another word.
KernelKind parse_kernel(std::string_view name);
std::string_view kernel_name(KernelKind kind);

/// With r = |a - b| and the scale s: gaussian exp(-r^2/s^2), laplacian exp(-r/s), lorentzian
/// 1/(1 + r^2/s^2), polynomial (b^* a / s^2 + 1)^degree, linear b^* a.
struct Kernel {
  KernelKind kind = KernelKind::gaussian;
  double scale = 1;
  int64_t degree = 2;  // of polynomial

  /// K_ij = k(a_i, b_j), [m, n] for a [m, d] and b [n, d]; float64 or complex128.
  Tensor operator()(const Tensor& a, const Tensor& b) const;
  /// k(a, a), Hermitian to the last bit; half the work.
  Tensor gram(const Tensor& a) const;
};

/// The scale as the authors' programs choose it (code): the mean of ||x - mean|| over the states,
/// times 0.9 for gaussian; the mean of ||x|| for polynomial; 1 for linear. InvalidArgument where it
/// is 0 (constant data). `scale` > 0 is taken as it is.
Kernel make_kernel(KernelKind kind, const Tensor& states, double scale = 0, int64_t degree = 2);

/// Mean of ||x - mean|| over the rows; InvalidArgument where it is 0.
double mean_spread(const Tensor& states);

/// T = U_r D_r^{-1/2} [M, r] of the kernel's Gram matrix G1 = U D U^* [M, M]: combinations of
/// kernel sections that are orthonormal in the kernel's space. r is at most `size` (0: no bound),
/// and eigenvalues up to `cutoff` ||G1|| are left out.
Tensor principal_sections(const Tensor& gram, int64_t size = 0, double cutoff = 1e-12);

/// Squared distances [m, n] between rows, through one matrix product about a common origin; where
/// cancellation would leave fewer than nine digits they are computed once more from the
/// differences.
Tensor squared_distances(const Tensor& a, const Tensor& b);

}  // namespace ritz::koopman
