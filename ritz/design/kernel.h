#pragma once
// The diagonal k_H(x, x) of a reproducing kernel. A design with points from h mu, h = k_H(x, x) /
// int k_H dmu, bounds weighted least squares in H's norm.
//
//   uniform              h = 1: the sup norm
//   gaussian, laplacian  of any width: their diagonal is 1, so h = 1
//   brownian             prod_j (1 + t_j), t_j in [0, 1] the place in coordinate j's interval
//   polynomial:P         (1 + |x|^2)^P
//
// The last two for bounded coordinates (legendre, jacobi, trigonometric).
#include <functional>
#include <string>
#include <string_view>

#include "ritz/design/space.h"

namespace ritz::design {

struct KernelDiagonal {
  std::string name = "uniform";
  std::function<double(const double* x)> value = {};  // k_H(x, x); empty: 1
  double integral = 1;                                // over mu: C_H^2
  double supremum = 1;                                // for rejection

  double h(const double* x) const { return value ? value(x) / integral : 1; }
};

/// By name; InvalidArgument for other words, Unsupported where the kernel does not fit the space.
KernelDiagonal kernel_diagonal(std::string_view name, const Space& space);

}  // namespace ritz::design
