#include "ritz/io/array.h"

#include <cstdlib>
#include <new>

#include "ritz/io/bytes.h"

namespace ritz::io {
namespace {

// Whole cache lines and AVX-512 vectors; libtorch aligns its own memory likewise.
constexpr size_t kAlignment = 64;

}  // namespace

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::boolean:
    case DType::int8:
    case DType::uint8:
      return 1;
    case DType::int16:
    case DType::uint16:
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::int32:
    case DType::uint32:
    case DType::float32:
      return 4;
    case DType::int64:
    case DType::uint64:
    case DType::float64:
    case DType::complex64:
      return 8;
    case DType::complex128:
      return 16;
  }
  return 0;
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return "bool";
    case DType::int8:
      return "int8";
    case DType::int16:
      return "int16";
    case DType::int32:
      return "int32";
    case DType::int64:
      return "int64";
    case DType::uint8:
      return "uint8";
    case DType::uint16:
      return "uint16";
    case DType::uint32:
      return "uint32";
    case DType::uint64:
      return "uint64";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::complex64:
      return "complex64";
    case DType::complex128:
      return "complex128";
  }
  return "unknown";
}

int64_t Array::count() const {
  int64_t product = 1;
  for (const int64_t n : shape) product *= n;
  return product;
}

size_t Array::bytes() const {
  return static_cast<size_t>(count()) * size_of(dtype);
}

Array make_array(std::string name, std::vector<int64_t> shape, DType dtype) {
  const uint64_t bytes = checked_bytes(shape, dtype, name.empty() ? "array" : name);
  // calloc leaves large memory untouched until it is written; the extra line makes room to align.
  std::shared_ptr<void> memory(std::calloc(bytes + kAlignment, 1), std::free);
  if (memory == nullptr) throw std::bad_alloc();
  void* aligned = memory.get();
  size_t space = bytes + kAlignment;
  std::align(kAlignment, bytes, aligned, space);
  Array array{std::move(name), std::move(shape), dtype, static_cast<const std::byte*>(aligned), {}};
  array.owner = std::move(memory);
  return array;
}

std::byte* mutable_data(Array& array) {
  return const_cast<std::byte*>(array.data);
}

std::string describe(const Array& array) {
  return std::string(name_of(array.dtype)) + " " + shape_text(array.shape);
}

}  // namespace ritz::io
