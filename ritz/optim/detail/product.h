#pragma once
// Products with factors that may be stored in a lower precision, by one multiplier for all products
// of a shape: ritz::gemm measures which is faster and may decide otherwise in another process, and
// a resumed run must end in the same bits.
#include "ritz/base/tensor.h"

namespace ritz::optim::detail {

/// a b for matrices of one dtype.
Tensor product(const Tensor& a, const Tensor& b);
/// M x for M [m, d] of x's dtype or a lower one, x [d, n]; in x's dtype.
Tensor factor_times(const Tensor& M, const Tensor& x);
/// x M^T for x [n, d], M [m, d] of x's dtype or a lower one; in x's dtype.
Tensor times_factor(const Tensor& x, const Tensor& M);

}  // namespace ritz::optim::detail
