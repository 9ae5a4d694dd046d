#pragma once
// Spectra with error bars are computed in float64, whatever the data are stored as.
#include <torch/types.h>

namespace ritz::koopman::detail {

/// float64 for real numbers, complex128 for complex ones.
inline Tensor float64(const Tensor& x) {
  return x.to(x.is_complex() ? torch::kComplexDouble : torch::kFloat64);
}
inline Tensor complex128(const Tensor& x) {
  return x.to(torch::kComplexDouble);
}

}  // namespace ritz::koopman::detail
