// The npz of the Deep Curvature Suite.
#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/krylov/quadrature.h"

namespace ritz {
namespace {

io::Array array_of(const char* name, const Tensor& values) {
  return io::to_array(name, values);
}

// A column of numbers, float64; null where the file has none of that name.
std::optional<Tensor> find(const std::vector<io::Array>& arrays, const std::string& name) {
  for (const auto& array : arrays) {
    if (array.name == name) return io::to_tensor(array).to(torch::kFloat64).contiguous();
  }
  return std::nullopt;
}

Tensor need(const std::vector<io::Array>& arrays, const std::string& name,
            const std::string& path) {
  auto found = find(arrays, name);
  if (!found) throw DataError("npz", "an array called " + name, "none", path);
  return *found;
}

}  // namespace

void write_curvature_suite(const std::string& path, const SpectralQuadrature& q, bool force) {
  (void)q.largest();  // checks that there are probes and nodes
  std::vector<double> nodes, weights;
  std::vector<int64_t> probe;
  for (size_t l = 0; l < q.probes.size(); ++l) {
    for (size_t k = 0; k < q.probes[l].nodes.size(); ++k) {
      nodes.push_back(q.probes[l].nodes[k]);
      weights.push_back(q.probes[l].weights[k] / static_cast<double>(q.probes.size()));
      probe.push_back(static_cast<int64_t>(l));
    }
  }
  io::write_arrays(path,
                   {array_of("eigvals", torch::tensor(nodes, torch::kFloat64)),
                    array_of("gammas", torch::tensor(weights, torch::kFloat64)),
                    array_of("probe", torch::tensor(probe, torch::kLong)),
                    array_of("dimension", torch::tensor({q.dimension}, torch::kLong))},
                   {.force = force});
}

SpectralQuadrature read_curvature_suite(const std::string& path) {
  const auto arrays = io::read_arrays(path);
  auto nodes = need(arrays, "eigvals", path);
  const auto weights = need(arrays, "gammas", path);
  if (nodes.dim() == 2 && nodes.size(1) == 2) {  // old libtorch's eig: real and imaginary parts
    if (nodes.select(1, 1).abs().max().item<double>() != 0) {
      throw DataError("eigvals", "real numbers", "imaginary parts that are not zero", path);
    }
    nodes = nodes.select(1, 0).contiguous();
  }
  if (nodes.dim() != 1 || nodes.size(0) == 0 || nodes.sizes() != weights.sizes()) {
    throw DataError("gammas", "as many numbers as eigvals, at least one",
                    std::to_string(weights.numel()) + " for " + std::to_string(nodes.numel()),
                    path);
  }
  const double total = weights.sum().item<double>();
  if (!at::isfinite(nodes).all().item<bool>() || !(weights.min().item<double>() >= 0) ||
      !(std::abs(total - 1) < 1e-3)) {  // float32 files sum to 1 within 1e-5
    throw DataError("gammas", "weights >= 0 that sum to 1", "a sum of " + number_text(total), path);
  }

  SpectralQuadrature q;
  if (const auto dimension = find(arrays, "dimension")) {
    q.dimension = static_cast<int64_t>(dimension->flatten()[0].item<double>());
  }
  const auto probe = find(arrays, "probe").value_or(torch::zeros_like(nodes));
  if (probe.sizes() != nodes.sizes() || probe.min().item<double>() < 0 ||
      probe.max().item<double>() >= static_cast<double>(nodes.size(0))) {
    throw DataError("probe", "a probe's number for each node", "others", path);
  }
  q.probes.resize(static_cast<size_t>(probe.max().item<double>()) + 1);
  const auto order = nodes.argsort();
  for (int64_t i = 0; i < nodes.size(0); ++i) {
    const auto at = order[i].item<int64_t>();
    auto& to = q.probes[static_cast<size_t>(probe[at].item<double>())];
    to.nodes.push_back(nodes[at].item<double>());
    to.weights.push_back(weights[at].item<double>());
  }
  for (auto& one : q.probes) {
    double sum = 0;
    for (const double weight : one.weights) sum += weight;
    if (!(sum > 0))
      throw DataError("probe", "nodes with weight in every probe", "none in one", path);
    for (double& weight : one.weights) weight /= sum;
  }
  return q;
}

}  // namespace ritz
