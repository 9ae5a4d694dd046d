#pragma once
// The eigenvectors of a square matrix, how well they are conditioned, and how that changes with the
// matrix.
//
//   A = W diag(m) W^-1, columns of W of unit length, kappa = ||W||_2 ||W^-1||_2 >= 1
//
// With Y = W^-1 and dA a change of A:  dm_i = (Y dA W)_ii,  dW = W (F o (Y dA W)), F_ij = 1 / (m_j
// - m_i), F_ii = 0, less each column's part along itself. The gradient runs this backwards: three
// complex products instead of a differentiated eigensolver.
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

struct EigenSystem {
  Tensor eigenvalues;  // complex128 [n]
  Tensor W, W_inv;     // complex128 [n, n]
  double gap = 0;      // the least distance of two eigenvalues; infinite for n = 1
};

/// A real or complex [n, n]; in double whatever A's type (in float32 eigenvectors of non-normal
/// matrices are useless from n = 32 on). About 25 n^3 flops. InvalidArgument where A is not square
/// or not finite, NotConverged where the eigensolver gives up or W cannot be inverted.
EigenSystem eigensystem(const Tensor& A);

/// kappa_2(W), by a singular value decomposition.
double condition_number(const Tensor& W);

/// How the conditioning of W is measured while it is made small: its 2-norm condition number, or
/// the smooth ||W||_F ||W^-1||_F / n, which is 1 for unitary W too.
enum class Conditioning { two_norm, frobenius };

struct EigenObjective {
  Conditioning conditioning = Conditioning::two_norm;
  double penalty = 0;  // of mean(max(0, Re m - abscissa)^2); 0: none
  double abscissa = 0;
};
/// log kappa + penalty mean(relu(Re m - abscissa)^2), and its gradient with respect to the matrix:
/// complex128 [n, n], G such that a change dA changes the loss by Re <G, dA>; its real part for
/// changes that are real.
struct EigenLoss {
  double loss = 0, kappa = 0;  // kappa in the sense of `conditioning`
  Tensor gradient;
};
EigenLoss eigen_loss(const EigenSystem& system, const EigenObjective& objective);

}  // namespace ritz::sequence
