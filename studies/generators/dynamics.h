#pragma once
// Trajectories of maps and flows whose spectra are known: what Koopman methods are tried on.
//
//   const auto x = ritz::studies::duffing({.trajectories = 100, .steps = 5});  // [100, 6, 2]
#include <cstdint>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::studies {

struct DuffingOptions {
  int64_t trajectories = 3000, steps = 5;  // steps pairs a trajectory
  double dt = 0.3;
  int64_t substeps = 30;             // of the Runge-Kutta scheme of order 4
  double damping = 0;                // y'' = x - x^3 - damping y'
  std::string region = "invariant";  // or "square"
  uint64_t seed = 0;
};
/// y1' = y2, y2' = y1 - y1^3 - damping y2, float64 [trajectories, steps + 1, 2]. Initial states
/// uniform on {y2^2/2 - y1^2/2 + y1^4/4 <= 2}, which the undamped flow maps to itself with its area
/// (so K is unitary on L^2 of it), or on [-2, 2]^2, which it leaves (so K is no isometry there).
Tensor duffing(const DuffingOptions& options);

struct FlowOptions {
  int64_t steps = 10000;
  double dt = 0.05;
  int64_t substeps = 10;
  double transient = 50;  // time thrown away first
  uint64_t seed = 0;
};
/// x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z: float64 [steps + 1, 3].
Tensor lorenz(const FlowOptions& options);
/// x' = -y - z, y' = x + 0.1 y, z' = 0.1 + z (x - 14): float64 [steps + 1, 3].
Tensor rossler(const FlowOptions& options);

struct CatMapOptions {
  int64_t trajectories = 1, steps = 1000;
  bool rotation = false;  // a first coordinate that turns by sqrt(2) beside it
  uint64_t seed = 0;
};
/// Arnold's cat map (x, y) -> (2 x + y, x + y) mod 2 pi, float64 [trajectories, steps + 1, 2], with
/// the rotation [.., 3] (angle first). States are integers mod 2^40 times 2 pi / 2^40: exact, where
/// floating point would lose a bit and more a step and fall into short cycles.
Tensor cat_map(const CatMapOptions& options);

/// <K^n g, g> for g = sin x + sin(2 x + y) / 2 + (i / 4) sin(5 x + 3 y) under the cat map, n =
/// 0..count: .65625, .25 - .0625 i, -.125 i, 0, ... (three points of one orbit of frequencies.)
Tensor cat_map_moments(int64_t count);
/// The density of that measure at every theta: a trigonometric polynomial of degree 2.
Tensor cat_map_density(const Tensor& theta);
/// That g at states [.., 2]: complex128.
Tensor cat_map_observable(const Tensor& states);

struct TorusSkewOptions {
  int64_t trajectories = 1, steps = 1000;
  double alpha = 2.399963229728653;  // the golden angle
  int64_t harmonics = 64;            // of h
  int64_t agree = 8;                 // u_q = 1 / q up to here
  double exponent = 1;               // and q^{-exponent} beyond
  uint64_t seed = 0;
};
struct TorusSkew {
  Tensor trajectories;         // float64 [N, steps + 1, 2]
  std::vector<double> energy;  // sum_{p <= q} 2 |u_p|^2, q = 1..harmonics
};
/// (x, y) -> (x + alpha, y + h(x)) mod 2 pi, h_q = u_q (e^{i q alpha} - 1). e^{i (y - u(x))} is an
/// eigenfunction exactly where sum |u_q|^2 < inf: with infinitely many harmonics it is for exponent
/// > 1/2 and is not for <= 1/2, and the first `agree` coefficients do not tell.
TorusSkew torus_skew(const TorusSkewOptions& options);

/// A pair of measure-preserving maps that agree at every sampled point and have different spectra.
struct AdversarialPair {
  Tensor x, y;          // [M, d]: sampled points and their images under both maps
  Tensor other;         // [M, d]: images under the other map, computed by it; equal to y bit by bit
  Tensor x_inside;      // [inside, d]: points of the gap no sample hit
  Tensor y_inside;      // their images under the plain map
  Tensor other_inside;  // and under the other one
  double low = 0, high = 0;  // the gap
};
struct AdversarialOptions {
  int64_t points = 4000;
  int64_t inside = 400;  // points in the gap
  uint64_t seed = 0;
};
/// The unit disc, (r, t) -> (r, t + pi) against (r, t + pi + phi(r)), phi a bump on the widest
/// annulus that no point hit; Cartesian coordinates. Spectra {1, -1} and the whole circle.
AdversarialPair disc_pair(const AdversarialOptions& options);
/// [0, 1): x -> x + 1/2 mod 1 against the same followed, on the image of the widest gap (and its
/// half), by doubling inside the gap: spectra {1, -1} and the whole disc (approximate point
/// spectrum: the circle).
AdversarialPair interval_pair(const AdversarialOptions& options);

struct SeasonalFieldOptions {
  int64_t pixels = 2000, steps = 300;
  double season = 12;
  double noise = 0.5;        // deviation of the noise over the mean deviation of the modes
  double correlation = 0.6;  // of noise from one step to the next
  int64_t patterns = 30;     // smooth fields that carry half the noise's variance
  uint64_t seed = 0;
};
struct SeasonalField {
  Tensor field = {};                 // float64 [steps, pixels]
  Tensor clean = {};                 // the modes alone
  std::vector<double> modulus = {};  // of the three modes, a step
  std::vector<double> period = {};   // steps a turn
};
/// Three damped waves (a year, half a year, 3.3 years) with smooth patterns over a circle of
/// pixels, and noise that forgets itself as an AR(1) process does.
SeasonalField seasonal_field(const SeasonalFieldOptions& options);

}  // namespace ritz::studies
