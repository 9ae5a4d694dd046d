#include "ritz/koopman/mixing.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"

namespace ritz::koopman {
namespace {

// An orthonormal basis of the columns in their order; a column that depends on earlier ones becomes
// zero. Gram-Schmidt, twice, by the columns before: QR would put noise there.
Tensor nested_basis(const Tensor& A, int64_t& rank) {
  const Tensor Q = A.clone();
  rank = 0;
  for (int64_t k = 0; k < Q.size(1); ++k) {
    const Tensor q = Q.select(1, k);
    const double before = q.norm().item<double>();
    if (k > 0) {
      const Tensor head = Q.slice(1, 0, k);
      for (int pass = 0; pass < 2; ++pass) q.sub_(head.mv(head.mH().mv(q)));
    }
    const double after = q.norm().item<double>();
    // What is left of a dependent column is rounding.
    if (after <= 1e-10 * before || after == 0) {
      q.zero_();
    } else {
      q.div_(after);
      ++rank;
    }
  }
  return Q;
}

}  // namespace

Rage rage(const Tensor& features, const Tensor& orbit, const RageOptions& options) {
  check_dim("features", features, 2);
  check_floating("features", features, true);
  check_floating("orbit", orbit, true);
  const int64_t M = features.size(0), n = features.size(1);
  check_at_least("snapshots", M, 2);
  check_at_least("columns", n, 1);
  check_shape("orbit", orbit, {M, -1});
  check_finite("features", features);
  const int64_t steps = orbit.size(1);
  check_at_least("lags", steps - 1, 1);
  std::vector<int64_t> dimensions = options.dimensions;
  if (dimensions.empty()) dimensions = {n};
  for (const int64_t d : dimensions) check_range("dimensions", d, 1, n);
  const bool complex = features.is_complex() || orbit.is_complex();
  const auto type = complex ? torch::kComplexDouble : torch::kFloat64;
  Tensor root = torch::full({M, 1}, 1 / std::sqrt(static_cast<double>(M)),
                            features.options().dtype(torch::kFloat64));
  if (options.weights.defined()) {
    check_shape("weights", options.weights, {M});
    check_finite("weights", options.weights);
    if (options.weights.min().item<double>() <= 0)
      throw InvalidArgument("weights", "positive numbers",
                            number_text(options.weights.min().item<double>()));
    root = options.weights.to(torch::kFloat64).sqrt().unsqueeze(1);
  }
  Rage out{.dimensions = dimensions};
  const Tensor Q = nested_basis(features.to(type) * root, out.rank);
  const Tensor QW = (Q * root).mH();  // [n, M]: sqrt(W) is in the basis once, in g once
  const double energy =
      (orbit.select(1, 0).to(type) * root.squeeze(1)).abs().square().sum().item<double>();
  check_positive("norm of the observable", energy);
  out.norm = std::sqrt(energy);
  const int64_t block = std::max<int64_t>(1, (1 << 22) / M);
  std::vector<Tensor> parts;
  for (int64_t l = 0; l < steps; l += block) {
    const Tensor g = orbit.slice(1, l, std::min(steps, l + block)).to(type);
    check_finite("orbit", g);
    parts.push_back(QW.mm(g).abs().square());
  }
  const Tensor energies = torch::cat(parts, 1).cumsum(0) / energy;  // [n, L + 1], nested in n
  const Tensor counts = torch::arange(1, steps + 1, energies.options());
  const Tensor means = energies.cumsum(1) / counts;
  const Tensor at = torch::tensor(dimensions, torch::kInt64).to(means.device()) - 1;
  out.running = means.index_select(0, at);
  for (size_t k = 0; k < dimensions.size(); ++k) {
    const double R = out.running[static_cast<int64_t>(k)][steps - 1].item<double>();
    out.average.push_back(R);
    out.noise_floor.push_back(static_cast<double>(dimensions[k]) * std::max(0.0, 1 - R) /
                              static_cast<double>(M));
  }
  return out;
}

}  // namespace ritz::koopman
