#pragma once
// The one door for hot dense products: libtorch's float32 `mm` runs at half the speed of the oneDNN
// inside the same libtorch on some processors. The door measures once per process and chooses.
#include "ritz/base/tensor.h"

namespace ritz {

/// a b for matrices [m, k] x [k, n] of one dtype and device; any strides. Equal to `a.mm(b)` to
/// rounding, never slower beyond noise. Not differentiable: for use inside hand-written derivatives.
Tensor gemm(const Tensor& a, const Tensor& b);

/// a b^T for [m, k] x [n, k]: the form in which oneDNN is fastest.
Tensor gemm_nt(const Tensor& a, const Tensor& b);

}  // namespace ritz
