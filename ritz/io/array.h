#pragma once
// What a parser finds in a file: bytes, shape and dtype. No libtorch here; ritz/io/tensor.h makes
// tensors of it.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ritz::io {

enum class DType {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
  complex128,
};

/// Bytes of one element.
size_t size_of(DType dtype);
/// "float32", "bool", ...: numpy's names.
std::string_view name_of(DType dtype);

/// One array: native byte order, C order, contiguous. Copying an Array shares its bytes; `owner`
/// keeps them alive, be they a mapped file or a buffer.
struct Array {
  std::string name;            // inside its container; empty where the format has none
  std::vector<int64_t> shape;  // empty: a scalar
  DType dtype = DType::float64;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;

  int64_t count() const;  // product of the shape
  size_t bytes() const;   // count() * size_of(dtype)
};

/// A new array with memory of its own, zero-filled; `data` may be written through `mutable_data`.
Array make_array(std::string name, std::vector<int64_t> shape, DType dtype);
std::byte* mutable_data(Array& array);  // only for arrays from make_array

/// "float32 [3, 4]"
std::string describe(const Array& array);

}  // namespace ritz::io
