#include "studies/generators/spiked.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {
namespace {

TensorOptions with_default(const TensorOptions& options) {
  return options.has_dtype() ? options : options.dtype(torch::kFloat64);
}

// Orthonormal columns of a Haar-distributed matrix: Q of a Gaussian matrix with R's diagonal
// positive.
Tensor random_directions(int64_t size, int64_t count, uint64_t seed, const TensorOptions& options) {
  RandomStream random(seed, stream_id("spiked/directions"));
  const Tensor gaussian = random.normal({size, count}, options.dtype(torch::kFloat64));
  const auto [q, r] = torch::linalg_qr(gaussian);
  return (q * r.diagonal().sign()).to(options);
}

}  // namespace

SpikedMatrix spiked_wigner(const SpikedWignerOptions& options) {
  const int64_t P = options.size;
  check_at_least("size", P, 1);
  check_range("number of spikes", static_cast<int64_t>(options.spikes.size()), 0, P);
  check_non_negative("sigma", options.sigma);
  check_positive("batch", options.batch);
  const auto tensor = with_default(options.tensor);

  SpikedMatrix made;
  const double deviation = options.sigma / std::sqrt(options.batch);
  RandomStream random(options.seed, stream_id("spiked/wigner", options.draw));
  const Tensor noise = random.normal({P, P}, tensor).triu_();
  made.matrix = (noise + noise.triu(1).t()).mul_(deviation);
  made.directions =
      random_directions(P, static_cast<int64_t>(options.spikes.size()), options.seed, tensor);
  double largest = 0, smallest = 0;
  if (!options.spikes.empty()) {
    const Tensor values = torch::tensor(options.spikes, torch::kFloat64).to(tensor);
    made.matrix.addmm_(made.directions * values, made.directions.t());
    largest = std::max(largest, *std::max_element(options.spikes.begin(), options.spikes.end()));
    smallest = std::min(smallest, *std::min_element(options.spikes.begin(), options.spikes.end()));
  }
  made.matrix = (made.matrix + made.matrix.t()).mul_(0.5);  // rounding must not make it asymmetric
  const double s = options.sigma * std::sqrt(static_cast<double>(P) / options.batch);
  made.top = optim::wigner_top(largest, s);
  made.bottom = optim::wigner_bottom(smallest, s);
  return made;
}

SpikedMatrix spiked_wishart(const SpikedWishartOptions& options) {
  const int64_t P = options.size, B = options.batch;
  check_at_least("size", P, 1);
  check_at_least("batch", B, 1);
  check_positive("sigma2", options.sigma2);
  check_in("spike", options.spike, options.sigma2, std::numeric_limits<double>::max());
  const auto tensor = with_default(options.tensor);

  SpikedMatrix made;
  made.directions = random_directions(P, 1, options.seed, tensor);
  RandomStream random(options.seed, stream_id("spiked/wishart", options.draw));
  Tensor rows = random.normal({B, P}, tensor).mul_(std::sqrt(options.sigma2));
  // (I + c q q^T) stretches q alone: c = sqrt(ell / sigma2) - 1.
  const double c = std::sqrt(options.spike / options.sigma2) - 1;
  rows.addmm_(rows.mm(made.directions), made.directions.t(), 1, c);
  made.matrix = rows.t().mm(rows).div_(static_cast<double>(B));
  made.matrix = (made.matrix + made.matrix.t()).mul_(0.5);
  const double q = static_cast<double>(P) / static_cast<double>(B);
  made.top = optim::wishart_top(options.spike, options.sigma2, q);
  made.bottom = optim::wishart_bottom(options.sigma2, q);
  return made;
}

}  // namespace ritz::studies
