#pragma once
// How good forecasts are: errors at a horizon, structural similarity, histograms and spectra of
// long rollouts.
//
//     #include "ritz/koopman/learned/metrics.h"
//     #include <torch/types.h>
//     int main() {
//       const auto x = torch::ones({2, 5, 3});
//       return ritz::koopman::learned::nrmse(x, 2 * x)[4].item<double>() == 1 ? 0 : 1;
//     }
#include "ritz/base/tensor.h"

namespace ritz::koopman::learned {

/// float64 [H]: ||forecast_h - truth_h|| / ||truth_h|| over a frame's numbers, averaged over the N
/// starts, of truth and forecast [N, H, ...].
Tensor nrmse(const Tensor& truth, const Tensor& forecast);

/// float64 [H]: the mean structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) of fields
/// [N, H, C, h, w]: Gaussian window of deviation 1.5 and width 11 (narrower where the field is),
/// constants (0.01 R)^2 and (0.03 R)^2, R the range of the truth's channel over all frames.
Tensor ssim(const Tensor& truth, const Tensor& forecast);

/// Kullback-Leibler divergence KL(truth || forecast) of the histograms of points [n, 3] (any number
/// of columns up to 6), `bins` a side over the truth's range widened by 10 %, points outside in the
/// outermost cells, one added to every count that either has. (reconstructed)
double histogram_divergence(const Tensor& truth, const Tensor& forecast, int64_t bins = 20);

/// Relative l_1 distance of time-averaged power spectra of sequences [T, ...]: the frames' spatial
/// spectra |FFT|^2 over the last dimension (fields: the last two), averaged over frames.
double spectral_distance(const Tensor& truth, const Tensor& forecast, int64_t spatial_dimensions);

}  // namespace ritz::koopman::learned
