#pragma once
// Cholesky factors of many complex Hermitian matrices of one order, and solves with them, in place
// and without a copy. libtorch's factorisation copies and clears a matrix at each call and its
// triangular solve copies the factor, which together cost as much as the work itself.
//
// Storage: the lower triangle in panels of 12 rows. Panel b holds the columns 0 ... 12 b + 11, 12
// complex128 numbers each, so that every loop runs along memory. The order is padded to a multiple
// of 12 with ones on the diagonal.
#include <cstdint>

namespace ritz::koopman::detail {

inline constexpr int64_t kPanel = 12;

class PanelLayout {
 public:
  explicit PanelLayout(int64_t n) : n_(n), panels_((n + kPanel - 1) / kPanel) {}
  int64_t order() const { return n_; }
  int64_t panels() const { return panels_; }
  int64_t padded() const { return panels_ * kPanel; }
  /// Doubles of a matrix.
  int64_t size() const { return begin(panels_); }
  /// Where panel b begins, in doubles.
  static int64_t begin(int64_t b) { return kPanel * kPanel * b * (b + 1); }
  /// Where entry (i, k), k <= i, is: two doubles.
  static int64_t at(int64_t i, int64_t k) {
    return begin(i / kPanel) + 2 * (k * kPanel + i % kPanel);
  }

 private:
  int64_t n_, panels_;
};

/// `matrix`: complex128 interleaved, row after row, of which the lower triangle is taken; `pad`
/// goes on the diagonal beyond the order.
void to_panels(const PanelLayout& layout, const double* matrix, double pad, double* panels);

/// H <- L - x P + y Q + (x^2 + y^2) I, all in panels. Cost: 4 n^2 flops, 32 n^2 bytes.
void shifted_normal_matrix(const PanelLayout& layout, const double* L, const double* P,
                           const double* Q, double x, double y, double* H);

/// H <- its Cholesky factor, lower triangular with a real positive diagonal. False where a pivot is
/// not positive. Cost: 4 n^3 / 3 flops.
bool factor(const PanelLayout& layout, double* H);

/// x <- (C C^*)^{-1} x for such a factor; x: padded() complex numbers, zero beyond the order. Cost:
/// 16 n^2 flops, 16 n^2 bytes.
void solve(const PanelLayout& layout, const double* C, double* x);

/// sum conj(a_i) b_i over n complex numbers: real and imaginary part.
void dot(const double* a, const double* b, int64_t n, double* result);
/// y += (re + i im) x.
void axpy(double re, double im, const double* x, double* y, int64_t n);

}  // namespace ritz::koopman::detail
