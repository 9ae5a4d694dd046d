#pragma once
// The columns of a block [n, k] as the iterative solvers see them: each has its own scalars, in
// double on the host, and rests once it is done.
#include <cstdint>
#include <string_view>
#include <vector>

#include "ritz/krylov/solve.h"

namespace ritz::detail {

using Scalars = std::vector<double>;

/// Re(x_j^H y_j) of each column of [n, k], accumulated in double. One synchronisation.
Scalars column_dots(const Tensor& x, const Tensor& y);
/// |x_j|
Scalars column_norms(const Tensor& x);
/// x_j <- x_j + a_j y_j
void add_columns(const Tensor& x, const Scalars& a, const Tensor& y);
/// x_j <- a_j x_j
void scale_columns(const Tensor& x, const Scalars& a);

/// b as a block [n, k], contiguous; checks shape, dtype and device, and that it is finite.
Tensor block_of(std::string_view name, const Tensor& b, int64_t n, const TensorOptions& options);
/// x in the shape of b.
Tensor shape_like(const Tensor& x, const Tensor& b);

/// Checks a SolveOptions; `n` is the operator's order.
void check_solve(const LinearOperator& A, const SolveOptions& options);
/// Sums up: converged where every column is; throws NotConverged where that is required.
void conclude(std::string_view solver, SolveResult& result, bool require_converged);

}  // namespace ritz::detail
