#include "ritz/koopman/certified_spectrum.h"

#include <torch/types.h>

#include <mutex>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"

namespace ritz::koopman {

Tensor isometry_distance(const Tensor& points, const Tensor& tau) {
  return at::maximum(tau, (points.abs().to(torch::kFloat64) - 1).abs());
}

// Cost: (max(D, h) / h)^2 pi comparisons a point.
Tensor select_spectrum(const Grid& grid, const Tensor& distance, double cutoff) {
  const GridPoints all = grid_points(grid);
  check_shape("distance", distance, {all.nx * all.ny});
  const Tensor values = distance.to(torch::kFloat64).contiguous();
  const double* D = values.data_ptr<double>();
  const int64_t nx = all.nx, ny = all.ny;
  std::vector<char> chosen(static_cast<size_t>(nx * ny), 0);
  std::mutex mutex;
  parallel_for(0, nx, 1, [&](int64_t first, int64_t last) {
    std::vector<int64_t> found;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = 0; j < ny; ++j) {
        const double d = D[i * ny + j];
        if (!(d < cutoff)) continue;
        // In units of the spacing; the grid's own rounding must not lose a neighbour at distance h.
        const double radius = std::max(d / grid.spacing, 1.) * (1 + 1e-9);
        const auto reach = static_cast<int64_t>(radius);
        int64_t best = i * ny + j;
        for (int64_t a = std::max<int64_t>(0, i - reach); a <= std::min(nx - 1, i + reach); ++a) {
          const double da = static_cast<double>(a - i);
          const auto up = static_cast<int64_t>(std::sqrt(radius * radius - da * da));
          for (int64_t b = std::max<int64_t>(0, j - up); b <= std::min(ny - 1, j + up); ++b) {
            if (D[a * ny + b] < D[best]) best = a * ny + b;
          }
        }
        found.push_back(best);
      }
    }
    const std::lock_guard lock(mutex);
    for (const int64_t k : found) chosen[static_cast<size_t>(k)] = 1;
  });
  std::vector<int64_t> indices;
  for (size_t k = 0; k < chosen.size(); ++k) {
    if (chosen[k] != 0) indices.push_back(static_cast<int64_t>(k));
  }
  return torch::tensor(indices, torch::kInt64);
}

CertifiedSpectrum certified_spectrum(const Reduction& reduction, const Grid& grid,
                                     const Sweep& sweep) {
  CertifiedSpectrum result;
  result.defect = isometry_defect(reduction);
  result.threshold = isometry_threshold(reduction);
  result.violated = !(result.defect <= result.threshold);
  if (result.violated) return result;
  const Tensor points = grid_points(grid).points;
  const Tensor distance = isometry_distance(points, sweep.tau);
  const Tensor index = select_spectrum(grid, distance);
  result.points = points.index_select(0, index);
  result.distances = distance.index_select(0, index);
  if (sweep.vectors.defined()) result.vectors = sweep.vectors.index_select(1, index);
  result.certificate = index.size(0) > 0 ? result.distances.max().item<double>()
                                         : std::numeric_limits<double>::infinity();
  return result;
}

CertifiedSpectrum certified_spectrum(const Reduction& reduction, const Grid& grid,
                                     const SweepOptions& options) {
  return certified_spectrum(reduction, grid,
                            pseudospectrum(reduction, grid_points(grid).points, options));
}

Tensor prune(const Tensor& values, const Tensor& residuals, double tolerance,
             bool measure_preserving) {
  check_non_negative("tolerance", tolerance);
  const Tensor distance = measure_preserving ? isometry_distance(values, residuals) : residuals;
  return values.index_select(0, (distance <= tolerance).nonzero().squeeze(1));
}

}  // namespace ritz::koopman
