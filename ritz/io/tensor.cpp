#include "ritz/io/tensor.h"

#include <torch/types.h>

#include <limits>

#include "ritz/base/check_tensor.h"
#include "ritz/base/error.h"

namespace ritz::io {
namespace {

c10::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return torch::kBool;
    case DType::int8:
      return torch::kInt8;
    case DType::int16:
      return torch::kInt16;
    case DType::int32:
      return torch::kInt32;
    case DType::uint8:
      return torch::kUInt8;
    case DType::float16:
      return torch::kFloat16;
    case DType::bfloat16:
      return torch::kBFloat16;
    case DType::float32:
      return torch::kFloat32;
    case DType::float64:
      return torch::kFloat64;
    case DType::complex64:
      return torch::kComplexFloat;
    case DType::complex128:
      return torch::kComplexDouble;
    case DType::int64:
    case DType::uint16:
    case DType::uint32:
    case DType::uint64:
      break;
  }
  return torch::kInt64;
}

DType dtype_of(const Tensor& tensor, const std::string& name) {
  switch (tensor.scalar_type()) {
    case torch::kBool:
      return DType::boolean;
    case torch::kInt8:
      return DType::int8;
    case torch::kInt16:
      return DType::int16;
    case torch::kInt32:
      return DType::int32;
    case torch::kInt64:
      return DType::int64;
    case torch::kUInt8:
      return DType::uint8;
    case torch::kUInt16:
      return DType::uint16;
    case torch::kUInt32:
      return DType::uint32;
    case torch::kUInt64:
      return DType::uint64;
    case torch::kFloat16:
      return DType::float16;
    case torch::kBFloat16:
      return DType::bfloat16;
    case torch::kFloat32:
      return DType::float32;
    case torch::kFloat64:
      return DType::float64;
    case torch::kComplexFloat:
      return DType::complex64;
    case torch::kComplexDouble:
      return DType::complex128;
    default:
      throw Unsupported(
          format_error(name, "a dtype that files hold", dtype_name(tensor.scalar_type())));
  }
}

/// libtorch computes with no unsigned type beyond uint8.
template <class T>
Tensor widened(const Array& array) {
  Tensor out = torch::empty(array.shape, torch::kInt64);
  const T* from = reinterpret_cast<const T*>(array.data);
  int64_t* to = out.mutable_data_ptr<int64_t>();
  for (int64_t i = 0, n = array.count(); i < n; ++i) {
    if constexpr (sizeof(T) == 8) {
      if (from[i] > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw DataError(array.name.empty() ? "array" : array.name, "values below 2^63",
                        std::to_string(from[i]));
      }
    }
    to[i] = static_cast<int64_t>(from[i]);
  }
  return out;
}

}  // namespace

Tensor to_tensor(const Array& array) {
  if (array.dtype == DType::uint16) return widened<uint16_t>(array);
  if (array.dtype == DType::uint32) return widened<uint32_t>(array);
  if (array.dtype == DType::uint64) return widened<uint64_t>(array);
  const auto options = torch::TensorOptions().dtype(scalar_type(array.dtype));
  if (array.count() == 0) return torch::empty(array.shape, options);
  return torch::from_blob(
      const_cast<std::byte*>(array.data), array.shape, [owner = array.owner](void*) {}, options);
}

Array to_array(std::string name, const Tensor& tensor) {
  if (!tensor.defined()) throw InvalidArgument(name, "a tensor", "an undefined one");
  auto kept = std::make_shared<Tensor>(
      tensor.detach().to(torch::kCPU).resolve_conj().resolve_neg().contiguous());
  const DType dtype = dtype_of(*kept, name);
  const auto* data = static_cast<const std::byte*>(kept->const_data_ptr());
  return {std::move(name), kept->sizes().vec(), dtype, data, std::move(kept)};
}

}  // namespace ritz::io
