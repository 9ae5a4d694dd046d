#include "ritz/optim/batch_scaling/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ritz/base/check.h"

namespace ritz::optim {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

NoiseModel base_model(Theory theory, NoiseEstimator estimator, double lambda_1, double lambda_P,
                      int64_t parameters) {
  check_at_least("parameters", parameters, 1);
  return {.theory = theory,
          .estimator = estimator,
          .lambda_1 = lambda_1,
          .lambda_P = lambda_P,
          .parameters = parameters,
          .c = kNaN};
}

}  // namespace

std::string theory_name(Theory theory) {
  return theory == Theory::wigner ? "wigner" : "wishart";
}

Theory parse_theory(const std::string& name) {
  if (name == "wigner") return Theory::wigner;
  if (name == "wishart") return Theory::wishart;
  throw InvalidArgument("theory", "wigner or wishart", name);
}

std::string estimator_name(NoiseEstimator estimator) {
  switch (estimator) {
    case NoiseEstimator::fit:
      return "fit";
    case NoiseEstimator::directional:
      return "directional";
    case NoiseEstimator::frobenius:
      break;
  }
  return "frobenius";
}

NoiseEstimator parse_estimator(const std::string& name) {
  for (const auto estimator :
       {NoiseEstimator::fit, NoiseEstimator::directional, NoiseEstimator::frobenius})
    if (name == estimator_name(estimator)) return estimator;
  throw InvalidArgument("noise", "fit, directional or frobenius", name);
}

double NoiseModel::bulk_scale() const {
  return c * lambda_1 / (lambda_1 * static_cast<double>(parameters) + c);
}

double NoiseModel::threshold_batch() const {
  if (theory == Theory::wigner) return critical_batch();
  const double sigma2 = bulk_scale();
  return static_cast<double>(parameters) * std::pow(sigma2 / (lambda_1 - sigma2), 2);
}

Outlier NoiseModel::top(double b) const {
  if (!positive_curvature()) return {.value = kNaN};
  if (theory == Theory::wigner) return wigner_top(lambda_1, std::sqrt(variance() / b));
  return wishart_top(lambda_1, bulk_scale(), static_cast<double>(parameters) / b);
}

Outlier NoiseModel::bottom(double b) const {
  if (!positive_curvature()) return {.value = kNaN};
  if (theory == Theory::wigner) return wigner_bottom(lambda_P, std::sqrt(variance() / b));
  return wishart_bottom(bulk_scale(), static_cast<double>(parameters) / b);
}

// With x = 1/b the model is e = c x without a constant: the normal equation is c = (x.e) / (x.x).
ExcessFit fit_excess(const std::vector<ExcessPoint>& points) {
  double xe = 0, xx = 0, sum = 0;
  int64_t n = 0;
  for (const auto& point : points) {
    if (std::isinf(point.b)) continue;
    check_positive("b", point.b);
    xe += point.excess / point.b;
    xx += 1 / (point.b * point.b);
    sum += point.excess;
    ++n;
  }
  if (n == 0)
    throw InvalidArgument("points", "at least one with a batch below the full data", "none");
  ExcessFit fit{.c = xe / xx};
  if (n == 1) return fit;
  double residual = 0, total = 0;
  for (const auto& point : points) {
    if (std::isinf(point.b)) continue;
    residual += std::pow(point.excess - fit.c / point.b, 2);
    total += std::pow(point.excess - sum / static_cast<double>(n), 2);
  }
  if (total > 0) fit.r2 = 1 - residual / total;
  return fit;
}

NoiseModel model_from_fit(Theory theory, double lambda_1, double lambda_P, int64_t parameters,
                          const ExcessFit& fit) {
  auto model = base_model(theory, NoiseEstimator::fit, lambda_1, lambda_P, parameters);
  // A negative c is noise about zero: batches see no more than the full data does.
  if (model.positive_curvature()) model.c = std::max(fit.c, 0.0);
  model.r2 = fit.r2;
  return model;
}

NoiseModel model_from_directional(Theory theory, double lambda_1, double lambda_P,
                                  int64_t parameters, double d_1) {
  check_non_negative("d_1", d_1);
  auto model = base_model(theory, NoiseEstimator::directional, lambda_1, lambda_P, parameters);
  if (model.positive_curvature()) model.c = d_1 / lambda_1;
  return model;
}

NoiseModel model_from_frobenius(Theory theory, double lambda_1, double lambda_P, int64_t parameters,
                                double v) {
  check_non_negative("v", v);
  auto model = base_model(theory, NoiseEstimator::frobenius, lambda_1, lambda_P, parameters);
  if (!model.positive_curvature()) return model;
  if (theory == Theory::wigner) {
    model.c = v / lambda_1;
  } else {  // v = P sigma^4; c = ell P sigma^2 / (ell - sigma^2)
    const auto P = static_cast<double>(parameters);
    const double sigma2 = std::min(std::sqrt(v / P), lambda_1 * P / (P + 1));
    model.c = lambda_1 * P * sigma2 / (lambda_1 - sigma2);
  }
  return model;
}

}  // namespace ritz::optim
