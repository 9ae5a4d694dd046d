#pragma once
// Pictures of a spectrum out of quadrature nodes and weights: smoothed density, cumulative form,
// stems.
#include <cstdint>
#include <optional>
#include <vector>

#include "ritz/krylov/quadrature.h"

namespace ritz {

struct DensityOptions {
  int64_t points = 1024;  // of the grid, >= 2
  double margin = 0.05;   // of the range of the nodes, added on either side, >= 0
  double kappa = 0;       // > 1: sd = 2 / ((m - 1) sqrt(8 ln kappa)) half ranges (Papyan 2020);
                          // 0: 3, or 1.04 on the log scale. Smaller is smoother
  std::optional<double> sd = {};      // the kernel's deviation itself, instead of kappa
  std::optional<double> rel_sd = {};  // ... in units of the range of the nodes
  bool log_scale = false;             // density of log(|A| + offset), t is that logarithm
  double log_offset = 1e-5;
};

/// Integrates to 1 over t (trapezoids).
struct SpectralDensity {
  std::vector<double> t;
  std::vector<double> density;
  double sd = 0;  // the deviation used; not below half the grid's spacing, which shows no less
};

/// Gaussian kernels at all nodes, weighted, mean over probes: one (points x nodes) matrix product.
/// Each kernel is divided by its own integral over the grid, so that mass cut at the borders is not
/// lost.
SpectralDensity spectral_density(const SpectralQuadrature& q, const DensityOptions& options = {});

struct CumulativeOptions {
  int64_t resamples = 200;  // bootstrap over probes
  double level = 0.95;      // of the uniform band
  uint64_t seed = 0;
};

/// F(t) = fraction of eigenvalues <= t: a step function with a jump of `weight` at each `t`.
struct CumulativeSpectrum {
  std::vector<double> t;      // ascending
  std::vector<double> value;  // F at t, after its jump; the last is 1
  std::optional<double>
      band;  // with probability `level` sup |F - truth| <= band, as far as the probes'
             // scatter tells (a bootstrap in the manner of Dvoretzky, Kiefer and
             // Wolfowitz: the quadrature's own bias is not in it); none for one probe
  double at(double x) const;
};
CumulativeSpectrum cumulative_spectrum(const SpectralQuadrature& q,
                                       const CumulativeOptions& options = {});

/// sup_t |F_a(t) - F_b(t)|: two spectra differ where it exceeds the sum of their bands.
double kolmogorov_distance(const CumulativeSpectrum& a, const CumulativeSpectrum& b);

/// Stems (theta_k, w_k), ascending, weights over all probes summing to 1.
struct SpectralStems {
  std::vector<double> theta;
  std::vector<double> weight;
};
SpectralStems spectral_stems(const SpectralQuadrature& q);

}  // namespace ritz
