#pragma once
// l_p sensitivities: how much of ||A x||_p^p one row can be.
//
//     sigma_i = sup_x |a_i x|^p / ||A x||_p^p = 1 / min { ||A x||_p^p : a_i x = 1 }  in [0, 1]
//
// S = sum sigma_i lies between d and d^(p/2) (F1). Woodruff & Yasuda, "Sharper Bounds for l_p
// Sensitivity Sampling", ICML 2023; approximations by Padmanabhan, Woodruff & Zhang, NeurIPS 2023.
//
//   const auto s = ritz::rows::lp_sensitivities(A, {.p = 1});       // A [n, d]
//   // s.sigma [n]; s.total +- s.total_se; s.largest; s.gap: proven relative error of the norms
#include <cstdint>
#include <functional>

#include "ritz/rows/lp_sensitivity/row_basis.h"

namespace ritz::rows {

enum class SensitivityMethod {
  automatic,    // exact up to 5000 rows, approximate above
  exact,        // one minimisation over all of A for each row
  approximate,  // one minimisation a row over a Lewis sample of A: factor (1 + eps)/(1 - eps)
  bucketed,     // one a bucket of rows, combined with random signs: factor O(bucket), sheet 2.2 d
  lewis_bound,  // upper bounds out of Lewis weights (F2), no minimisation
  leverage_bound,  // upper bounds out of leverage scores (F3), no minimisation
};

struct SensitivityOptions {
  double p = 1;  // >= 1
  SensitivityMethod method = SensitivityMethod::automatic;
  int64_t sample_rows = 0;   // of the Lewis sample; 0: default_sample_rows
  int64_t bucket = 8;        // rows a bucket
  double tolerance = 1e-10;  // of each minimum's relative duality gap
  int64_t max_steps = 100;
  uint64_t seed = 0;
  bool witnesses = false;  // return the directions too
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct Sensitivities {
  Tensor sigma;         // [n] float64 on A's device, in [0, 1]; 0 for rows of zeros
  Tensor witnesses;     // [n, d] where asked for: |a_i x_i|^p / ||A x_i||_p^p = sigma_i (exact)
  double total = 0;     // S
  double total_se = 0;  // 0: computed row by row
  double largest = 0;   // max sigma_i
  int64_t rank = 0;
  double gap = 0;  // worst relative duality gap of a minimum; NaN where none was solved
  int64_t solves = 0;
  int64_t unconverged = 0;  // minima whose gap stayed above the tolerance
  int64_t outside = 0;      // rows that the Lewis sample's row space does not hold: sigma = 1
  int64_t sample_rows = 0;  // of the matrix that was minimised over; 0: none
  SensitivityMethod method = SensitivityMethod::exact;  // what was done
};

/// All sensitivities. A solve takes 5-15 steps of m r (r + 13) flops, m = n (exact) or the sample's
/// rows; rows are shared out over the threads. p = 2: the leverage scores, exactly.
Sensitivities lp_sensitivities(const Tensor& A, const SensitivityOptions& options = {});
Sensitivities lp_sensitivities(const RowBasis& basis, const SensitivityOptions& options = {});

/// Those of rows `index` [k] alone; `total` and `largest` are over these.
Sensitivities lp_sensitivities_of(const RowBasis& basis, const Tensor& index,
                                  const SensitivityOptions& options = {});

struct TotalSensitivity {
  double value = 0;
  double standard_error = 0;
  int64_t samples = 0;
  double gap = 0;  // worst relative duality gap
};
/// S from K rows drawn with probability pi_i proportional to their Lewis weights: the mean of
/// sigma_i / pi_i, unbiased for the sensitivities it takes. K = 0: max(64, 8 sqrt d).
TotalSensitivity total_sensitivity(const RowBasis& basis, const Tensor& lewis,
                                   const SensitivityOptions& options = {}, int64_t samples = 0);

struct MaximumSensitivity {
  double lower = 0;  // a row's sensitivity
  double upper = 0;  // no row's is larger; equal to `lower` where the search was completed
  int64_t row = 0;
  int64_t solves = 0;
  double gap = 0;  // worst relative duality gap
};
/// Rows are solved in the order of their upper bound (F2) until the next bound is below the largest
/// value found: usually a handful; at most `limit`.
MaximumSensitivity maximum_sensitivity(const RowBasis& basis, const Tensor& lewis,
                                       const SensitivityOptions& options = {}, int64_t limit = 256);

/// Rows of A kept by Lewis sampling for approximate sensitivities, 20 d max(1, d^(p/2-1)) ln d and
/// at least 1000: at d = 5 the sheet's formula alone, 161 rows, was seen to miss S by a quarter.
int64_t default_sample_rows(int64_t d, double p);

}  // namespace ritz::rows
