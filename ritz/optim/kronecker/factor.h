#pragma once
// K-FAC's running second moments of a layer's rows, and the two ways of dividing by them (Martens
// and Grosse, ICML 2015; Pauloski et al., SC 2021). Symmetric matrices are kept by their lower
// triangles: what lies above the diagonal blocks is never written and never read.
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::optim {

/// M <- keep M + weight X^T X in the lower triangle of M [d, d], from rows X [n, d].
/// About n d^2 flops, half of the full product, in panels of rows of M.
void add_gram(const Tensor& M, const Tensor& rows, double keep, double weight);

/// Into L the lower Cholesky factor of M + damping I, zeros above; M's lower triangle is read.
/// Where rounding has made that matrix indefinite, damping is raised tenfold from d eps max_i M_ii
/// until it is not; returns the damping that was used. Throws NotConverged where M is not finite.
/// d^3 / 3 flops, where an inverse would take d^3: with b right-hand sides two triangular solves
/// cost the 2 b d^2 of one product with the inverse, so no inverse is ever formed.
double damped_cholesky(const Tensor& M, double damping, const Tensor& L);

/// X (L L^T)^-1 for rows X [n, d]: 2 n d^2 flops.
Tensor divide_rows(const Tensor& X, const Tensor& L);
/// (L L^T)^-1 X for columns X [d, n].
Tensor divide_columns(const Tensor& L, const Tensor& X);

/// M = Q diag(d) Q^T of a matrix given by its lower triangle; eigenvalues below 0, rounding's, are
/// 0.
struct EigenFactor {
  Tensor Q, d;
};
EigenFactor eigen_factor(const Tensor& M);

/// Q_g [ (Q_g^T X Q_a) / (d_g d_a^T + damping) ] Q_a^T for X [o, i'].
Tensor divide_by_eigen(const Tensor& X, const EigenFactor& g, const EigenFactor& a, double damping);
/// The same for X = weight G^T A given by its rows G [n, o], A [n, i']: n (o^2 + i'^2 + o i')
/// instead of o i' (o + i') multiply-adds for the way in.
Tensor divide_by_eigen(const Tensor& G, const Tensor& A, double weight, const EigenFactor& g,
                       const EigenFactor& a, double damping);

}  // namespace ritz::optim
