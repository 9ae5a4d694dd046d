#include "ritz/optim/batch_scaling/theory.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ritz/base/check.h"

namespace ritz::optim {
namespace {

constexpr double kPi = 3.14159265358979323846;

/// s^2 sum_k w_k / (z - t_k)^power
double stieltjes(const Bulk& bulk, double s, double z, int power) {
  double sum = 0;
  for (size_t k = 0; k < bulk.nodes.size(); ++k) {
    const double distance = z - bulk.nodes[k];
    sum += bulk.weights[k] / (power == 1 ? distance : distance * distance);
  }
  return s * s * sum;
}

Outlier negated(Outlier outlier) {
  outlier.value = -outlier.value;
  return outlier;
}

}  // namespace

double effective_batch(int64_t batch, int64_t samples, bool replacement) {
  check_at_least("samples", samples, 1);
  if (replacement) {
    check_at_least("batch", batch, 1);
    return static_cast<double>(batch);
  }
  check_range("batch", batch, 1, samples);
  if (batch == samples) return std::numeric_limits<double>::infinity();
  const auto B = static_cast<double>(batch), N = static_cast<double>(samples);
  return B * N / (N - B);
}

Outlier wigner_top(double lambda, double s) {
  check_non_negative("s", s);
  if (lambda <= s) return {.value = 2 * s};
  return {lambda + s * s / lambda, 1 - s * s / (lambda * lambda), true};
}

Outlier wigner_bottom(double lambda, double s) {
  return negated(wigner_top(-lambda, s));
}

Bulk bulk_of(const SpectralQuadrature& quadrature, const std::vector<double>& outliers,
             double tolerance) {
  check_non_negative("tolerance", tolerance);
  double low = -std::numeric_limits<double>::infinity(), high = -low;
  for (const double outlier : outliers) {
    // An outlier of a positive sign bounds the bulk from above, of a negative one from below.
    if (outlier > 0) high = std::min(high, outlier);
    if (outlier < 0) low = std::max(low, outlier);
  }
  Bulk bulk;
  double total = 0;
  for (const auto& probe : quadrature.probes)
    for (size_t k = 0; k < probe.nodes.size(); ++k) {
      const double t = probe.nodes[k];
      if (t >= high * (1 - tolerance) || t <= low * (1 - tolerance)) continue;
      bulk.nodes.push_back(t);
      bulk.weights.push_back(probe.weights[k]);
      total += probe.weights[k];
    }
  if (bulk.nodes.empty() || total <= 0)
    throw InvalidArgument("quadrature", "nodes between the outliers", "none");
  for (double& w : bulk.weights) w /= total;
  return bulk;
}

// The free sum of mu and a semicircle has the edge min over z > max mu of h(z) = z + s^2 m(z); h is
// convex there with h' = 1 - s^2 int dmu / (z - t)^2, so its minimum is where h' vanishes, and an
// outlier lambda is separated exactly where h'(lambda) > 0, that is to the right of it.
Outlier wigner_top(double lambda, double s, const Bulk& bulk) {
  check_non_negative("s", s);
  if (bulk.nodes.empty() || bulk.nodes.size() != bulk.weights.size())
    throw InvalidArgument("bulk", "as many weights as nodes, at least one",
                          std::to_string(bulk.nodes.size()) + " nodes and " +
                              std::to_string(bulk.weights.size()) + " weights");
  const double edge = *std::max_element(bulk.nodes.begin(), bulk.nodes.end());
  if (lambda > edge) {
    const double slope = 1 - stieltjes(bulk, s, lambda, 2);
    if (slope > 0) return {lambda + stieltjes(bulk, s, lambda, 1), slope, true};
  }
  if (s == 0) return {.value = edge};
  double total = 0;
  for (const double w : bulk.weights) total += w;
  // h' <= 0 while (z - edge)^2 < s^2 w_edge, and h' >= 0 once (z - edge)^2 > s^2 sum w.
  double low = edge, high = edge + s * std::sqrt(total);
  for (int halving = 0; halving < 60; ++halving) {
    const double middle = 0.5 * (low + high);
    (middle == low || stieltjes(bulk, s, middle, 2) > 1 ? low : high) = middle;
  }
  return {.value = high + stieltjes(bulk, s, high, 1)};
}

Outlier wigner_bottom(double lambda, double s, const Bulk& bulk) {
  Bulk mirrored = bulk;
  for (double& t : mirrored.nodes) t = -t;
  return negated(wigner_top(-lambda, s, mirrored));
}

Outlier wishart_top(double ell, double sigma2, double q) {
  check_non_negative("sigma2", sigma2);
  check_non_negative("q", q);
  const double root = std::sqrt(q);
  if (ell <= sigma2 * (1 + root)) return {.value = sigma2 * (1 + root) * (1 + root)};
  // 1 / t with t = (ell - sigma2) / sigma2 stays finite for sigma2 = 0.
  const double inverse = sigma2 / (ell - sigma2);
  return {ell * (1 + q * inverse), (1 - q * inverse * inverse) / (1 + q * inverse), true};
}

Outlier wishart_bottom(double sigma2, double q) {
  check_non_negative("sigma2", sigma2);
  check_non_negative("q", q);
  const double root = std::min(std::sqrt(q), 1.0);
  return {.value = sigma2 * (1 - root) * (1 - root)};
}

double semicircle_density(double t, double s) {
  check_positive("s", s);
  const double under = 4 * s * s - t * t;
  return under <= 0 ? 0 : std::sqrt(under) / (2 * kPi * s * s);
}

double marchenko_pastur_density(double t, double sigma2, double q) {
  check_positive("sigma2", sigma2);
  check_positive("q", q);
  const double root = std::sqrt(q);
  const double low = sigma2 * (1 - root) * (1 - root), high = sigma2 * (1 + root) * (1 + root);
  if (t <= low || t >= high) return 0;
  return std::sqrt((high - t) * (t - low)) / (2 * kPi * q * sigma2 * t);
}

}  // namespace ritz::optim
