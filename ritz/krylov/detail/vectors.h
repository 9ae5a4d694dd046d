#pragma once
// Small helpers that the Krylov methods share.
#include <string_view>
#include <vector>

#include "ritz/krylov/lanczos.h"

namespace ritz::detail {

/// Throws InvalidArgument where op is not square, empty, or of a dtype other than float or complex.
void check_square(std::string_view name, const LinearOperator& op);

/// Machine epsilon of the real numbers of a dtype.
double epsilon(const TensorOptions& options);

/// out [P] <- random numbers of (seed, stream), standard normal (complex: both parts) or +-1.
void fill_start(const Tensor& out, uint64_t seed, uint64_t stream, StartVector start);

/// v <- v / |v|, |v| in double; throws InvalidArgument naming `name` where |v| is 0 or not finite.
void normalise(std::string_view name, const Tensor& v);

/// S Q for S [k, m] float64 (complex128) and rows Q [m, P] of any storage, in `options`' dtype:
/// column slab by slab, so that beside the result [k, P] nothing large is held.
Tensor combine_rows(const Tensor& S, const Tensor& Q, const TensorOptions& options);

/// The first k rows of Q [m, P] <- S Q, S [k, m], k <= m, in place.
void combine_rows_in_place(const Tensor& S, const Tensor& Q);

/// |A v_i - theta_i v_i| of each row, with one product.
std::vector<double> true_residuals(const LinearOperator& op, const Tensor& values,
                                   const Tensor& vectors);

/// bound <= tolerance max(|theta|, eps^(2/3) scale): ARPACK's test.
bool pair_converged(double bound, double theta, double tolerance, double eps, double scale);

}  // namespace ritz::detail
