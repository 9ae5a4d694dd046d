#pragma once
// The scores that rows are sampled by, under one roof, and the oversampling scale that each needs.
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "ritz/rows/lp_sensitivity/sensitivity.h"

namespace ritz::rows {

/// Rules of the sheet, section 2.4.
enum class ScoreKind {
  root_leverage,         // R3  tau^(p/2): l_2 computations alone, p < 2; repeat on the sample
  sensitivity,           // R1, R2  sigma
  lewis,                 // R6  w, for p > 2 d^(p/2-1) w
  leverage,              // R7  tau, for comparison
  augmented,             // R5  sigma + tau (Munteanu & Omlor 2024)
  leverage_sensitivity,  // R4  sigma / sigma* + (tau / tau*)^(p/2), p > 2; repeat on the sample
  row_norm,              // |a_i|^2, for comparison; depends on the columns' scales
  uniform,               // 1, for comparison
};
/// "root-leverage", "sensitivity", "lewis", "leverage", "augmented", "leverage-sensitivity",
/// "row-norm", "uniform"; InvalidArgument for other words.
ScoreKind parse_score(std::string_view name);
std::string_view score_name(ScoreKind kind);

/// How large the sample shall be; exactly one of `rows`, `eps` and `alpha` is positive.
struct SampleSize {
  double rows = 0;        // expected number of rows
  double eps = 0;         // distortion aimed at, in (0, 1)
  double alpha = 0;       // the scale itself: q = score / alpha
  double delta = 0.1;     // failure probability in the default of log_factor
  double log_factor = 0;  // C_log; 0: max(1, ln d + ln(1 / delta))
};

struct RowScores {
  Tensor score;  // [n] float64: only ratios matter where the size is fixed
  ScoreKind kind = ScoreKind::uniform;
  int64_t rank = 0;
  double alpha = 0;  // scale for `size.eps` (or as given); 0 where the size is fixed
  double open_alpha =
      0;  // R3, R4: the scale whose fixed point under repetition has the size asked for
  Sensitivities sensitivities;  // sigma undefined where the rule needs none
};

/// The scores of A's rows. `options.p` is the norm's.
///
///     alpha(eps), C = log_factor, d = rank (paper; R1's second and R6 Chen & Derezinski):
///     sensitivity  p < 2  max(eps^2 S^(1-2/p), eps^2 d^(p/2-1)) / C      p > 2  eps^2 S^(2/p-1) /
///     C root_leverage       eps^p / C^(p/2)                      augmented, lewis, leverage  eps^2
///     / C leverage_sensitivity: the score is q itself, with m = C eps^-2 d^(2/p) S^(2-4/p)
///     row_norm, uniform: scaled to sum d, then eps^2 / C; nothing is promised
RowScores row_scores(const RowBasis& basis, ScoreKind kind, const SampleSize& size,
                     const SensitivityOptions& options);

}  // namespace ritz::rows
