#pragma once
// Curvature of a loss over data as linear operators on the flat parameter vector [P]: what Lanczos,
// CG and Hutchinson take unchanged. Block products [P, k] share one pass over the data.
#include <memory>
#include <string>

#include "ritz/linop/linear_operator.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"

namespace ritz::nn {

/// What is differentiated: mean (or sum) over the samples of loss(network(x), y).
struct Objective {
  Network network;
  Loss loss;
  Tensor inputs;   // [N, ...], dtype and device of the parameters
  Tensor targets;  // [N] int64, or [N, outputs]
};

enum class Differentiation {
  automatic,         // the network's chain kernels where it has them, else double backward
  double_backward,   // Pearlmutter: d/dtheta of g(theta)^T v, the graph of g kept where memory
                     // allows
  finite_difference  // (g(theta + h v) - g(theta - h v)) / 2h, h = eps^(1/3) max(1, |theta|) / |v|
};

struct CurvatureOptions {
  int64_t micro_batch = 0;   // samples a pass; 0: as many as memory_limit allows (default)
  int64_t memory_limit = 0;  // bytes for kept graphs or activations; 0: 80 % of what is free now
  Differentiation differentiation = Differentiation::automatic;
  bool training = false;  // batch norm with the statistics of each micro-batch: the operator then
                          // depends on micro_batch, which must be given
};

/// Hessian of the objective. `apply` is H v; symmetric; the network in evaluation mode.
/// Throws InvalidArgument naming the batch on a non-finite loss or product, and the parameter where
/// one has no gradient; Unsupported naming the operation where double backward is not defined.
std::shared_ptr<SymmetricOperator> hessian(Objective objective, CurvatureOptions options = {});

/// Generalised Gauss-Newton matrix sum_i J_i^T H_L J_i (/ N): positive semi-definite; H_L in closed
/// form.
std::shared_ptr<SymmetricOperator> ggn(Objective objective, CurvatureOptions options = {});

/// Empirical Fisher: second moment of per-sample gradients with the data's labels, G^T G / N, G
/// never formed.
std::shared_ptr<SymmetricOperator> fisher(Objective objective, CurvatureOptions options = {});

/// Gradient covariance: the Fisher less g g^T, g the mean gradient.
std::shared_ptr<SymmetricOperator> gradient_covariance(Objective objective,
                                                       CurvatureOptions options = {});

/// Noise of a batch: Hessian over the samples `rows` [B] int64 less that over all, each a mean (the
/// loss must be one).
std::shared_ptr<SymmetricOperator> hessian_noise(const Objective& objective, const Tensor& rows,
                                                 CurvatureOptions options = {});

/// Hessian minus GGN: what the curvature of the network itself contributes.
std::shared_ptr<SymmetricOperator> hessian_residual(const Objective& objective,
                                                    CurvatureOptions options = {});

/// How the Hessians H_i of single samples scatter about their mean H along v.
struct HessianScatter {
  Tensor mean_product;  // [P]: H v
  Tensor norm2;         // [N] float64: ||(H_i - H) v||^2
  Tensor curvature;     // [N] float64: v^T (H_i - H) v
};
/// For a mean loss (samples' losses unscaled: H = mean of H_i). v [P] need not be a unit vector.
/// Cost: one pass of Hv and one of per-sample products, in micro-batches.
HessianScatter hessian_scatter(const Objective& objective, const Tensor& v,
                               CurvatureOptions options = {});
/// H_i v for each sample, [N, P], not divided by N.
Tensor per_sample_hessian_products(const Objective& objective, const Tensor& v,
                                   CurvatureOptions options = {});

/// Gradient of the objective, [P].
Tensor gradient(const Objective& objective, CurvatureOptions options = {});
/// Gradients of each sample's loss, [N, P], not divided by N: in closed form from captured inputs
/// and output gradients where ritz's layers own every parameter, else one backward pass a sample.
Tensor per_sample_gradients(const Objective& objective, CurvatureOptions options = {});
/// The mean (or sum) loss; no graph is built.
double mean_loss(const Objective& objective, int64_t micro_batch = 0);
/// The objective over a subset of its samples: rows [n] int64.
Objective subset(const Objective& objective, const Tensor& rows);

/// Throws InvalidArgument where |x^T A y - y^T A x| > tolerance * scale for random x, y; the
/// message names dropout, batch norm in training mode and random augmentation as probable causes.
void check_symmetric(const LinearOperator& op, uint64_t seed = 0, double tolerance = 1e-3);

}  // namespace ritz::nn
