#pragma once
// One inverse Kronecker factor M ~ (E[v v^T])^-1 and its renewal in O(d^2): MKOR's core.
#include <string>

#include "ritz/base/tensor.h"

namespace ritz::optim {

/// How a vector v renews M; the sources disagree. s = v^T u, gamma in (0, 1).
enum class MkorForm {
  /// N = gamma M + (1 - gamma) I, u = N v:  M <- N - u u^T / (1 + s) = (N^-1 + v v^T)^-1  (code).
  /// Starting at I, 0 < M <= I for ever: N <= I, and a positive rank-1 term makes it smaller.
  reference,
  /// u = M v:  M <- (M - (1 - gamma) / (gamma + (1 - gamma) s) u u^T) / gamma
  ///             = (gamma M^-1 + (1 - gamma) v v^T)^-1  (derived): the inverse of K-FAC's average.
  /// Grows like gamma^-t where no signal comes, until the stabiliser acts.
  ema,
  /// u = M v:  M <- gamma M + (1 - gamma) / (gamma^2 (1 + gamma (1 - gamma) s)) u u^T  (paper, as
  /// printed): it amplifies v instead of damping it, and trains worse than its backend alone.
  paper
};
/// "reference", "ema", "paper".
MkorForm parse_mkor_form(const std::string& name);

/// What of M is compared with eps.
enum class FactorNorm {
  entry,   // the largest |M_ij| (code)
  row_sum  // the infinity norm (paper)
};

struct RenewalOptions {
  MkorForm form = MkorForm::reference;
  double gamma = 0.95;  // (0, 1)
  double eps = 2;       // stabiliser: where |M| > eps, M <- zeta M + (1 - zeta) I first
  double zeta = 0.9;    // [0, 1]
  FactorNorm norm = FactorNorm::entry;
};
void check_renewal_options(const RenewalOptions& options);

struct Renewal {
  bool stabilised = false;
  bool reset = false;  // M left the finite numbers of its format, or lost its definiteness: M = I
};

/// Renews M [d, d] in place by the rows of V [r, d]: the first as its form says, each further one
/// without another decay (reference, ema: (M^-1 + c v v^T)^-1 with c = 1, 1 - gamma). For r = 1 on
/// the CPU two passes, three times the bytes of M; 4 d^2 flops. M is float32 or float64, or float16
/// or bfloat16, which are computed with in float32 and rounded once.
///
///     ritz::Tensor M = at::eye(d), v = ...;          // [d]
///     ritz::optim::renew_factor(M, v.unsqueeze(0));  // M <- (0.95 M + 0.05 I)^-1 + v v^T,
///     inverted
Renewal renew_factor(const Tensor& M, const Tensor& V, const RenewalOptions& options = {});

}  // namespace ritz::optim
