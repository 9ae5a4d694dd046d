#include "ritz/koopman/learned/metrics.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::koopman::learned {
namespace {

void check_pair(const Tensor& truth, const Tensor& forecast, int64_t least_dim) {
  check_floating("truth", truth);
  check_at_least("truth's dimensions", truth.dim(), least_dim);
  check_shape("forecast", forecast, truth.sizes());
}

/// Gaussian weights [1, 1, w, w] that sum to 1.
Tensor window(int64_t width) {
  const Tensor at = at::arange(width, at::kDouble) - static_cast<double>(width - 1) / 2;
  const Tensor line = (-at.square() / (2 * 1.5 * 1.5)).exp();
  const Tensor square = line.outer(line);
  return (square / square.sum()).view({1, 1, width, width});
}

}  // namespace

Tensor nrmse(const Tensor& truth, const Tensor& forecast) {
  check_pair(truth, forecast, 3);
  const Tensor x = truth.to(at::kDouble).flatten(2), y = forecast.to(at::kDouble).flatten(2);
  return ((y - x).norm(2, 2) / x.norm(2, 2).clamp_min(1e-300)).mean(0);
}

Tensor ssim(const Tensor& truth, const Tensor& forecast) {
  check_pair(truth, forecast, 5);
  const int64_t N = truth.size(0), H = truth.size(1), C = truth.size(2), h = truth.size(3),
                w = truth.size(4);
  const Tensor x = truth.to(at::kDouble), y = forecast.to(at::kDouble);
  const int64_t width = std::min({int64_t{11}, h - (h + 1) % 2, w - (w + 1) % 2});
  const Tensor kernel = window(width);
  const Tensor range = x.amax({0, 1, 3, 4}) - x.amin({0, 1, 3, 4});  // [C]
  const auto blur = [&](const Tensor& t) {
    return at::conv2d(t.reshape({N * H * C, 1, h, w}), kernel).view({N, H, C, -1});
  };
  const Tensor mx = blur(x), my = blur(y);
  const Tensor vx = blur(x * x) - mx * mx, vy = blur(y * y) - my * my, cxy = blur(x * y) - mx * my;
  const Tensor R = range.view({1, 1, C, 1});
  const Tensor c1 = (0.01 * R).square(), c2 = (0.03 * R).square();
  const Tensor similarity = (2 * mx * my + c1) * (2 * cxy + c2) /
                            ((mx.square() + my.square() + c1) * (vx + vy + c2)).clamp_min(1e-300);
  return similarity.mean({0, 2, 3});
}

double histogram_divergence(const Tensor& truth, const Tensor& forecast, int64_t bins) {
  check_dim("truth", truth, 2);
  check_shape("forecast", forecast, {-1, truth.size(1)});
  check_at_least("bins", bins, 1);
  check_range("columns", truth.size(1), 1, 6);
  const Tensor x = truth.to(at::kDouble), y = forecast.to(at::kDouble);
  const Tensor least = x.amin(0), span = (x.amax(0) - least).clamp_min(1e-300);
  int64_t cells = 1;
  for (int64_t i = 0; i < x.size(1); ++i) cells *= bins;
  const auto counts = [&](const Tensor& points) {
    const Tensor finite = at::nan_to_num(points, 0, 1e300, -1e300);
    const Tensor place =
        ((finite - (least - 0.05 * span)) / (1.1 * span)).clamp(0, 1) * static_cast<double>(bins);
    const Tensor cell = place.floor().clamp_max(static_cast<double>(bins - 1)).to(at::kLong);
    Tensor index = at::zeros({points.size(0)}, at::kLong);
    for (int64_t i = 0; i < points.size(1); ++i) index = index * bins + cell.select(1, i);
    return at::bincount(index, {}, cells).to(at::kDouble);
  };
  const Tensor a = counts(x), b = counts(y);
  const Tensor used = ((a + b) > 0).to(at::kDouble);
  const Tensor p = (a + used) / (a + used).sum(), q = (b + used) / (b + used).sum();
  return at::where(used > 0, p * (p.clamp_min(1e-300) / q.clamp_min(1e-300)).log(),
                   at::zeros_like(p))
      .sum()
      .item<double>();
}

double spectral_distance(const Tensor& truth, const Tensor& forecast, int64_t spatial_dimensions) {
  check_range("spatial dimensions", spatial_dimensions, 1, 2);
  check_pair(truth, forecast, spatial_dimensions + 1);
  const auto spectrum = [&](const Tensor& x) {
    const Tensor wide = x.to(at::kDouble);
    return (spatial_dimensions == 1 ? at::fft_rfft(wide) : at::fft_rfft2(wide))
        .abs()
        .square()
        .mean(0);
  };
  const Tensor a = spectrum(truth), b = spectrum(forecast);
  return ((a - b).abs().sum() / a.sum().clamp_min(1e-300)).item<double>();
}

}  // namespace ritz::koopman::learned
