#pragma once
// The part that optimisers with a fixed number of tensors a parameter ("slots") have in common:
// they differ in their update rule alone.
#include <torch/types.h>

#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// Options is an aggregate with a member `lr`. Each parameter has its own step count, as in
/// libtorch: one that gets no gradient in a step is left alone.
template <class Options>
class StatefulOptimizer : public Optimizer {
 public:
  StatefulOptimizer(const std::vector<torch::optim::OptimizerParamGroup>& groups, Options defaults);

  Tensor step(LossClosure closure = nullptr) override;
  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;

 protected:
  /// Names of the slots, each a tensor shaped like the parameter.
  virtual std::vector<std::string> slot_names() const = 0;
  /// Slots start at zero unless this says otherwise.
  virtual void init_slots(std::vector<Tensor>& /*slots*/, const Options& /*options*/) {}
  /// One parameter's update, in place; `step` counts from 1.
  virtual void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
                      const Options& options, int64_t step) = 0;
  /// For each group's options.
  template <class F>
  void for_each_options(F&& change);

 private:
  struct ParameterState {
    Tensor parameter;
    std::vector<Tensor> slots;
    int64_t step = 0;
  };
  void extend_state();

  std::vector<ParameterState> states_;  // over all groups, in order
};

}  // namespace ritz::optim
