#include "ritz/nn/network_file.h"

#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"

namespace ritz::nn {
namespace {

std::vector<NamedTensor> all_tensors(const Network& network) {
  std::vector<NamedTensor> all = network.parameters;
  all.insert(all.end(), network.buffers.begin(), network.buffers.end());
  return all;
}

}  // namespace

void save_network(const Network& network, const std::filesystem::path& path, Metadata metadata,
                  bool force) {
  metadata.emplace("model", network.description);
  std::vector<io::Array> arrays;
  for (const auto& t : all_tensors(network))
    arrays.push_back(io::to_array(t.name, t.value.detach()));
  io::write_safetensors(path.string(), arrays, metadata, force);
}

Metadata load_checkpoint(const Network& network, const std::filesystem::path& path) {
  const auto file = io::read_safetensors(path.string());
  std::map<std::string, const io::Array*> found;
  for (const auto& array : file.arrays) found[array.name] = &array;
  const auto targets = all_tensors(network);
  std::vector<Tensor> sources;
  std::string differences;
  const auto differs = [&](const std::string& what) {
    differences += (differences.empty() ? "" : "; ") + what;
  };
  for (const auto& target : targets) {
    const auto at = found.find(target.name);
    if (at == found.end()) {
      differs(target.name + " is missing");
      continue;
    }
    sources.push_back(io::to_tensor(*at->second));
    const std::string description = io::describe(*at->second);
    found.erase(at);
    if (sources.back().sizes() != target.value.sizes() ||
        sources.back().is_floating_point() != target.value.is_floating_point()) {
      const auto wanted = io::to_array(target.name, target.value.detach());
      differs(target.name + " is " + description + " instead of " + io::describe(wanted));
    }
  }
  for (const auto& [name, array] : found) differs(name + " is superfluous");
  if (!differences.empty()) {
    throw DataError(path.string(), "the tensors of " + network.description, differences);
  }
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < targets.size(); ++i) targets[i].value.copy_(sources[i]);
  return file.metadata;
}

Metadata read_metadata(const std::filesystem::path& path) {
  return io::read_safetensors(path.string()).metadata;
}

}  // namespace ritz::nn
