#include "ritz/optim/stateful.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

void SlotOptimizer::extend_state() {
  size_t index = 0;
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      if (index++ < states_.size()) continue;
      ParameterState state{{}, at::zeros({}, at::kLong)};
      for (size_t k = 0; k < slot_names().size(); ++k) {
        state.slots.push_back(at::full_like(parameter.detach(), slot_start(group.options()),
                                            at::MemoryFormat::Preserve));
      }
      states_.push_back(std::move(state));
    }
  }
}

Tensor SlotOptimizer::step(LossClosure closure) {
  Tensor loss;
  if (closure) {
    const at::AutoGradMode with_graph(true);
    loss = closure();
  }
  const at::NoGradGuard no_graph;
  extend_state();
  size_t index = 0;
  for (auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      ParameterState& state = states_[index++];
      const Tensor& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      if (gradient.is_sparse()) throw Unsupported("gradient: a sparse one, expected a dense one");
      int64_t& step = *state.step.data_ptr<int64_t>();
      update_parameter(parameter, gradient, state.slots, group.options(), ++step);
      // Kernels write behind autograd's back; a graph that saved the old value must notice.
      parameter.unsafeGetTensorImpl()->bump_version();
    }
  }
  return loss;
}

std::vector<NamedTensor> SlotOptimizer::state_dict() {
  extend_state();
  const auto names = slot_names();
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < states_.size(); ++i) {
    const std::string index = "." + std::to_string(i);
    state.push_back({"step" + index, states_[i].step});
    for (size_t k = 0; k < names.size(); ++k) {
      state.push_back({names[k] + index, states_[i].slots[k]});
    }
  }
  return state;
}

void SlotOptimizer::load_state_dict(const std::vector<NamedTensor>& given) {
  assign_state(state_dict(), given);
}

}  // namespace ritz::optim
