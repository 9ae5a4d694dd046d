#pragma once
// min ||D x||_p subject to c^T x = 1, many c for one D: what sensitivities, regression and the
// verifier all reduce to. On raw pointers, in double, one problem a thread.
#include <cstdint>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/rows/lp_sensitivity/detail/kernels.h"

namespace ritz::rows::detail {

/// Which iteration serves an exponent: the interior point up to here, Newton's above. Measured: at
/// p = 1.35 both take about ten steps; below, Newton's weights |r|^(p-2) grow too uneven.
constexpr double kInteriorUpTo = 1.35;

struct LpSolverOptions {
  double tolerance = 1e-10;  // of value / lower - 1
  int64_t max_steps = 100;
};

struct LpOutcome {
  double value = 0;  // ||D x||_p
  double lower = 0;  // proven: no feasible x has a smaller norm
  int64_t steps = 0;
  bool converged = false;
  double gap() const { return lower > 0 ? value / lower - 1 : 1; }
};

class LpSolver {
 public:
  /// D [m, k] float64 on the CPU, of full column rank, well conditioned (best: orthonormal
  /// columns); `p` >= 1. Rows of zeros do no harm. Keeps a copy by columns: 8 m k bytes.
  LpSolver(const Tensor& D, double p, const LpSolverOptions& options);

  /// Memory of one thread: about 25 m + 2 k^2 doubles.
  class Workspace {
   public:
    explicit Workspace(const LpSolver& solver);

   private:
    friend class LpSolver;
    std::vector<double> rows_, small_;
    int64_t stride_, columns_;
    double* row(int64_t i) { return rows_.data() + i * stride_; }
    double* vector(int64_t i) { return small_.data() + i * columns_; }
    double* matrix(int64_t i) { return small_.data() + 12 * columns_ + i * columns_ * columns_; }
  };

  /// c and x [k]; c must not be zero. x gets the minimiser, c^T x = 1.
  LpOutcome solve(const double* c, double* x, Workspace& work) const;

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  double p() const { return p_; }

 private:
  LpOutcome newton(const double* c, double* x, Workspace& work) const;
  LpOutcome interior_point(const double* c, double* x, Workspace& work) const;
  LpOutcome single_column(const double* c, double* x, Workspace& work) const;
  double step_length(const double* r, const double* d, double scale, double slope) const;
  double norm(const double* r) const;

  int64_t rows_ = 0, columns_ = 0;
  double p_ = 1;
  LpSolverOptions options_;
  std::vector<double> data_;  // by columns, padded
  Columns D_;
  double smallest_ = 1;  // lower bound of ||D x||_2 / ||x||_2
};

}  // namespace ritz::rows::detail
