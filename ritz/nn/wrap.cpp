#include "ritz/nn/wrap.h"

#include <torch/types.h>

#include "ritz/base/error.h"

namespace ritz::nn {

Network wrap(std::shared_ptr<torch::nn::Module> module,
             std::function<Tensor(const Tensor&)> forward, std::string description) {
  Network network;
  network.description = std::move(description);
  ParameterIndex index;
  for (const auto& item : module->named_parameters()) {
    if (!item.value().requires_grad()) {  // frozen: saved with the file, but no variable
      network.buffers.push_back({item.key(), item.value()});
      continue;
    }
    index[item.value().unsafeGetTensorImpl()] = static_cast<int>(network.parameters.size());
    network.parameters.push_back({item.key(), item.value()});
  }
  for (const auto& item : module->named_buffers())
    network.buffers.push_back({item.key(), item.value()});
  for (const auto& item : module->named_modules()) {
    const auto layer = std::dynamic_pointer_cast<CapturesCurvature>(item.value());
    if (!layer) continue;
    LayerTap tap{item.key(), layer, {}};
    for (const auto& parameter : layer->own_parameters()) {
      const auto found = index.find(parameter.unsafeGetTensorImpl());
      if (found != index.end()) tap.parameters.push_back(found->second);
    }
    // A partly frozen layer cannot say which gradient is whose.
    if (tap.parameters.size() == layer->own_parameters().size())
      network.layers.push_back(std::move(tap));
  }
  network.forward = std::move(forward);
  auto* raw = module.get();
  network.set_training = [raw](bool on) { raw->train(on); };
  network.is_training = [raw] { return raw->is_training(); };
  network.set_training(false);
  if (auto* layer = dynamic_cast<Layer*>(raw)) {
    auto chain = std::make_shared<Chain>();
    if (layer->append_stages(*chain, index)) network.chain = std::move(chain);
  }
  network.owner = std::move(module);
  return network;
}

Network wrap(std::shared_ptr<Layer> layer, std::string description) {
  auto* raw = layer.get();
  return wrap(
      std::static_pointer_cast<torch::nn::Module>(std::move(layer)),
      [raw](const Tensor& x) { return raw->forward(x); }, std::move(description));
}

}  // namespace ritz::nn
