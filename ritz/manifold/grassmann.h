#pragma once
// The Grassmann manifold Gr(n, p) of p-dimensional subspaces of n dimensions. A point is given by
// any orthonormal basis X [n, p] of it, a tangent vector by its horizontal lift: V with X^H V = 0.
// The metric is Re tr(V^H W), so that the distance of two subspaces is the Euclidean norm of their
// principal angles.
//
//     #include "ritz/manifold/grassmann.h"
//     #include <torch/types.h>
//     int main() {  // from one subspace to another along the geodesic
//       using namespace ritz::manifold;
//       ritz::RandomStream random(7);
//       const auto X = random_point(random, 20, 3, torch::kFloat64);
//       const auto Y = random_point(random, 20, 3, torch::kFloat64);
//       const auto half = grassmann::exponential(X, 0.5 * grassmann::logarithm(X, Y));
//       const auto left = grassmann::principal_angles(X, half);   // [3], ascending
//       const auto right = grassmann::principal_angles(half, Y);
//       return torch::allclose(left, right) ? 0 : 1;
//     }
//
// Edelman, Arias & Smith 1998, section 2.5; Bendokat, Zimmermann & Absil 2024.
#include "ritz/manifold/orthonormal.h"

namespace ritz::manifold::grassmann {

/// The horizontal part (I - X X^H) Z; of a Euclidean gradient the Riemannian one.
Tensor project(const Tensor& X, const Tensor& Z);

/// Re tr(V^H W), one number for each point of the batch.
Tensor inner(const Tensor& V, const Tensor& W);

/// The geodesic from X in direction V = U S W^H, at time 1: X W cos(S) W^H + U sin(S) W^H. Its
/// principal angles with X are S where these are at most pi/2.
Tensor exponential(const Tensor& X, const Tensor& V);

/// The shortest tangent V at X with exp_X(V) spanning the same subspace as Y; unique where all
/// principal angles are below pi/2 (Bendokat et al. 2024, Algorithm 5.3, which needs no inverse of
/// X^H Y).
Tensor logarithm(const Tensor& X, const Tensor& Y);

/// Carries W from X to its tangent space at exp_X(V), in parallel along that geodesic:
/// ((U cos(S) - X W_V sin(S)) U^H + I - U U^H) W (Edelman et al. 1998, Theorem 2.4); an isometry.
Tensor parallel_transport(const Tensor& X, const Tensor& V, const Tensor& W);

/// Carries W to the tangent space at Y by projection: a vector transport for any retraction that
/// leads to Y.
Tensor transport(const Tensor& Y, const Tensor& W);

/// Principal angles of the subspaces spanned by X [..., n, p] and Y [..., n, q], ascending, [...,
/// min(p, q)]. Below pi/4 they are taken from their sines, the singular values of (I - X X^H) Y,
/// above from their cosines, those of X^H Y, so both small and large ones are accurate to rounding
/// (Bjoerck & Golub 1973; Knyazev & Argentati 2002).
Tensor principal_angles(const Tensor& X, const Tensor& Y);

/// The length of the shortest geodesic, the Euclidean norm of the angles.
Tensor distance(const Tensor& X, const Tensor& Y);
/// The Euclidean norm of the angles' sines: |X X^H - Y Y^H|_F / sqrt(2).
Tensor chordal_distance(const Tensor& X, const Tensor& Y);

}  // namespace ritz::manifold::grassmann
