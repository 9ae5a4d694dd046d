#pragma once
// Eigenpairs of the Koopman operator's compressions, each with its residual.
//
// res(z, v)^2 = v^* (L - z A^* - conj(z) A + |z|^2 G) v / (v^* G v)  ->  ||(K - z) g||^2 / ||g||^2
//
// for g = sum v_j psi_j as M grows (Colbrook & Townsend, CPAM 2024). Here it is computed as
// ||[A' - z; S] u|| / ||u||, u = R v (ritz/koopman/reduction.h): the quadratic form loses half the
// digits.
//
//     #include "ritz/koopman/edmd.h"
//     #include <torch/types.h>
//     int main() {
//       const auto t = torch::arange(60., torch::kFloat64);
//       const auto s = ritz::koopman::trajectories((0.9 * t.log1p()).unsqueeze(1));
//       const auto dictionary = ritz::koopman::polynomial_dictionary(1, 4);
//       const auto pairs = ritz::koopman::edmd(ritz::koopman::reduce(*dictionary, s));
//       return pairs.values.size(0) == 4 && pairs.residuals.max().item<double>() < 1 ? 0 : 1;
//     }
#include "ritz/koopman/reduction.h"

namespace ritz::koopman {

struct Eigenpairs {
  Tensor values;     // complex128 [k]
  Tensor vectors;    // complex128 [n, k]: coefficients v in the functions kept, v^* G v = 1
  Tensor residuals;  // float64 [k]: on the data of the reduction; empty of meaning where
                     // Reduction::residuals_are_empty()
};

/// EDMD: eigenpairs of K_N = R^{-1} A' R = G^+ A (least squares PX -> PY), by falling modulus. With
/// a linear dictionary through POD modes they are those of exact DMD; with delays, of Hankel DMD.
Eigenpairs edmd(const Reduction& reduction);

/// Measure-preserving EDMD (Colbrook, SINUM 2023): K = R^{-1} O R with O the polar factor of A',
/// the G-unitary matrix nearest to it. Eigenvalues of modulus 1 and G-orthonormal eigenvectors, by
/// rising angle.
Eigenpairs mpedmd(const Reduction& reduction);

/// O of mpEDMD, [n, n] in the orthonormal basis: U2 U1^* of the singular value decomposition
/// A'^* = U1 diag(s) U2^*.
Tensor measure_preserving_matrix(const Reduction& reduction);

/// Eigenvalues exp(i theta) and orthonormal eigenvectors of a unitary matrix.
struct UnitaryEigen {
  Tensor angles;   // float64 [n] in (-pi, pi], rising
  Tensor vectors;  // complex128 [n, n], orthonormal also within multiple eigenvalues
};
/// Through the Cayley transform i (I - O)(I + O)^{-1}, which is Hermitian with the eigenvalues
/// tan(theta/2), after a rotation that puts -1 into the widest gap between eigenvalues: so its norm
/// is at most 2n/pi, and nothing that Schur's form would give is lost.
UnitaryEigen unitary_eigen(const Tensor& O);

/// res(values_j, vectors_j), float64 [k], for any numbers and coefficients [n, k].
Tensor residuals(const Reduction& reduction, const Tensor& values, const Tensor& vectors);
/// The same from the quadratic form: floor about 1e-8.
Tensor residuals_quadratic(const GramMatrices& gram, const Tensor& values, const Tensor& vectors);

/// Koopman modes [k, d]: least squares of the states on the eigenfunctions, x = sum_j phi_j(x)
/// mode_j. `exact`: of y instead, divided by the eigenvalue (Tu et al., 2014), zero where that is
/// 0.
Tensor koopman_modes(const Dictionary& dictionary, const Snapshots& snapshots,
                     const Reduction& reduction, const Eigenpairs& pairs, bool exact = false);

/// Two independent noisy copies of every y separate noise from residual (sheet of the method,
/// L12 = PY1^* W PY2): the mean of conj(r1) r2, r_i = psi(y_i) v - z psi(x) v, has no variance
/// term.
struct VarianceFree {
  Tensor residuals;  // float64 [k]: ||E[(K - z) g]|| / ||g||
  Tensor spread;     // float64 [k]: sqrt of the variance of g(y) given x, over ||g||
};
VarianceFree variance_free_residuals(const Dictionary& dictionary, const Tensor& x,
                                     const Tensor& y1, const Tensor& y2, const Tensor& values,
                                     const Tensor& vectors);

}  // namespace ritz::koopman
