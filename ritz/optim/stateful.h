#pragma once
// The part that optimisers with a fixed number of tensors a parameter ("slots") have in common:
// they differ in their update rule alone.
#include <torch/types.h>

#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// The bookkeeping that does not depend on the options' type.
class SlotOptimizer : public Optimizer {
 public:
  using Optimizer::Optimizer;
  Tensor step(LossClosure closure = nullptr) override;
  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;

 protected:
  using GroupBase = torch::optim::OptimizerOptions;
  /// Names of the slots, each a tensor shaped like the parameter.
  virtual std::vector<std::string> slot_names() const = 0;
  /// Where a slot starts; zero unless overridden.
  virtual double slot_start(const GroupBase&) const { return 0; }
  /// One parameter's update, in place; `step` counts from 1.
  virtual void update_parameter(const Tensor& parameter, const Tensor& gradient,
                                std::vector<Tensor>& slots, const GroupBase& options,
                                int64_t step) = 0;

 private:
  /// Each parameter counts its own steps, as in libtorch: one without a gradient is left alone.
  struct ParameterState {
    std::vector<Tensor> slots;
    Tensor step;  // int64 scalar on the CPU
  };
  /// Parameter groups may be added at any time; their state is made when it is first needed.
  void extend_state();

  std::vector<ParameterState> states_;  // over all groups, in order
};

/// The same with typed options, an aggregate with a member `lr`.
template <class Options>
class StatefulOptimizer : public SlotOptimizer {
 public:
  StatefulOptimizer(const std::vector<torch::optim::OptimizerParamGroup>& groups, Options defaults)
      : SlotOptimizer(std::vector<torch::optim::OptimizerParamGroup>{},
                      std::make_unique<GroupOptions<Options>>(defaults)) {
    for (const auto& given : groups) add_param_group(given);
    // libtorch merges a group's options with the defaults for its own optimisers alone.
    for (size_t k = 0; k < groups.size(); ++k) {
      if (groups[k].has_options()) param_groups_[k].set_options(groups[k].options().clone());
    }
  }

 protected:
  static const Options& values(const GroupBase& options) {
    return static_cast<const GroupOptions<Options>&>(options).values;
  }
  /// Applies `change(Options&)` to every group.
  template <class F>
  void change_options(const F& change) {
    for (auto& group : param_groups_) {
      change(static_cast<GroupOptions<Options>&>(group.options()).values);
    }
  }

  /// One parameter's update with its group's options.
  virtual void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
                      const Options& options, int64_t step) = 0;

 private:
  void update_parameter(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
                        const GroupBase& options, int64_t step) final {
    update(parameter, gradient, slots, values(options), step);
  }
};

}  // namespace ritz::optim
