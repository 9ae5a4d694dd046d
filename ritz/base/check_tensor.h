#pragma once
// Checks of tensors; each throws InvalidArgument naming the argument, what was expected and its
// value.
#include <string>
#include <string_view>

#include "ritz/base/check.h"
#include "ritz/base/tensor.h"

namespace ritz {

/// "float32 [3, 4] on cpu": dtype, shape and device, as error messages show them.
std::string describe(const Tensor& tensor);
/// "float32", "bfloat16", "int64", ...: numpy's names.
std::string dtype_name(c10::ScalarType type);

/// The tensor must be defined and have `dim` dimensions.
void check_dim(std::string_view name, const Tensor& tensor, int64_t dim);
/// Its shape must be `shape`; -1 stands for any size.
void check_shape(std::string_view name, const Tensor& tensor, at::IntArrayRef shape);
/// dtype must be float32 or float64 (complex64 and complex128 too where `complex`).
void check_floating(std::string_view name, const Tensor& tensor, bool complex = false);
/// dtype and device must be those of `options`.
void check_options(std::string_view name, const Tensor& tensor, const TensorOptions& options);
/// No NaN and no Inf; the message names the first index that has one. Synchronises with the device.
void check_finite(std::string_view name, const Tensor& tensor);

}  // namespace ritz
