#pragma once
// The designs that were there before: quadrature points, greedy rows of a candidate matrix, low
// discrepancy. Baselines, and often good enough in one variable.
#include <cstdint>

#include "ritz/design/space.h"

namespace ritz::design {

/// Points float64 [n, d] and least-squares weights [n]: (1/n) sum w phi phi^T approximates I.
struct WeightedPoints {
  Tensor points, weights;
};

/// Tensor product of Gauss's rules with q points a coordinate, n = q^d (InvalidArgument for other
/// n); w = n times the rule's weights.
WeightedPoints gauss_points(const ProductSpace& space, int64_t n);
/// Tensor product of Chebyshev's points cos((2 i + 1) pi / 2 q); legendre and jacobi only. w = dmu
/// over the arcsine measure they sample.
WeightedPoints chebyshev_points(const ProductSpace& space, int64_t n);

/// Sobol's sequence (direction numbers of Joe & Kuo) with a random digital shift, or a Latin
/// hypercube with random places in its cells; taken to mu by its quantiles. w = 1. [n, d]
Tensor sobol_points(const ProductSpace& space, int64_t n, uint64_t seed, uint64_t draw = 0);
Tensor latin_hypercube_points(const ProductSpace& space, int64_t n, uint64_t seed,
                              uint64_t draw = 0);

/// Magic points of empirical interpolation: for j = 1 ... m the row where function j, less its
/// interpolant at the rows taken, is largest; the row pivots of an LU factorisation. phi [N, m] ->
/// int64 [m]. DataError where the columns are dependent.
Tensor magic_rows(const Tensor& phi);
/// Rows of locally largest |det| (maxvol of Goreinov et al. 2010): from the magic points on, a row
/// is exchanged while that multiplies the determinant by more than `gain`; 2 N m flops each.
Tensor maxvol_rows(const Tensor& phi, double gain = 1.01);

}  // namespace ritz::design
