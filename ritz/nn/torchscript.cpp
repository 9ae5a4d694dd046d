// TorchScript files as networks: the way in for models made elsewhere.
#include <torch/csrc/jit/serialization/import.h>
#include <torch/script.h>

#include "ritz/base/error.h"
#include "ritz/nn/models.h"

namespace ritz::nn {
namespace {

/// libtorch's errors carry a stack; the first line says what was wrong.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

Network load_torchscript(const std::string& path, const TensorOptions& options) {
  auto module = std::make_shared<torch::jit::Module>();
  try {
    *module = torch::jit::load(path, torch::kCPU);
  } catch (const c10::Error& error) {
    throw DataError(path, "a TorchScript file", first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw DataError(path, "a TorchScript file", first_line(error.what()));
  }
  if (options.device_opt()) module->to(*options.device_opt());
  if (options.dtype_opt()) module->to(c10::typeMetaToScalarType(*options.dtype_opt()));
  Network network;
  network.description = path;
  for (const auto& item : module->named_parameters()) {
    (item.value.requires_grad() ? network.parameters : network.buffers)
        .push_back({item.name, item.value});
  }
  if (network.parameters.empty()) {
    throw Unsupported(path + ": the TorchScript module has no parameter that requires grad");
  }
  for (const auto& item : module->named_buffers())
    network.buffers.push_back({item.name, item.value});
  // The mode is kept here: a module without a `training` attribute always says that it trains.
  auto training = std::make_shared<bool>(true);
  network.set_training = [module, training](bool on) { module->train(*training = on); };
  network.is_training = [training] { return *training; };
  network.set_training(false);
  network.forward = [module, path](const Tensor& x) -> Tensor {
    const auto result = module->forward({x});
    if (!result.isTensor()) {
      throw Unsupported(path + ": forward must return one tensor, not " + result.tagKind());
    }
    return result.toTensor();
  };
  network.owner = module;
  return network;
}

}  // namespace ritz::nn
