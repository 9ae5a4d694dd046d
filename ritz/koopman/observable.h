#pragma once
// An observable g, known by its values at the snapshots, in a dictionary's orthonormal basis.
//
//     #include "ritz/koopman/observable.h"
//     #include <torch/types.h>
//     int main() {
//       const auto t = torch::arange(50., torch::kFloat64);
//       const auto s = ritz::koopman::trajectories(torch::stack({t.cos(), t.sin()}, 1));
//       const auto dictionary = ritz::koopman::linear_dictionary(2);
//       const auto reduction = ritz::koopman::reduce(*dictionary, s);
//       const auto g = ritz::koopman::project(*dictionary, s, reduction, s.x().sum(1));
//       return std::abs(g.captured() - 1) < 1e-12 ? 0 : 1;
//     }
#include "ritz/koopman/reduction.h"

namespace ritz::koopman {

struct Observable {
  Tensor coordinates;  // [n]: Q^* sqrt(W) g
  double energy = 0;   // ||g||^2 = sum_m w_m |g(x_m)|^2

  /// The part of ||g||^2 inside the dictionary's span. What is outside no matrix of it shows.
  double captured() const;
};

/// `values` [M]: g at the pairs' x, real or complex. By Q = sqrt(W) PX R^{-1}: relative error
/// cond(R) eps. InvalidArgument where g is zero on the data.
Observable project(const Dictionary& dictionary, const Snapshots& snapshots,
                   const Reduction& reduction, const Tensor& values);

}  // namespace ritz::koopman
