#pragma once
// What a trained Koopman model says: its eigenvalues and modes, and how to steer it.
//
//     #include "ritz/koopman/learned/analysis.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       Model model({.network = "mlp:16", .sample = {3}, .latent = 4});
//       const auto found = spectrum(model);
//       return found.modes.size(1) == 3 && found.radius <= 1 + 1e-5 ? 0 : 1;
//     }
#include <cstdint>
#include <limits>

#include "ritz/koopman/learned/lqr.h"
#include "ritz/koopman/learned/model.h"

namespace ritz::koopman::learned {

struct ModelSpectrum {
  Tensor eigenvalues;  // complex128 [d], falling modulus (between objects: of the whole frame, n d)
  Tensor right;        // [d, d], columns v_i of norm 1: K v_i = lambda_i v_i
  Tensor left;  // [d, d], rows w_i: w_i K = lambda_i w_i, w_i v_j = delta_ij; phi_i(x) = w_i f(x)
  /// [d, (objects,) sample...]: v_i through the decoder's Jacobian at the mean frame, in raw units.
  Tensor modes;
  double radius = 0;     // max |lambda|
  double condition = 0;  // of the eigenvectors; large: eigenvalues move a lot when K moves a little
};

/// Modes by one double backward pass for all eigenvectors: g linearised at f(mean frame),
/// standardised deviations times the result. In float64 but for the decoder's own dtype.
/// Eigenvectors that do not exist (a defective K) show in `condition`.
ModelSpectrum spectrum(Model& model);

/// Values phi_i(x) [N, d] of raw frames x [N, ...]: w_i f(x).
Tensor eigenfunctions(Model& model, const ModelSpectrum& spectrum, const Tensor& x);

struct SteeringOptions {
  int64_t horizon = 50;
  double state_cost = 1;                                   // Q = state_cost I on the latents
  double action_cost = 1;                                  // R = action_cost I
  double limit = std::numeric_limits<double>::infinity();  // |action| <= limit, clipped
};

struct Steering {
  Lqr lqr;
  Tensor actions;  // [H, m]
  Tensor states;   // [H, sample...]: predicted raw frames after each action
  /// |z - z_goal| after each action, [H].
  Tensor distances;
};

/// a = -F (z - z_goal), clipped, from raw frame `start` towards `goal` [sample...], both encoded
/// once; F is the LQR's gain on (K, B). A goal that is no fixed point of K is approached as near as
/// this feedback comes (the paper's rule). InvalidArgument for a model without actions.
Steering steer(Model& model, const Tensor& start, const Tensor& goal,
               const SteeringOptions& options = {});

}  // namespace ritz::koopman::learned
