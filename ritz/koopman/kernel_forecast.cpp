#include "ritz/koopman/kernel_forecast.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/forecast.h"
#include "ritz/koopman/knee.h"

namespace ritz::koopman {

KernelForecast forecast_kernel(const Tensor& history, int64_t horizon,
                               const KernelForecastOptions& options) {
  check_dim("history", history, 3);
  check_floating("history", history);
  check_finite("history", history);
  check_at_least("horizon", horizon, 1);
  const int64_t N = history.size(0), T = history.size(1), d = history.size(2), q = options.delays;
  check_range("delays", q, 1, T - 2);
  check_at_least("size", options.size, 0);
  const Tensor windows = state_windows(history.to(torch::kFloat64), q);  // [N, W, q d]
  const int64_t W = windows.size(1), D = windows.size(2);
  const Snapshots pairs = trajectories(windows.contiguous());
  const Kernel kernel = make_kernel(options.kernel, pairs.x(), options.scale, options.degree);
  const KernelEdmd fit = kernel_edmd(kernel, pairs, {.size = options.size});
  KernelForecast out{.values = {}, .modes = adjoint_modes(fit.K, fit.L)};
  const int64_t rank = fit.rank();
  check_range("kept", options.kept, 0, rank);
  out.kept = options.all_modes ? rank : options.kept > 0 ? options.kept : kept_modes(out.modes);
  const Tensor features = (*fit.functions())(windows.reshape({-1, D})).view({N, W, rank});
  const Tensor newest = windows.slice(2, (q - 1) * d).reshape({-1, d});
  out.values =
      forecast_modes(out.modes.values.slice(0, 0, out.kept), out.modes.right.slice(1, 0, out.kept),
                     features.flatten(0, 1), newest, features.select(1, W - 1), horizon)
          .to(history.scalar_type());
  return out;
}

}  // namespace ritz::koopman
