#pragma once
// The thin way to libtorch's tensor for public headers: 2 s to compile, where torch/types.h
// takes 9. at::Tensor is torch::Tensor. Sources include <torch/types.h> (precompiled) for the
// operations.
#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>

namespace ritz {

using Tensor = at::Tensor;
using TensorOptions = c10::TensorOptions;

}  // namespace ritz
