#pragma once
// Solves with the small matrix of a sliding window's inverse Fisher matrix.
//
//   F = lambda I + (1/m) G^T G,  K = G G^T:   F^-1 x = x / lambda - G^T e,
//   e = (K + m lambda I)^-1 (G x) / lambda                                    (Woodbury)
//
// after each replacement of a row of G. All in float64 on the CPU: m is small beside d.
#include <cstdint>
#include <string>
#include <vector>

#include "ritz/nn/network.h"

namespace ritz::optim {

enum class WindowMode {
  cholesky,  // factor of K + m lambda I, eliminated again from the replaced row on: O(m^3/3) at
             // most
  paper,     // M-FAC's own D and B by elimination without pivots: O(m^3)
  updown     // the oldest row leaves by a rank-one update, the new one enters at the end: O(m^2);
             // factorised anew every m replacements against drift
};
/// "chol", "paper", "updown"; InvalidArgument otherwise.
WindowMode parse_window_mode(const std::string& name);

class WindowFactor {
 public:
  /// For K = 0.
  WindowFactor(int64_t m, double damping, WindowMode mode);

  /// Row and column `row` of K [m, m] float64 were replaced since the last call. Throws
  /// NotConverged where K + m lambda I is not positive definite by rounding.
  void replaced(const Tensor& K, int64_t row);
  /// e [m] from G x [m].
  Tensor coefficients(const Tensor& Gx) const;

  /// What the next call depends on beside K.
  std::vector<nn::NamedTensor> state() { return {{"factor", factor_}, {"order", order_}}; }

  /// Mode paper: D_ij = g_i^T F_{i-1}^-1 g_j (i <= j, upper) and B (lower; F_{i-1}^-1 g_i =
  /// sum_k B_ik g_k).
  const Tensor& D() const { return factor_; }
  const Tensor& B() const { return B_; }

 private:
  void factorise(const Tensor& K);
  void eliminate(const Tensor& K);
  void restart(const Tensor& K, int64_t row);
  void slide(const Tensor& K, int64_t row);

  int64_t m_;
  double damping_;
  WindowMode mode_;
  Tensor factor_;  // [m, m]: C (lower, K + m lambda I = C C^T), D (upper), or U (upper, U^T U in
                   // logical order)
  Tensor order_;   // int64 [m + 1], updown: physical rows in logical order, then replacements since
                   // the last factorisation
  Tensor B_;
};

}  // namespace ritz::optim
