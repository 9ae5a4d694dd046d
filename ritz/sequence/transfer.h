#pragma once
// Transfer functions G(s) = C (sI - A)^-1 B + D of HiPPO and of what stands in its place.
//
// With q_n(s) = prod_{k=0}^{n-1} (s - k) / (s + 1 + k), k counting from 0:
//
//   (a) [(sI - A_H)^-1 B_H]_k = sqrt(2k+1) prod_{i<k} (s - i) / prod_{i<=k} (s + 1 + i)
//   (b) B_H^T (sI - A_H)^-1 B_H = 1 - q_n(s)
//   (c) G_S4(s) = (1 + q_n(s)) G_S4D(s), for the same C and b_scale = 1/2
//   (d) |q_n(i w)| = |w| / sqrt(n^2 + w^2)
//
// so that S4D resonates wherever q_n(i w) comes near -1: at its fastest eigenvalue, about n^2/pi,
// by 1 / |1 + q_n|, about 2 n^2 / pi^2. (derived, and tested)
//
//     #include "ritz/sequence/transfer.h"
//     #include <torch/types.h>
//     int main() {
//       const auto s = torch::complex(torch::tensor({0.0}), torch::tensor({3.0})).to(torch::kComplexDouble);
//       const double size = ritz::sequence::hippo_ratio(4, s).abs().item<double>();
//       return std::abs(size - 3.0 / 5.0) < 1e-14 ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/sequence/diagonal_system.h"
#include "ritz/sequence/discretise.h"

namespace ritz::sequence {

/// q_n(s), complex128 of s's shape; by sums of log-magnitudes and of angles, so that no product of
/// n factors over- or underflows.
Tensor hippo_ratio(int64_t n, const Tensor& s);
/// (sI - A_H)^-1 B_H by (a): complex128 [F, n] for s [F]. O(F n).
Tensor hippo_resolvent(int64_t n, const Tensor& s);

/// C (sI - A_H)^-1 B_H for C [n], s [F]: complex128 [F].
Tensor hippo_transfer(const Tensor& C, const Tensor& s);
/// sum over all states of C W (s - m)^-1 B, C [n] in the original basis. With conjugate storage C
/// must be real: the pairs are then added.
Tensor diagonal_transfer(const DiagonalSystem& system, const Tensor& C, const Tensor& s);

/// The largest error that a diagonal system's transfer function makes on HiPPO's, over omega in
/// [0.01, 1.3 n^2 / pi] for unit B = B_H / n and the worst unit C at each omega:
///   sup_w || (iw - A_H)^-1 b - W (iw - diag m)^-1 W_inv b_scale b ||_2
/// On a logarithmic grid, and finely around every eigenvalue of the system and of A_n, then
/// refined about the largest values found. O(n^3) per 40 n frequencies.
struct SupError {
  double value = 0, omega = 0;
};
SupError hippo_sup_error(const Tensor& eigenvalues, const Tensor& W, const Tensor& W_inv,
                         double b_scale = 1);
/// What those errors are maximal over: float64, ascending.
Tensor resonance_grid(int64_t n, const Tensor& eigenvalues);

/// K_l = C Abar^l Bbar of a dense real system, float64 [L]; O(L n^2). For n small: the oracle.
Tensor dense_impulse(const Tensor& A, const Tensor& B, const Tensor& C, double dt, int64_t L,
                     Discretisation kind);

}  // namespace ritz::sequence
