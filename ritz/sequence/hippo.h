#pragma once
// HiPPO-LegS, the state matrix that remembers a whole history, and the diagonal or nearly diagonal
// systems that practice puts in its place (S4, S4D, S5).
//
// With j, k = 1..n:
//
//   (A_H)_jk = -sqrt(2j-1) sqrt(2k-1) for j > k, -j for j = k, 0 for j < k;   (B_H)_j = sqrt(2j-1)
//   A_H = A_n - B_H B_H^T / 2,   A_n = -I/2 + S,  S real and skew: normal, A_n = V diag(l) V^*,
//
// Re l = -1/2. A_H itself cannot be diagonalised in floating point (eigenvectors of condition 5e18
// at n = 32); A_n can, by a Hermitian solver on -i S. Two systems come out of it:
//
//   S4 (DPLR)      A = diag(l) - P P^*, P = V^* B_H / sqrt 2, B = V^* B_H, C -> C V: HiPPO itself
//   S4D-LegS, S5   A = diag(l), B = b_scale V^* B_H, C -> C V; b_scale = 1/2 is the one whose
//                  transfer function tends to HiPPO's, input by input (the public S4D and S5 code
//                  has another B and no 1/2)
//
// Sources: Gu, Goel, Re, "Efficiently Modeling Long Sequences with Structured State Spaces", ICLR
// 2022; Gu, Gupta, Goel, Re, "On the Parameterization and Initialization of Diagonal State Space
// Models", NeurIPS 2022; Yu et al., "Robustifying State-space Models for Long Sequences via
// Approximate Diagonalization", ICLR 2024.
//
//     #include "ritz/sequence/hippo.h"
//     #include <torch/types.h>
//     int main() {
//       const auto part = ritz::sequence::hippo_normal_part(9);
//       const auto back = (part.V * part.eigenvalues).mm(part.V.conj().t());  // A_n
//       const auto B = ritz::sequence::hippo_input(9);
//       const auto A = torch::real(back) - B.outer(B) / 2;
//       return torch::allclose(A, ritz::sequence::hippo_matrix(9)) ? 0 : 1;
//     }
#include "ritz/sequence/diagonal_system.h"

namespace ritz::sequence {

/// A_H float64 [n, n]; its eigenvalues are -1, ..., -n.
Tensor hippo_matrix(int64_t n);
/// B_H float64 [n].
Tensor hippo_input(int64_t n);

/// A_n = V diag(l) V^*: l complex128 [n] by ascending Im, exact in Re = -1/2 and in its pairs; V
/// unitary, complex128 [n, n], columns of a pair conjugate, that of the real eigenvalue (n odd)
/// real. Cost: one Hermitian eigenproblem, about 40 n^3 flops.
struct NormalPart {
  Tensor eigenvalues, V;
};
NormalPart hippo_normal_part(int64_t n);

/// S4D-LegS: diag(l), B = b_scale V^* B_H, W = V.
struct DiagonalHippoOptions {
  double b_scale = 0.5;
  Storage storage = Storage::conjugate;
};
DiagonalSystem diagonal_hippo(int64_t n, const DiagonalHippoOptions& options = {});

/// S4: diag(l) - P P^*, HiPPO in another basis. With conjugate storage P P^* acts on the pair: see
/// ritz/sequence/cauchy.h.
struct DplrSystem {
  Tensor eigenvalues, P, B;  // complex128 [N]
  Tensor V;                  // complex128 [n, N]: C -> C V
  Tensor weights;            // float64 [N]: 2 for one of a pair, else 1
};
DplrSystem dplr_hippo(int64_t n, Storage storage = Storage::conjugate);

/// Eigenvalues without a matrix behind them, for a real system of n states of which one of each
/// pair is stored: complex128 [N], N = n / 2, n even; k = 0..N-1. S4D-Lin: -1/2 + i pi k. S4D-Inv:
/// -1/2 + i (n/pi) (n/(2k+1) - 1). Use with B = 1 and weight 2 (k = 0 of S4D-Lin too: its state is
/// complex as soon as B or C are).
Tensor s4d_lin_eigenvalues(int64_t n);
Tensor s4d_inv_eigenvalues(int64_t n);

}  // namespace ritz::sequence
