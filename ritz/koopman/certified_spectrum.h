#pragma once
// The spectrum of a measure-preserving system with one number that bounds the error of all of it
// (Colbrook, Mezic & Stepanenko, "Limits and Powers of Koopman Learning", arXiv 2407.06312): for an
// isometry K, sigma_inf(K - z) is the distance of z from the approximate point spectrum, which lies
// on the unit circle, so D(z) = max(tau(z), |1 - |z||) bounds that distance from above.
//
//     #include "ritz/koopman/certified_spectrum.h"
//     #include <torch/types.h>
//     int main() {  // a cyclic shift of four states: the spectrum is 1, i, -1, -i
//       const auto x = torch::eye(4, torch::kFloat64);
//       const auto s = ritz::koopman::pairs(x.repeat({2, 1}), x.roll(1, 1).repeat({2, 1}));
//       const auto r = ritz::koopman::reduce(*ritz::koopman::linear_dictionary(4), s);
//       const auto result = ritz::koopman::certified_spectrum(r, {.spacing = 0.1});
//       return result.points.size(0) == 4 && result.certificate < 1e-10 ? 0 : 1;
//     }
#include "ritz/koopman/pseudospectrum.h"

namespace ritz::koopman {

struct CertifiedSpectrum {
  bool violated = false;  // the isometry defect is above its threshold: nothing below is given
  double defect = 0, threshold = 0;
  Tensor points;           // complex128 [s], undefined where violated
  Tensor distances;        // float64 [s]: D at each, an upper bound of its distance (M -> infinity)
  Tensor vectors;          // complex128 [n, s], where asked for: the pseudo-eigenfunctions
  double certificate = 0;  // the largest of them: every point is that near to the spectrum
};

/// Algorithm of section 2.5 (paper), with the radius max(D, spacing) instead of the published
/// program's 5 D, which merges what need not be (code): every grid point z with D(z) < 1 sends the
/// point of least D within that radius of it. The spectrum's points are returned in the grid's
/// order. Guarantee for M -> infinity and an isometry: each is within `certificate` of the
/// spectrum; as N grows and the spacing falls the set converges to it.
///
/// The assumption is tested on the data (isometry_defect against isometry_threshold). Where it is
/// violated |1 - |z|| says nothing about the spectrum, and no set is returned.
CertifiedSpectrum certified_spectrum(const Reduction& reduction, const Grid& grid,
                                     const SweepOptions& options = {});
/// The same after a sweep over that grid; `points` and `tau` as there.
CertifiedSpectrum certified_spectrum(const Reduction& reduction, const Grid& grid,
                                     const Sweep& sweep);

/// max(tau, |1 - |z||).
Tensor isometry_distance(const Tensor& points, const Tensor& tau);

/// Indices of the points that algorithm 2.5 selects, int64, rising: `distance` [nx ny] on the grid.
Tensor select_spectrum(const Grid& grid, const Tensor& distance, double cutoff = 1);

/// Of candidate points (EDMD's eigenvalues, say) with their residuals: those with max(residual,
/// |1 - |z||) <= tolerance.
Tensor prune(const Tensor& values, const Tensor& residuals, double tolerance,
             bool measure_preserving);

}  // namespace ritz::koopman
