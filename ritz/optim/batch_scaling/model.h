#pragma once
// How noisy the curvature of a batch is: one number c, three ways to come by it, and the model that
// the rules stand on.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ritz/optim/batch_scaling/theory.h"

namespace ritz::optim {

enum class Theory {
  wigner,  // Theorem H, for Hessians
  wishart  // Theorem G, for Gauss-Newton and Fisher matrices
};
enum class NoiseEstimator {
  fit,          // lambda_1' measured at a few batch sizes; right on networks, also far from them
  directional,  // per-sample curvature noise along v_1: within a factor ~2 on networks
  frobenius     // noise averaged over all directions: for matrices whose entries are alike. On
                // networks it underestimates the excess by two orders of magnitude
};
/// "wigner", "wishart"; "fit", "directional", "frobenius". Parsing throws InvalidArgument.
std::string theory_name(Theory theory);
Theory parse_theory(const std::string& name);
std::string estimator_name(NoiseEstimator estimator);
NoiseEstimator parse_estimator(const std::string& name);

/// What the extremes of a batch are predicted from. With c, the excess of a surviving spike is
///   lambda_1'(b) - lambda_1 = c / b,
/// so Theorem H has P sigma^2 = c lambda_1 and Theorem G sigma^2 = c ell / (ell P + c).
struct NoiseModel {
  Theory theory = Theory::wigner;
  NoiseEstimator estimator = NoiseEstimator::fit;
  double lambda_1 = 0, lambda_P = 0;  // of the full data
  int64_t parameters = 0;             // P
  double c = 0;                       // NaN without positive curvature
  std::optional<double> r2 = {};  // of the fit; none for other estimators and for a single point

  /// Without lambda_1 > 0 (a saddle's top, a maximum) there is no largest learning rate.
  bool positive_curvature() const { return lambda_1 > 0; }
  /// P sigma^2 of Theorem H.
  double variance() const { return c * lambda_1; }
  /// sigma^2 of Theorem G.
  double bulk_scale() const;
  /// b_crit = c / lambda_1 = P sigma^2 / lambda_1^2: above it a larger batch gains less and less.
  double critical_batch() const { return c / lambda_1; }
  /// The effective batch below which the spike is swallowed by the bulk: c / lambda_1 for Theorem H
  /// (there s = lambda_1), P sigma^4 / (ell - sigma^2)^2 for Theorem G.
  double threshold_batch() const;
  /// The predicted extremes at effective batch b (infinite: the full data's).
  Outlier top(double b) const;
  Outlier bottom(double b) const;
};

/// The mean excess of the top eigenvalue at one batch size.
struct ExcessPoint {
  double b = 0;
  double excess = 0;
};
struct ExcessFit {
  double c = 0;
  std::optional<double> r2 = {};  // 1 - SS_residual / SS_total about the mean; none for one point
};
/// Least squares for excess = c / b: c = sum(e / b) / sum(1 / b^2). Points with infinite b say
/// nothing and are left out; throws InvalidArgument where none is left.
ExcessFit fit_excess(const std::vector<ExcessPoint>& points);

/// Models from each estimator's number: c itself, d_1 = c lambda_1, or the mean squared noise
/// v = E ||(H_i - H) z||^2 along a random unit vector, which is P sigma^2 (wigner) or P sigma^4
/// (wishart) (derived).
NoiseModel model_from_fit(Theory theory, double lambda_1, double lambda_P, int64_t parameters,
                          const ExcessFit& fit);
NoiseModel model_from_directional(Theory theory, double lambda_1, double lambda_P,
                                  int64_t parameters, double d_1);
NoiseModel model_from_frobenius(Theory theory, double lambda_1, double lambda_P, int64_t parameters,
                                double v);

}  // namespace ritz::optim
