#pragma once
// Derivatives of a network that is a Chain, written by hand: no graph, and blocks of tangent
// vectors in the same matrix products and convolutions.
//
// For one batch, z = f(theta, x), loss l = sum_i l_i(z_i). With V one tangent and R = d/dtheta [V]
// (Pearlmutter 1994), each step y = F_w(x) has four rules, side by side in its class
// (chain_step.h):
//
//     forward            y     = F_w(x)                               keeps x
//     backward           dx    = F_w'(x)^T dy                         keeps dy
//     forward tangent    R y   = dF/dx R x + dF/dw V                  keeps R x
//     backward tangent   R dx  = F'^T R dy + R[F'^T] dy,  R dw alike
//
// Then H V = R dw with R dz = H_L R z; the GGN is the same without what is R[F'^T] dy; J V is the
// forward tangent and J^T U the backward tangent without second-order terms. What belongs to theta
// alone (forward, backward) is done once per batch and kept. Multiply-adds per weight, sample and
// tangent: H V 6, GGN 4, a gradient 3 (the first layer, which has no input derivative: 2, 2 and 2).
//
// Norms, attention and batch norm over the batch's own statistics have the same four rules
// (chain_norm.cpp, chain_attention.cpp).
//
// A channel affine (batch norm in evaluation mode) behind a dense step is folded into its weights,
// tangents and products (chain_weights.h): W' = s W, so no pass over activations is spent on it.
#include <memory>

#include "ritz/nn/detail/batch_derivatives.h"

namespace ritz::nn::detail {

/// Derivatives of a batch of a network that has a chain, in the network's mode: in training mode
/// its forward pass moves running statistics. Keeps the inputs of dense steps and, for
/// Product::hessian, their output gradients; works through the batch in parts that fit the cache.
/// dtype and device are the parameters'.
std::unique_ptr<BatchDerivatives> chain_derivatives(const Network& network, const Loss& loss,
                                                    const Tensor& inputs, const Tensor& targets,
                                                    Product product);

/// What a single pass adds to.
struct ChainProducts {
  Tensor V;         // [k, P]
  Tensor gradient;  // [P]    += scale * gradient of sum_i loss_i
  Tensor products;  // [k, P] += scale * V H
  double scale = 1;
};
/// Gradient and Hessian products by one pass over the batch, in the network's mode; returns the
/// outputs [n, c]. As V is known from the start, each part of the batch goes forward and backward
/// with its tangents at once, and what a step kept is gone when it has been passed: two activations
/// a step, x and R x, at a time of one part, where double backward keeps x, dy and the graph's
/// derivatives of both for the whole batch.
Tensor add_chain_products(const Network& network, const Loss& loss, const Tensor& inputs,
                          const Tensor& targets, const ChainProducts& products);

}  // namespace ritz::nn::detail
