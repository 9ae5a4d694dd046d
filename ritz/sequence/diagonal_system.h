#pragma once
// A state-space system in a diagonal basis, as every initialisation ends: all of S4D, S5 and their
// PTD variants start from one.
//
//   x'(t) = diag(m) x(t) + B u(t),   y(t) = sum_n weight_n Re(C_n x_n(t))
//
// A real system has eigenvalues in conjugate pairs; one of each pair is enough, with weight 2,
// while a real eigenvalue counts once. A system stored in full has weight 1 everywhere.
#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// full: every eigenvalue. conjugate: of each conjugate pair that with Im > 0, and the real ones.
enum class Storage { full, conjugate };

struct DiagonalSystem {
  Tensor eigenvalues;  // complex128 [N]
  Tensor B;            // complex128 [N], or [N, inputs]
  Tensor W;            // complex128 [n, N]: a row C of the original basis becomes C W; undefined
                       // where there is no original basis
  Tensor W_inv;        // complex128 [N, n]: a column B of the original basis becomes W_inv B
  Tensor weights;      // float64 [N]: 2 for one of a pair, else 1
};

/// Sorts the eigenvalues of a real matrix by |Im| and keeps one of each pair: those of index
/// `index` int64 [N], with their `weights` float64 [N]. Two values are a pair, and one is real,
/// within `tolerance` * max |m|; a value without its partner is an InvalidArgument.
struct ConjugatePairs {
  Tensor index, weights;
};
ConjugatePairs pair_conjugates(const Tensor& eigenvalues, double tolerance = 1e-8);

/// The system (diag(m), W^-1 B) of A = W diag(m) W^-1, of which `conjugate` keeps one of each
/// pair (A and B real). m [n], W and W_inv [n, n] complex, B [n] or [n, inputs] real or complex.
DiagonalSystem diagonal_system(const Tensor& eigenvalues, const Tensor& W, const Tensor& W_inv,
                               const Tensor& B, Storage storage);

}  // namespace ritz::sequence
