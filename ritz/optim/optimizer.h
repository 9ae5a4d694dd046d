#pragma once
// What all optimisers of ritz share. Each derives from torch::optim::Optimizer, so it drops into
// any libtorch training loop, and each can name its state as tensors, so a checkpoint of any of
// them is an ordinary safetensors file and a resumed run ends in the bits of an uninterrupted one.
#include <torch/optim/optimizer.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"

namespace ritz::optim {

using nn::NamedTensor;

/// A row of OUT/optimizer.csv: what an optimiser wants its user to see of the last step.
using Statistics = std::vector<std::pair<std::string, double>>;

/// What a user should know once. `code` is a word for scripts.
struct Warning {
  std::string code, message;
};

/// Wraps an aggregate of options as libtorch wants it in a parameter group.
template <class Values>
struct GroupOptions : torch::optim::OptimizerCloneableOptions<GroupOptions<Values>> {
  Values values;
  explicit GroupOptions(Values v) : values(std::move(v)) {}
  double get_lr() const override { return values.lr; }
  void set_lr(const double lr) override { values.lr = lr; }
};

/// A parameter group with options of its own:
/// `Adam({group(weights, AdamOptions{.weight_decay = 1e-2}), group(biases, AdamOptions{})})`.
template <class Values>
torch::optim::OptimizerParamGroup group(std::vector<Tensor> parameters, Values options) {
  return {std::move(parameters), std::make_unique<GroupOptions<Values>>(std::move(options))};
}

/// Copies `given` into the tensors of `own` by name. Throws DataError naming the first tensor that
/// is missing, surplus, or of another shape or dtype; nothing has changed then.
void assign_state(const std::vector<NamedTensor>& own, const std::vector<NamedTensor>& given);

/// One step of training as an optimiser may need to see it, beyond parameters and gradients.
struct StepView {
  int64_t step = 1;  // counts from 1
  int64_t micro_batches = 1;
};

/// A micro-batch's loss, as an optimiser may need it to differentiate it more than once. What a
/// training loop does not know may be left out; an optimiser that needs it says so.
struct Pass {
  Tensor loss;                     // scalar, with its graph
  Tensor outputs = {};             // [n, c], with their graph
  const nn::Loss* rule = nullptr;  // loss = weight rule(outputs, targets)
  double weight = 1;
  /// The same loss at the parameters' present values: the same samples and random choices, nothing
  /// left behind in running statistics.
  std::function<Tensor()> again = {};
};

/// A micro-batch before its forward pass.
struct MicroBatch {
  const nn::Network& network;  // in training mode, if that is wanted
  const nn::Loss& rule;
  Tensor inputs, targets;
  double weight = 1;  // its loss is weight rule(network(inputs), targets)
};

/// An optimiser that can be checkpointed and that reports on itself.
class Optimizer : public torch::optim::Optimizer {
 public:
  using torch::optim::Optimizer::Optimizer;

  /// All that `step` depends on beside parameters, gradients and options: names such as
  /// "exp_avg.3" (the parameter's index over all groups) and "step". The tensors are the live ones.
  virtual std::vector<NamedTensor> state_dict() = 0;
  /// Takes a state of the same optimiser over parameters of the same shapes; throws DataError
  /// naming the first tensor that is missing, surplus or of another shape or dtype. Nothing changes
  /// if it throws.
  virtual void load_state_dict(const std::vector<NamedTensor>& state) = 0;
  /// libtorch's own serialisation (torch::save, torch::load), written in terms of state_dict.
  void save(torch::serialize::OutputArchive& archive) const override;
  void load(torch::serialize::InputArchive& archive) override;

  /// Sets the learning rate of all groups.
  void set_lr(double lr);
  /// Sets the momentum (sgd) or the first decay rate (Adam's kind) of all groups; throws
  /// Unsupported where there is none.
  virtual void set_momentum(double momentum);
  /// Of the last step; the same names every step. Empty where there is nothing to tell.
  virtual Statistics statistics() const { return {}; }

  /// A training loop calls these around the passes of a step, for optimisers that look into the
  /// layers.
  virtual void begin_step(const StepView&) {}
  /// After the gradients of all micro-batches are summed, before they are averaged over ranks.
  virtual void end_backward() {}
  /// Adds the gradient of a micro-batch to the parameters' gradients: in place of loss.backward(),
  /// for optimisers that differentiate it once more.
  virtual void backward(const Pass& pass) { pass.loss.backward(); }
  void backward(const Tensor& loss) { backward(Pass{.loss = loss}); }
  /// Forward and backward of a micro-batch without autograd, for optimisers that know a better way:
  /// adds the gradient to the parameters' and returns the loss. Undefined where there is none, the
  /// default: then the caller builds the graph and calls backward().
  virtual Tensor differentiate(const MicroBatch&) { return {}; }
  /// Seconds that backward() of this step took beyond the loss's gradient.
  virtual double seconds_beyond_gradient() const { return 0; }
  /// The loss of the step, its mean over all ranks, before step(); for optimisers that change their
  /// ways as it falls.
  virtual void observe_loss(double) {}

  /// The warnings since the last call.
  std::vector<Warning> take_warnings() { return std::exchange(warnings_, {}); }

 protected:
  void warn(std::string code, std::string message) {
    warnings_.push_back({std::move(code), std::move(message)});
  }

 private:
  std::vector<Warning> warnings_;
};

}  // namespace ritz::optim
