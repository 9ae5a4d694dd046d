#pragma once
// Pseudospectra from inside (Colbrook & Townsend, CPAM 2024, algorithm 2):
//
//     tau(z) = min_v res(z, v) = sigma_min([A' - z; S])          (ritz/koopman/reduction.h)
//
// tau falls to sigma_inf(K - z) as the dictionary grows, so {z: tau(z) < eps} lies within the true
// approximate-point eps-pseudospectrum (M -> infinity, N < M): no spurious points. tau is
// 1-Lipschitz in z, and even in Im z for real data.
//
//     #include "ritz/koopman/pseudospectrum.h"
//     #include <torch/types.h>
//     int main() {  // a cyclic shift of five states: the spectrum is the fifth roots of one
//       const auto x = torch::eye(5, torch::kFloat64);
//       const auto s = ritz::koopman::pairs(x.repeat({2, 1}), x.roll(1, 1).repeat({2, 1}));
//       const auto r = ritz::koopman::reduce(*ritz::koopman::linear_dictionary(5), s);
//       const auto tau = ritz::koopman::pseudospectrum(r, torch::tensor({0., 1., 3.})).tau;
//       return torch::allclose(tau, torch::tensor({1., 0., 2.}, torch::kFloat64)) ? 0 : 1;
//     }
#include <functional>

#include "ritz/koopman/reduction.h"

namespace ritz::koopman {

struct SweepOptions {
  double tolerance = 1e-6;  // of tau at every point, absolute
  int64_t max_steps = 80;   // Lanczos steps at a point, then the exact decomposition
  bool vectors = false;     // keep the minimisers
  uint64_t seed = 0;
  dist::ProcessGroup* group = nullptr;  // ranks that share the points; all get all results
  /// Points done and in all, from one thread at a time.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct Sweep {
  Tensor tau;      // float64 [P]
  Tensor vectors;  // complex128 [n, P] where asked for: u of the orthonormal basis, length 1; the
                   // pseudo-eigenfunction has the coefficients Reduction::coefficients(u)
  int64_t points = 0;  // that were computed: fewer than P where conjugates could be mirrored
  int64_t exact = 0;   // of these, by the exact decomposition
  int64_t solves = 0;  // systems H(z) x = b solved in all
};

/// tau at `points` (real or complex, [P]). At each point H(z) = (A' - z)^* (A' - z) + S^* S is
/// factored by Cholesky, Lanczos runs on its inverse from the minimiser next door, and tau is read
/// off as ||[A' - z; S] u||, which rounds to no worse than eps and is never below the minimum;
/// below 1e-6, and where Lanczos does not converge, the singular values of [A' - z; S] are taken.
/// The results do not depend on the number of threads or ranks. Cost a point: 4n^3/3 flops, 16 n^2
/// a solve (about 16 of them); the exact decomposition costs 50 times as much.
Sweep pseudospectrum(const Reduction& reduction, const Tensor& points,
                     const SweepOptions& options = {});

/// The same by singular values of [A' - z; S] at every point; for other devices and for tests.
Sweep pseudospectrum_exact(const Reduction& reduction, const Tensor& points, bool vectors = false);

/// Points x + i y of a rectangle, spacing apart, y fastest: multiples of the spacing where the
/// corner is one, so that the grid holds each point's conjugate exactly.
struct Grid {
  double x0 = -1.2, x1 = 1.2, y0 = -1.2, y1 = 1.2, spacing = 0.05;
};
struct GridPoints {
  Tensor points;  // complex128 [nx ny]
  int64_t nx = 0, ny = 0;
};
/// InvalidArgument for an empty rectangle, a spacing <= 0 or more than 10^7 points.
GridPoints grid_points(const Grid& grid);

}  // namespace ritz::koopman
