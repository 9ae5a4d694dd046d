#pragma once
// safetensors: eight bytes with the header's length, a JSON header {name: {dtype, shape,
// data_offsets}}, then the tensors without gaps. Nothing in it is executed.
//
//     #include "ritz/io/safetensors.h"
//     #include "ritz/io/array_file.h"
//     int main() {
//       const auto w = ritz::io::make_array("w", {3, 4}, ritz::io::DType::float32);
//       ritz::io::write_arrays("model.safetensors", {w}, {.metadata = {{"model", "mlp:4-3"}}});
//       const auto file = ritz::io::read_safetensors("model.safetensors");
//       return file.metadata.at("model") == "mlp:4-3" && file.arrays[0].name == "w" ? 0 : 1;
//     }
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ritz/io/array.h"
#include "ritz/io/bytes.h"

namespace ritz::io {

struct SafetensorsFile {
  std::vector<Array> arrays;  // in the header's order
  std::map<std::string, std::string> metadata;
};

/// Reads a file; the arrays are views of it (mapped where it is large).
SafetensorsFile read_safetensors(const std::string& path);
/// The same from bytes; `where` names them in errors.
SafetensorsFile parse_safetensors(const Bytes& bytes, std::string_view where);

/// Writes arrays in the given order of names. complex128 does not exist in the format: Unsupported.
void write_safetensors(const std::string& path, const std::vector<Array>& arrays,
                       const std::map<std::string, std::string>& metadata = {}, bool force = false);

}  // namespace ritz::io
