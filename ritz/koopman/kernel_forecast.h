#pragma once
// Forecasts of few snapshots with many features: kernel EDMD on windows of states, of whose modes
// only those are kept that the adjoint's exact residual vouches for.
//
//     windows z_t = (x_t, ..., x_{t+q-1});  k(z, z') a kernel;  K, L its compressed matrices
//     modes (lambda_j, v_j, r_j) by adjoint_modes;  kept: those before the knee of r
//     x = Re(psi(z) V Phi),  Phi by least squares on every window there is
//     x_{T+h} = Re((psi(z_T) V lambda^h) Phi)
//
// (code) Colbrook, the sea-ice example of arXiv 2407.06312: six delays, the Lorentzian kernel, each
// calendar month's mean taken away first. The residual certifies modes, not the forecast: noise and
// what the window does not show are not in it.
//
//     #include <torch/types.h>
//     #include "ritz/koopman/kernel_forecast.h"
//     int main() {  // a wave on a circle of 40 pixels
//       const auto t = torch::arange(0., 70., torch::kFloat64).unsqueeze(1);
//       const auto x = torch::cos(0.5 * t + 0.157 * torch::arange(0., 40., torch::kFloat64));
//       const auto told = ritz::koopman::forecast_kernel(x.slice(0, 0, 60).unsqueeze(0), 10, {.delays = 2});
//       return (told.values[0] - x.slice(0, 60)).abs().max().item<double>() < 0.05 ? 0 : 1;
//     }
#include "ritz/koopman/kernel_edmd.h"

namespace ritz::koopman {

struct KernelForecastOptions {
  KernelKind kernel = KernelKind::lorentzian;
  double scale = 0;  // 0: from the data
  int64_t degree = 2;
  int64_t delays = 6;      // q
  int64_t size = 0;        // sections kept; 0: all of the Gram matrix's rank
  bool all_modes = false;  // keep every mode: plain kernel EDMD
  int64_t kept = 0;        // modes to keep instead of the knee's number; 0: the knee's
};

struct KernelForecast {
  Tensor values;       // [N, H, d]
  AdjointModes modes;  // sorted by residual
  int64_t kept = 0;    // the first so many were used
};

/// `history` [N, T, d], float. M^2 q d + 9 M^3 flops for M = N (T - q) windows.
KernelForecast forecast_kernel(const Tensor& history, int64_t horizon,
                               const KernelForecastOptions& options = {});

}  // namespace ritz::koopman
