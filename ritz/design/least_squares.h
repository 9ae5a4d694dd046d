#pragma once
// The fit: c = argmin (1/n) sum_i w_i (f(x_i) - phi(x_i)^T c)^2, with what can be said about its
// error from the same values.
#include <functional>
#include <optional>

#include "ritz/design/design.h"

namespace ritz::design {

struct Fit {
  Tensor coefficients;  // [m], or [m, q] for q outputs
  Tensor leverages;     // [n]: h_i, the diagonal of the projection onto B's columns
  /// Leave-one-out estimate of ||f - f^||: sqrt(sum_i (r_i / (1 - h_i))^2), r_i = sqrt(w_i / n)
  /// (f(x_i) - f^(x_i)). None at n = m, or where some h_i is 1.
  std::optional<double> loo_error;
  double residual = 0;   // sqrt(sum r_i^2)
  double condition = 0;  // of G
};

/// By a QR factorisation of B = diag(sqrt(w / n)) Phi [n, m], never by normal equations: 2 n m^2
/// flops. `values` [n] or [n, q]; computed in double, given back in the values' dtype. DataError
/// where values are not finite (it names the points) or B has rank below m.
Fit fit_least_squares(const Space& space, const Tensor& points, const Tensor& weights,
                      const Tensor& values);
/// sum_j c_j phi_j at points [N, d] -> [N] or [N, q].
Tensor evaluate_fit(const Space& space, const Tensor& coefficients, const Tensor& points);

/// Points [n, d] -> values [n] or [n, q].
using Function = std::function<Tensor(const Tensor& points)>;

struct Approximation {
  Design design;
  Tensor values;
  Fit fit;
};
/// Design, evaluation (one call, all points) and fit.
Approximation approximate(const Space& space, const Function& f, const DesignOptions& options = {});

}  // namespace ritz::design
