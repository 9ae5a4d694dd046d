#pragma once
// Kernel EDMD: as many functions as snapshots, or more, by the kernel trick (Williams, Rowley &
// Kevrekidis 2015), and the residual that this regime allows.
//
//     #include "ritz/koopman/kernel_edmd.h"
//     #include <torch/types.h>
//     int main() {  // the linear kernel: dynamic mode decomposition of five features
//       const auto x = torch::rand({9, 5}, torch::kFloat64);
//       const auto s = ritz::koopman::trajectories(x);
//       const auto kernel = ritz::koopman::make_kernel(ritz::koopman::KernelKind::linear, x);
//       const auto fit = ritz::koopman::kernel_edmd(kernel, s);
//       return fit.K.size(0) == 5 ? 0 : 1;
//     }
#include "ritz/koopman/edmd.h"

namespace ritz::koopman {

struct KernelEdmdOptions {
  int64_t size = 0;       // functions at most; 0: all of the rank
  double cutoff = 1e-12;  // eigenvalues of G1 up to cutoff ||G1|| are left out
};

/// With G1 = k(X, X), (A1)_ij = k(y_i, x_j), L1 = k(Y, Y) and T = U_r D_r^{-1/2} out of G1 = U D
/// U^*: the functions k(., X) T are orthonormal in the kernel's space, and the operator's
/// compression and its adjoint's Gram matrix there are K = T^* A1 T, L = T^* L1 T (G = I).
struct KernelEdmd {
  Kernel kernel;
  Tensor states;  // [M, d]: x of the pairs
  Tensor T;       // [M, r]
  Tensor K, L;    // [r, r]
  int64_t rank() const { return T.size(1); }
  /// psi(x) = k(x, X) T: a dictionary for held-out data. On the training pairs PX = G1 T, PY = A1
  /// T.
  DictionaryPtr functions() const { return kernel_dictionary(kernel, states, T); }
};

/// Pairs have equal weights (Unsupported else). One Gram matrix of all states serves G1, A1 and L1
/// where the pairs follow each other; no d x d matrix is formed. Cost: M^2 d + 9 M^3 flops (3 M^2 d
/// + 9 M^3 for given pairs), memory 4 M^2.
KernelEdmd kernel_edmd(const Kernel& kernel, const Snapshots& snapshots,
                       const KernelEdmdOptions& options = {});

/// Modes [k, d] of right eigenvectors [r, r] of K: least squares of x on all r eigenfunctions,
/// V^{-1} T^* X.
Tensor kernel_modes(const KernelEdmd& fit, const Tensor& right);

/// Left and right eigenvectors of K, u^* K = lambda u^*, K v = lambda v, with
///
///     r^2 = u^* L u / (u^* u) - |lambda|^2
///
/// (Colbrook 2024). u stands for a combination f of kernel sections, on which the adjoint acts
/// exactly (K^* k_x = k_F(x)), so r = ||(K^* - conj(lambda)) f|| / ||f|| in the kernel's space with
/// no quadrature limit. It is the adjoint's residual, not that of the eigenfunction v.
struct AdjointModes {
  Tensor values;     // complex128 [r], by rising residual
  Tensor left;       // complex128 [r, r]: u in columns
  Tensor right;      // complex128 [r, r]: v in columns
  Tensor residuals;  // float64 [r]; radicands below zero by rounding are taken as 0
};
AdjointModes adjoint_modes(const Tensor& K, const Tensor& L);

}  // namespace ritz::koopman
