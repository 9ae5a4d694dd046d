#pragma once
// What Stiefel and Grassmann share: points are matrices X [..., n, p] with orthonormal columns, n
// >= p, tangent vectors are matrices of the same shape. Leading dimensions are a batch. float32,
// float64, complex.
#include "ritz/base/random.h"

namespace ritz::manifold {

/// Haar-uniform points [batch..., n, p]: the Q of a Gaussian matrix with R's diagonal made positive
/// (Stewart 1980; Mezzadri 2007).
Tensor random_point(RandomStream& random, int64_t n, int64_t p, const TensorOptions& options,
                    at::IntArrayRef batch = {});

/// The Q of X + V with R's diagonal positive: a first-order retraction on both manifolds (Absil,
/// Mahony & Sepulchre 2008, Example 4.1.3); second-order on Grassmann.
Tensor retract_qr(const Tensor& X, const Tensor& V);

/// The polar factor of X + V, the nearest matrix with orthonormal columns: a second-order
/// retraction (Absil & Malick 2012) for the Euclidean metric.
Tensor retract_polar(const Tensor& X, const Tensor& V);

/// max |X^H X - I| over the batch.
double orthonormality_defect(const Tensor& X);

}  // namespace ritz::manifold
