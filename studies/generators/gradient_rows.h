#pragma once
// Gradients whose empirical Fisher matrix is known: what M-FAC is measured on.
//
//   const auto made = ritz::studies::gradient_rows({.rows = 16, .columns = 2000});
//   // G^T G / m has the eigenvalues made.eigenvalues and d - m zeros
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::studies {

struct GradientRowsOptions {
  int64_t rows = 64;        // m >= 1
  int64_t columns = 10000;  // d >= m
  double largest = 1;       // eigenvalues of G^T G / m: largest / k^decay for k = 1, ..., m
  double decay = 1;
  uint64_t seed = 0;
  TensorOptions tensor = {};  // float32 unless it says float64
};

struct GradientRows {
  Tensor rows;         // G [m, d] = sqrt(m) U diag(eigenvalues)^(1/2) Q^T
  Tensor directions;   // Q [d, m], orthonormal: eigenvectors
  Tensor eigenvalues;  // [m] float64, descending
};

/// U [m, m] and Q are Haar-distributed, so that every row is alike.
GradientRows gradient_rows(const GradientRowsOptions& options);

}  // namespace ritz::studies
