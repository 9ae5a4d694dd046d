#pragma once
// A folder of a test's own, and small arrays to put into files there.
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "ritz/io/bytes.h"

namespace ritz::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ritz-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// The text as a file's bytes; it must outlive them.
inline io::Bytes bytes_of(const std::string& text) {
  return {std::as_bytes(std::span(text)), nullptr};
}

/// Bytes 0, 1, 2, ... in every element: all of a number's bytes differ, so a swap is seen. bool:
/// 0, 1.
inline io::Array counting(std::string name, std::vector<int64_t> shape, io::DType dtype) {
  io::Array array = io::make_array(std::move(name), std::move(shape), dtype);
  std::byte* data = io::mutable_data(array);
  for (size_t i = 0; i < array.bytes(); ++i) {
    // Below 0x40: no byte pattern that is NaN or infinite in any float.
    data[i] = std::byte(dtype == io::DType::boolean ? i % 2 : (7 * i + 1) % 0x3b);
  }
  return array;
}

inline io::Array of_doubles(std::string name, std::vector<int64_t> shape,
                            const std::vector<double>& values) {
  io::Array array = io::make_array(std::move(name), std::move(shape), io::DType::float64);
  if (!values.empty())
    std::memcpy(io::mutable_data(array), values.data(), values.size() * sizeof(double));
  return array;
}

inline const double* doubles(const io::Array& array) {
  return reinterpret_cast<const double*>(array.data);
}

inline bool same_bytes(const io::Array& a, const io::Array& b) {
  return a.bytes() == b.bytes() && (a.bytes() == 0 || std::memcmp(a.data, b.data, a.bytes()) == 0);
}

}  // namespace ritz::test
