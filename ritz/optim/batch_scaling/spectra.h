#pragma once
// Measured extremes: of the full data, and of random batches.
#include <cstdint>
#include <functional>
#include <vector>

#include "ritz/dist/process_group.h"
#include "ritz/krylov/lanczos.h"
#include "ritz/linop/linear_operator.h"

namespace ritz::optim {

/// The curvature of a batch: rows [B] int64 of the data. For a network
///     [&](const Tensor& rows) { return nn::hessian(nn::subset(objective, rows)); }
using BatchOperator = std::function<LinearOperatorPtr(const Tensor& rows)>;

struct ExtremesOptions {
  double tolerance = 1e-3;   // on the residuals |A v - theta v| / |theta| of both ends
  int64_t max_steps = 100;   // operator products
  int64_t memory_limit = 0;  // bytes for the basis (restarts before it is full); 0: none
  bool lower = true;         // false: the upper end alone, for matrices whose lower end is 0
  uint64_t seed = 0;
};
/// lambda_1 and lambda_P of an operator with their eigenvectors: extreme_eigenpairs with one pair
/// an end and no restart while `max_steps` vectors fit.
ExtremePairs full_extremes(const LinearOperator& op, const ExtremesOptions& options = {});

struct BatchSpectraOptions {
  std::vector<int64_t> batch_sizes = {};  // each in [1, N], or >= 1 with replacement
  int64_t batches = 0;                    // R a size; 0: 64 up to B = 128, then max(4, 8192 / B)
  int64_t steps = 15;                     // of Lanczos, >= 1
  bool replacement = false;               // batches drawn with it
  uint64_t seed = 0;                      // batch r of size B: stream ("batch-scaling/batch/B", r)
  /// Told after each batch; throw from it to stop.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// Extremes over R random batches of one size.
struct BatchExtremes {
  int64_t batch = 0;                        // B
  double b = 0;                             // effective_batch
  std::vector<double> largest, smallest;    // [R]: of each batch
  double lambda_1 = 0, lambda_P = 0;        // their means
  double lambda_1_se = 0, lambda_P_se = 0;  // deviation / sqrt(R); NaN for R = 1
};

/// Lanczos on the operator of each of R random batches. Over several ranks batch r is rank r mod
/// W's work (no talk until the end), and all ranks return the same. A size with B = N without
/// replacement has a single batch. Cost: sum over B of R steps products on B samples. Throws
/// InvalidArgument for sizes out of range, steps < 1, no data; NotConverged naming batch size and
/// number where a product is not finite.
std::vector<BatchExtremes> batch_spectra(const BatchOperator& curvature, int64_t samples,
                                         const BatchSpectraOptions& options,
                                         dist::ProcessGroup* group = nullptr);

/// The rows of one of those batches.
Tensor batch_rows(int64_t batch, int64_t number, int64_t samples, bool replacement, uint64_t seed);

}  // namespace ritz::optim
