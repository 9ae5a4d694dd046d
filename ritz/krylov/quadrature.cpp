#include "ritz/krylov/quadrature.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/check.h"
#include "ritz/krylov/detail/vectors.h"

namespace ritz {
namespace {

void check_probes(const SpectralQuadrature& q) {
  if (q.probes.empty()) throw InvalidArgument("q", "at least one probe", "none");
  for (const auto& probe : q.probes) {
    if (probe.nodes.empty() || probe.nodes.size() != probe.weights.size()) {
      throw InvalidArgument("q", "as many weights as nodes, at least one",
                            std::to_string(probe.nodes.size()) + " nodes, " +
                                std::to_string(probe.weights.size()) + " weights");
    }
  }
}

void check_dimension(const SpectralQuadrature& q) {
  if (q.dimension < 1)
    throw InvalidArgument("q.dimension", "an integer >= 1", std::to_string(q.dimension));
}

// Mean over probes of sum_k w_k f(theta_k), times `scale`.
Estimate mean_over_probes(const SpectralQuadrature& q, double scale,
                          const std::function<double(double)>& f) {
  check_probes(q);
  std::vector<double> values;
  for (const auto& probe : q.probes) {
    double sum = 0;
    for (size_t k = 0; k < probe.nodes.size(); ++k) sum += probe.weights[k] * f(probe.nodes[k]);
    values.push_back(scale * sum);
  }
  const auto n = static_cast<double>(values.size());
  Estimate out;
  for (const double value : values) out.value += value / n;
  if (values.size() > 1) {
    double squares = 0;
    for (const double value : values) squares += (value - out.value) * (value - out.value);
    out.standard_error = std::sqrt(squares / (n - 1) / n);
  }
  return out;
}

}  // namespace

double SpectralQuadrature::smallest() const {
  check_probes(*this);
  double value = std::numeric_limits<double>::infinity();
  for (const auto& probe : probes) {
    value = std::min(value, *std::min_element(probe.nodes.begin(), probe.nodes.end()));
  }
  return value;
}

double SpectralQuadrature::largest() const {
  check_probes(*this);
  double value = -std::numeric_limits<double>::infinity();
  for (const auto& probe : probes) {
    value = std::max(value, *std::max_element(probe.nodes.begin(), probe.nodes.end()));
  }
  return value;
}

ProbeQuadrature gauss_quadrature(const Tridiagonal& T, double epsilon) {
  auto eigen = eigh_tridiagonal(T);
  ProbeQuadrature out;
  const double rounding =
      epsilon * std::max(std::abs(eigen.values.front()), std::abs(eigen.values.back()));
  double total = 0;
  for (const double u : eigen.first) total += u * u;
  for (size_t k = 0; k < eigen.values.size(); ++k) {
    out.weights.push_back(eigen.first[k] * eigen.first[k] / total);
    out.residual_bounds.push_back(std::max(std::abs(T.tail * eigen.last[k]), rounding));
  }
  out.nodes = std::move(eigen.values);
  return out;
}

SpectralQuadrature spectral_quadrature(const LinearOperator& op, const QuadratureOptions& options) {
  detail::check_square("op", op);
  check_at_least("steps", options.steps, 1);
  check_at_least("probes", options.probes, 1);
  check_at_least("block", options.block, 0);
  const int64_t block = options.block > 0 ? options.block : options.probes;
  SpectralQuadrature out;
  out.dimension = op.rows();
  out.may_have_ghosts = options.store == BasisStore::none;
  for (int64_t first = 0; first < options.probes; first += block) {
    const auto run = lanczos(op, {.steps = options.steps,
                                  .probes = std::min(block, options.probes - first),
                                  .seed = options.seed,
                                  .first_probe = first,
                                  .start = options.start,
                                  .start_vectors = {},
                                  .store = options.store});
    for (const auto& T : run.T) out.probes.push_back(gauss_quadrature(T, run.epsilon));
  }
  return out;
}

Estimate trace_function(const SpectralQuadrature& q, const std::function<double(double)>& f) {
  check_dimension(q);
  return mean_over_probes(q, static_cast<double>(q.dimension), f);
}

Estimate moment(const SpectralQuadrature& q, int64_t p) {
  check_at_least("p", p, 0);
  return mean_over_probes(q, 1, [p](double t) { return std::pow(t, static_cast<double>(p)); });
}

Estimate trace(const SpectralQuadrature& q) {
  return trace_function(q, [](double t) { return t; });
}

Estimate frobenius_norm(const SpectralQuadrature& q) {
  auto out = trace_function(q, [](double t) { return t * t; });
  out.value = std::sqrt(out.value);
  // d sqrt(x) = dx / (2 sqrt(x)); a zero operator has no error.
  if (out.standard_error) {
    *out.standard_error = out.value > 0 ? *out.standard_error / (2 * out.value) : 0;
  }
  return out;
}

std::optional<Estimate> log_det(const SpectralQuadrature& q, double delta) {
  check_non_negative("delta", delta);
  if (!(q.smallest() + delta > 0)) return std::nullopt;
  return trace_function(q, [delta](double t) { return std::log(t + delta); });
}

}  // namespace ritz
