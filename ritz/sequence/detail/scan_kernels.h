#pragma once
// The raw loops behind ritz/sequence/scan.h and step.h.
#include <cstdint>

namespace ritz::sequence::detail {

/// A scan over rows of 2P numbers (planar), B sequences of L rows.
template <class Scalar>
struct ScanProblem {
  int64_t B = 0, L = 0, P = 0;
  const int64_t* lengths = nullptr;  // [B] or none
  bool reverse = false;
  const double *a_re = nullptr, *a_im = nullptr;  // [P]
  const Scalar* v = nullptr;                      // [B, L, 2P]
  const Scalar* initial = nullptr;                // [B, 2P] or none
  Scalar* x = nullptr;                            // [B, L, 2P]
};
template <class Scalar>
void scan_forward(const ScanProblem<Scalar>& problem, int64_t chunk);

/// Backward of `problem` (its v is not read, its x is): from g [B, L, 2P] the gradients dv, and
/// da_re, da_im [P] and d_initial [B, 2P] where wanted.
template <class Scalar>
void scan_backward(const ScanProblem<Scalar>& problem, int64_t chunk, const Scalar* g, Scalar* dv,
                   double* da_re, double* da_im, Scalar* d_initial);

/// H systems of N states each, one input and output: u, y [B, H, L]; a, b, c planar double [H, 2N].
template <class Scalar>
struct SisoProblem {
  int64_t B = 0, H = 0, L = 0, N = 0;
  const int64_t* lengths = nullptr;
  bool reverse = false;
  const double *a = nullptr, *b = nullptr, *c = nullptr;
  const Scalar* u = nullptr;
  Scalar* y = nullptr;
};
template <class Scalar>
void siso_forward(const SisoProblem<Scalar>& problem);
/// From g [B, H, L]: du, and da, db, dc planar [H, 2N].
template <class Scalar>
void siso_backward(const SisoProblem<Scalar>& problem, const Scalar* g, Scalar* du, double* da,
                   double* db, double* dc);

/// y = sum Re(c x'), x' = a x + b u, for H systems of N states (a multiple of 8): coefficients [H,
/// 6, N] as a, b, c, each real then imaginary; state [H, 2, N].
template <class Scalar>
void siso_step(int64_t H, int64_t N, const double* coefficients, const double* D, double* state,
               const Scalar* u, Scalar* y);

}  // namespace ritz::sequence::detail
