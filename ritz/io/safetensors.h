#pragma once
// safetensors: eight bytes with the header's length, a JSON header {name: {dtype, shape,
// data_offsets}}, then the tensors without gaps. Nothing in it is executed.
//
//   auto file = ritz::io::read_safetensors("model.safetensors");
//   file.metadata["model"];                    // the header's __metadata__, text to text
//   ritz::io::write_safetensors("out.safetensors", file.arrays, file.metadata);
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
