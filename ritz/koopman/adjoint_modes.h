#pragma once
// Eigenpairs with an exact residual when there are fewer snapshots than features.
//
// With N >= M a residual on the same data is zero for every pair and says nothing. The kernel
// sections k_x, x a snapshot, are what the adjoint acts on exactly: K^* k_x = k_{F(x)}. For the
// compressed kernel matrices K = T^* A1 T, L = T^* L1 T (T^* G1 T = I) and a left eigenvector u,
// K^* u = conj(lambda) u,
//
//     r = sqrt(u^* L u / (u^* u) - |lambda|^2)
//
// is ||(K^* - conj(lambda)) f|| / ||f|| in the kernel's space for f = sum_i (T u)_i k_{x_i}: no
// quadrature, no limit of many snapshots. It is the adjoint's residual, not K's own, and it bounds
// nothing about noise. (code) Colbrook, "Another look at residual dynamic mode decomposition in the
// regime of fewer snapshots than dictionary size", Physica D 2024.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/adjoint_modes.h"
//     int main() {  // an isometry's adjoint is exact on every one of its eigenvectors
//       const auto K = torch::diag(torch::tensor({1., -1., 1.}, torch::kFloat64));
//       const auto modes = ritz::koopman::adjoint_modes(K, torch::eye(3, torch::kFloat64));
//       const auto values = torch::tensor({1., 2., 3., 13., 23.}, torch::kFloat64);
//       return modes.residuals.max().item<double>() < 1e-7 && ritz::koopman::knee(values) == 3 ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::koopman {

/// Sorted by residual, ascending.
struct AdjointModes {
  Tensor eigenvalues;  // complex128 [r]
  Tensor residuals;    // float64 [r]; below 1e-8 or so they are rounding (half the digits)
  Tensor right;        // [r, r], unit columns: K v = lambda v
  Tensor left;         // [r, r], unit columns: u^* K = lambda u^*
};

/// All pairs of the compressed kernel matrices K, L [r, r]. 25 r^3 for the eigenvectors of K^*, of
/// which the residuals are; the right ones are the inverse of their conjugates, so that they are
/// paired for certain and lose digits only where K is close to defective.
AdjointModes adjoint_modes(const Tensor& K, const Tensor& L);

/// How many of the values (ascending, [n]) come before their curve turns up: for every split point
/// least-squares lines through (index, value) left and right of it, the point in both; the split
/// with the least sum of absolute errors wins, and the point itself counts as kept. n where n < 3.
/// (code) O(n^2).
int64_t knee(const Tensor& values);

/// The knee, and one more where it falls between a complex pair's two.
int64_t kept_modes(const AdjointModes& modes);

}  // namespace ritz::koopman
