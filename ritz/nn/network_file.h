#pragma once
// Networks in safetensors files: parameters and buffers by name, and in the metadata what is needed
// to use them again.
#include <filesystem>
#include <map>
#include <string>

#include "ritz/nn/network.h"

namespace ritz::nn {

/// The metadata of a model file. Keys that ritz itself writes: "model" (the description),
/// "input_shape"
/// ("28,28"), "outputs", "pool", "mean" and "deviation" (of --standardise), "dtype".
using Metadata = std::map<std::string, std::string>;

/// Writes all parameters and buffers, with `metadata` and the key "model" = network.description.
/// An existing file is refused (UsageError) without `force`; the write is atomic.
void save_network(const Network& network, const std::filesystem::path& path, Metadata metadata = {},
                  bool force = false);

/// Reads a file's tensors into the network's parameters and buffers, converting floating dtypes.
/// Throws DataError naming the tensors that are missing, superfluous or of another shape. Returns
/// the metadata.
Metadata load_checkpoint(const Network& network, const std::filesystem::path& path);

/// The metadata alone, without reading tensors.
Metadata read_metadata(const std::filesystem::path& path);

}  // namespace ritz::nn
