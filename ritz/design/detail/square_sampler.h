#pragma once
// Exact draws from phi_k^2 dmu of one variable, k = 0 ... count - 1: the pieces of which every
// Christoffel density k_m / m of a product space is made.
//
// In the variable t of Liouville's normal form (x = cos t, x = t, x = t^2) the function u = phi_k
// sqrt(dmu / dt) solves u'' = -Q u with an explicit Q (Szego, Orthogonal Polynomials, 4.24.2 and
// 5.1.2, 5.5.2), and u^2 dt is the measure wanted. On a cell of width h linear interpolation errs
// by at most h^2 / 8 sup|Q| sup|u|, so
//
//   sup |u| <= max(|u(left)|, |u(right)|) / (1 - h^2 sup|Q| / 8)                        (derived)
//
// bounds u^2 by a constant, without any doubt. Where Q is singular (the ends of jacobi and
// laguerre) the cells lie before the first zero, and |phi_k| is at most its value at the end. A
// draw takes a cell in proportion to its bound, a point in it, and rejects: about 3 of 4 stay.
#include <cstdint>
#include <vector>

#include "ritz/design/detail/variates.h"
#include "ritz/design/family.h"

namespace ritz::design::detail {

class SquareSampler {
 public:
  SquareSampler(const Family& family, int64_t count);

  /// x ~ phi_k^2 dmu. Cost: 4 / 3 evaluations of the recurrence, 5 k flops each. `work` [count].
  double draw(int64_t k, Variates& variates, double* work) const;

  const FamilyFunctions& functions() const { return functions_; }

  // For tests: u_k(t)^2 and the bound on it; t in [start, end).
  double squared(int64_t k, double t, double* work) const;
  double bound(int64_t k, double t) const;
  double start() const { return start_; }
  double end() const { return start_ + width_ * static_cast<double>(cells_); }

 private:
  double point(double t) const;                                         // x
  double weight(double t) const;                                        // dmu / dt up to a factor
  double largest_potential(double k, double left, double right) const;  // sup |Q|
  double largest_weight(double left, double right) const;               // near a singular end

  FamilyFunctions functions_;
  double start_ = 0, width_ = 0;
  int64_t cells_ = 0;
  std::vector<double> mass_;  // [count, cells + 1]: bounds added up
};

}  // namespace ritz::design::detail
