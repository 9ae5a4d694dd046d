#pragma once
// What streaming methods do with a batch of rows: norms, the product of the batch's Gram matrix
// with a thin block, and Oja's row loop. Rows are float32 or float64 [b, d] with contiguous rows,
// or compressed; every sum is taken in float64 in an order that depends on the row alone, so that
// neither the batch a row came in nor the number of threads changes a bit.
#include <cstdint>
#include <span>

#include "ritz/rows/sparse_rows.h"

namespace ritz::rows::detail {

/// norms[i] = ||a_i||^2 (Inf where it overflows). Any device.
void squared_norms(const Tensor& rows, std::span<double> norms);
void squared_norms(const SparseRows& rows, std::span<double> norms);

/// Y += sum_i weights[i] a_i (a_i^T Z) over the rows named by `which`; Z and Y are float64 [k, d],
/// contiguous, not the same. Empty weights: all 1.
///
/// Cost for m rows: 4 k d m flops; on the CPU rows are read twice, the second time from the cache
/// if the batch fits there, and Z and Y once a batch.
void add_gram_product(const Tensor& rows, std::span<const int64_t> which,
                      std::span<const double> weights, const Tensor& Z, const Tensor& Y);
void add_gram_product(const SparseRows& rows, std::span<const int64_t> which,
                      std::span<const double> weights, const Tensor& Z, const Tensor& Y);
/// The same by tensor operations: the way of other devices, and the kernel's twin in tests.
void add_gram_product_reference(const Tensor& rows, std::span<const int64_t> which,
                                std::span<const double> weights, const Tensor& Z, const Tensor& Y);

/// C <- A Z^T for rows A [b, d] and Z [k, d]; C [b, k], Z float64, contiguous. 2 b k d flops.
void row_products(const Tensor& rows, const Tensor& Z, const Tensor& C);
/// Y += C^T A; C [b, k] and Y [k, d] float64, contiguous. 2 b k d flops.
void add_combinations(const Tensor& rows, const Tensor& C, const Tensor& Y);

/// Oja's rule row after row: y[i] = <a_i, v>, v += eta[i] y[i] a_i; `norm2`, ||v||^2, is carried
/// along: (2 eta + eta^2 ||a_i||^2) y[i]^2 more. v is float64 [d], contiguous, on the CPU. y[i]
/// comes divided by ||v|| as it was before the row. v is scaled down where it grows large; returned
/// is the logarithm of ||v_after|| / ||v_before|| without that scaling.
/// Cost a row: 4 d flops, the row once, v twice (from the cache).
double oja_rows(const Tensor& rows, std::span<const double> norms, std::span<const double> eta,
                const Tensor& v, std::span<double> y);
double oja_rows(const SparseRows& rows, std::span<const double> norms, std::span<const double> eta,
                const Tensor& v, std::span<double> y);

}  // namespace ritz::rows::detail
