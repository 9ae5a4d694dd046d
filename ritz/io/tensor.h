#pragma once
// From arrays in files to tensors and back: the one place where ritz/io and libtorch meet.
#include "ritz/base/tensor.h"
#include "ritz/io/array.h"

namespace ritz::io {

/// A tensor over the array's bytes, without a copy where its dtype exists in libtorch; unsigned 16,
/// 32 and 64 bit integers become int64 (DataError where a value does not fit). A tensor over a
/// mapped file must not be written.
Tensor to_tensor(const Array& array);
/// An array over the tensor's bytes (contiguous, on the CPU; copied where it is not).
Array to_array(std::string name, const Tensor& tensor);

}  // namespace ritz::io
