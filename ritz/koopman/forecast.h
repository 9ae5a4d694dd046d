#pragma once
// Forecasts of series by modes, and what they have to beat.
//
// A history is [N, T, d]: N trajectories of T states; every forecast is [N, H, d], the H states
// after each one's last. What is learned is learned from all trajectories together.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/forecast.h"
//     int main() {  // a damped wave goes on as it was
//       const auto t = torch::arange(0., 80., torch::kFloat64);
//       const auto wave = (torch::pow(0.99, t) * torch::cos(0.3 * t)).view({1, 80, 1});
//       const auto told = ritz::koopman::forecast_dmd(wave.slice(1, 0, 60), 20, {.delays = 4});
//       return torch::allclose(told, wave.slice(1, 60), 1e-6, 1e-9) ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/koopman/dictionary.h"

namespace ritz::koopman {

/// Windows of q consecutive states, the oldest first: [N, T - q + 1, q d].
Tensor state_windows(const Tensor& history, int64_t q);

/// The last state again and again.
Tensor forecast_persistence(const Tensor& history, int64_t horizon);

/// The mean state of each phase of the season, [N, season, d]; phase 0 is the first state's. Every
/// trajectory has its own. InvalidArgument unless 1 <= season <= T.
Tensor seasonal_means(const Tensor& history, int64_t season);
/// Their continuation from state `begin` on: [N, count, d].
Tensor seasonal_part(const Tensor& means, int64_t begin, int64_t count);
/// The seasonal means; with season 1 the mean.
Tensor forecast_climatology(const Tensor& history, int64_t horizon, int64_t season);

struct AutoregressionOptions {
  int64_t order = 0;  // p; 0: the least AIC among 1, 2, 3, 4, 6, 8, 12, 16, 24, 48, 96 <= T / 5
};
/// x_t = c + sum_{k=1}^{p} a_k x_{t-k}, an own one for every column, by least squares.
Tensor forecast_autoregression(const Tensor& history, int64_t horizon,
                               const AutoregressionOptions& options = {});

struct DmdForecastOptions {
  int64_t delays = 1;  // states a window; 1: plain DMD, more: Hankel DMD
  int64_t rank = 0;    // r; 0: singular values above the optimal hard threshold
};
/// Exact DMD: x_{t+1} = x_t A on windows, A = X^+ Y with X's pseudo-inverse cut to rank r; the
/// newest state of the window is read off. Threshold (Gavish & Donoho 2014) for noise of unknown
/// size. Powers of the r x r matrix, never its eigenvectors, which may be ill-conditioned.
Tensor forecast_dmd(const Tensor& history, int64_t horizon, const DmdForecastOptions& options = {});

/// EDMD's: features X, Y [M, n] of pairs, the states [M, d] that X's features stand for, features
/// of the last states [N, n]: psi_last K^h B, K = X^+ Y and B = X^+ states by least squares.
Tensor forecast_features(const Tensor& X, const Tensor& Y, const Tensor& states, const Tensor& last,
                         int64_t horizon);
/// The same by a dictionary of windows: `windows` are the snapshots of state_windows, from which
/// the newest `d` features are read off; the lift was made for them.
Tensor forecast_edmd(const Lift& lift, const Snapshots& windows, int64_t d, int64_t horizon);

/// By modes: Re((psi_last V lambda^h) Phi) with Phi by least squares of `states` [M, d] on X V;
/// eigenvalues [k], right eigenvectors V [n, k].
Tensor forecast_modes(const Tensor& eigenvalues, const Tensor& V, const Tensor& X,
                      const Tensor& states, const Tensor& last, int64_t horizon);

}  // namespace ritz::koopman
