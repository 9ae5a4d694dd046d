#pragma once
// The Stiefel manifold St(n, p) = {X [n, p] : X^H X = I}, tangent space T_X = {V : X^H V + V^H X =
// 0}. With A = X^H V (skew) and the part K = V - X A orthogonal to X, the two usual metrics are
//
//     Euclidean  <V, W> = Re tr(V^H W)                      = |A|^2 + |K|^2
//     canonical  <V, W> = Re tr(V^H (I - X X^H / 2) W)      = |A|^2 / 2 + |K|^2
//
//     #include "ritz/manifold/stiefel.h"
//     #include <torch/types.h>
//     int main() {  // Riemannian gradient ascent of tr(X^T B X): the top invariant subspace of B
//       using namespace ritz::manifold;
//       const auto B = torch::diag(torch::arange(1., 21., torch::kFloat64));
//       ritz::RandomStream random(7);
//       auto X = random_point(random, 20, 3, torch::kFloat64);
//       for (int i = 0; i < 500; ++i) {
//         X = retract_qr(X, 0.05 * stiefel::riemannian_gradient(X, 2 * B.matmul(X)));
//       }
//       return std::abs((X.t().matmul(B).matmul(X)).trace().item<double>() - 57) < 1e-6 ? 0 : 1;
//     }
//
// Edelman, Arias & Smith 1998; Absil, Mahony & Sepulchre 2008; Zimmermann & Hueper 2022.
#include "ritz/manifold/orthonormal.h"

namespace ritz::manifold {

enum class StiefelMetric { euclidean, canonical };

namespace stiefel {

/// The nearest tangent vector to Z in the Frobenius norm: Z - X sym(X^H Z).
Tensor project(const Tensor& X, const Tensor& Z);

/// Re <V, W>_X, one number for each point of the batch.
Tensor inner(const Tensor& X, const Tensor& V, const Tensor& W,
             StiefelMetric metric = StiefelMetric::euclidean);

/// The gradient in the metric, given the Euclidean one G of the ambient space:
/// G - X sym(X^H G) (Euclidean) or G - X G^H X (canonical).
Tensor riemannian_gradient(const Tensor& X, const Tensor& G,
                           StiefelMetric metric = StiefelMetric::euclidean);

/// The geodesic of the metric from X in direction V, at time 1. With K = Q R, Q orthonormal and
/// orthogonal to X:
///
///     exp_X(V) = [X Q] expm([[2 b A, -R^H], [R, 0]]) [I; 0] expm((1 - 2 b) A)
///
/// b = 1/2 canonical, b = 1 Euclidean (Zimmermann & Hueper 2022, eq. (2.5)). O(n p^2), exponentials
/// of order 2p.
Tensor exponential(const Tensor& X, const Tensor& V,
                   StiefelMetric metric = StiefelMetric::euclidean);

/// Carries W to the tangent space at Y by projection: a vector transport for any retraction that
/// leads to Y (Absil et al. 2008, section 8.1.3).
Tensor transport(const Tensor& Y, const Tensor& W);

}  // namespace stiefel
}  // namespace ritz::manifold
