#pragma once
// Products that training differentiates, through the door of ritz/base/gemm.h, which libtorch's own
// layers do not take while a gradient is recorded.
//
//     #include "ritz/koopman/learned/products.h"
//     #include <torch/types.h>
//     int main() {
//       const auto a = torch::ones({2, 3}).requires_grad_(true), b = torch::ones({3, 4});
//       ritz::koopman::learned::product(a, b).sum().backward();
//       return a.grad()[0][0].item<float>() == 4 ? 0 : 1;
//     }
#include "ritz/base/tensor.h"

namespace ritz::koopman::learned {

/// a b for matrices [m, k] x [k, n] of any strides, differentiable.
Tensor product(const Tensor& a, const Tensor& b);

/// y = x W^T + b, then ReLU where asked, as one node of the graph: one pass less over the
/// activations. x [n, in], W [out, in], b [out].
Tensor dense(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu);

}  // namespace ritz::koopman::learned
