#include "ritz/base/check_tensor.h"

#include <torch/types.h>

#include <sstream>

namespace ritz {
namespace {

std::string shape_text(at::IntArrayRef shape) {
  std::ostringstream out;
  out << '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) out << ", ";
    if (shape[i] < 0) {
      out << "any";
    } else {
      out << shape[i];
    }
  }
  out << ']';
  return out.str();
}

}  // namespace

std::string dtype_name(c10::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kShort:
      return "int16";
    case at::kChar:
      return "int8";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    case at::kComplexFloat:
      return "complex64";
    case at::kComplexDouble:
      return "complex128";
    default:
      return c10::toString(type);
  }
}

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  return dtype_name(tensor.scalar_type()) + ' ' + shape_text(tensor.sizes()) + " on " +
         tensor.device().str();
}

void check_dim(std::string_view name, const Tensor& tensor, int64_t dim) {
  if (!tensor.defined() || tensor.dim() != dim) {
    throw InvalidArgument(name, "a tensor of " + std::to_string(dim) + " dimensions",
                          describe(tensor));
  }
}

void check_shape(std::string_view name, const Tensor& tensor, at::IntArrayRef shape) {
  bool same = tensor.defined() && tensor.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; same && i < shape.size(); ++i) {
    same = shape[i] < 0 || tensor.size(static_cast<int64_t>(i)) == shape[i];
  }
  if (!same) throw InvalidArgument(name, "shape " + shape_text(shape), describe(tensor));
}

void check_floating(std::string_view name, const Tensor& tensor, bool complex) {
  if (tensor.defined()) {
    const auto type = tensor.scalar_type();
    if (type == at::kFloat || type == at::kDouble) return;
    if (complex && (type == at::kComplexFloat || type == at::kComplexDouble)) return;
  }
  throw InvalidArgument(
      name,
      complex ? "dtype float32, float64, complex64 or complex128" : "dtype float32 or float64",
      describe(tensor));
}

void check_options(std::string_view name, const Tensor& tensor, const TensorOptions& options) {
  if (tensor.defined() && tensor.scalar_type() == c10::typeMetaToScalarType(options.dtype()) &&
      tensor.device() == options.device()) {
    return;
  }
  throw InvalidArgument(
      name,
      dtype_name(c10::typeMetaToScalarType(options.dtype())) + " on " + options.device().str(),
      describe(tensor));
}

void check_finite(std::string_view name, const Tensor& tensor) {
  if (tensor.numel() == 0 || !(tensor.is_floating_point() || tensor.is_complex())) return;
  const auto bad = at::isfinite(tensor).logical_not();
  if (!bad.any().item<bool>()) return;
  const auto index = bad.nonzero()[0];
  std::string where = "index";
  for (int64_t i = 0; i < index.numel(); ++i)
    where += ' ' + std::to_string(index[i].item<int64_t>());
  throw InvalidArgument(name, "finite numbers", "NaN or Inf", where);
}

}  // namespace ritz
