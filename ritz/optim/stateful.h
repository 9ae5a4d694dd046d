#pragma once
// The part that optimisers with a fixed number of tensors a parameter ("slots") have in common:
// they differ in their update rule alone.
#include <torch/types.h>

#include "ritz/optim/typed.h"

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

/// The same with typed options.
template <class Options>
class StatefulOptimizer : public Typed<Options, SlotOptimizer> {
 protected:
  using Typed<Options, SlotOptimizer>::Typed;

  /// One parameter's update with its group's options.
  virtual void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
                      const Options& options, int64_t step) = 0;

 private:
  void update_parameter(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
                        const torch::optim::OptimizerOptions& options, int64_t step) final {
    update(parameter, gradient, slots, this->values(options), step);
  }
};

}  // namespace ritz::optim
