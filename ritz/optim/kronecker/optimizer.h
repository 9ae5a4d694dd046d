#pragma once
// What the Kronecker-factored optimisers (MKOR, K-FAC, Eva, SNGD, HyLo) share: each replaces the
// gradient of every layer that it can look into by a preconditioned one and hands all gradients to
// a first-order optimiser, its backend. They differ in what they keep of a layer's samples and in
// how they precondition with it.
//
//     step s:  forward, backward                       the layers record inputs and output
//     gradients
//              end_backward()  renew(samples)          where s is a step of renewal
//              step()          D = precondition(dL/dX), rescaled, into the gradients;
//              backend.step()
#include <limits>
#include <memory>

#include "ritz/base/timer.h"
#include "ritz/dist/process_group.h"
#include "ritz/optim/kronecker/layers.h"
#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// How long a layer's preconditioned gradient D_hat is made.
enum class Rescale {
  layer,    // |D| = |dL/dX| in Frobenius' norm
  parts,    // the same with |X| = |W| + |b| (MKOR's code)
  kl_clip,  // all layers by one nu = min(1, sqrt(kl_clip / |sum <D_hat, dL/dX> lr^2|)) (KAISA)
  none
};

/// "layer", "parts", "kl-clip", "none", as the command line spells them.
Rescale parse_rescale(const std::string& name);

struct KroneckerOptions {
  int64_t f = 10;      // steps between renewals: where (step - 1) mod f = 0; kNever: not at all
  int64_t warmup = 0;  // so many first steps renew each
  Rescale rescale = Rescale::layer;
  double kl_clip = 1e-3;
  std::vector<std::string> exclude = {};  // names or patterns (*, ?) of modules left first-order
};
inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

/// What a user may want to see of one layer in the last step.
struct LayerReport {
  std::string name = {};
  double gradient_norm = 0, preconditioned_norm = 0;       // |dL/dX|, |D_hat|
  double input_rank1_error = 0, gradient_rank1_error = 0;  // NaN where the method has none
  int64_t resets = 0, skipped = 0;  // so far: factors set to I, renewals left out
};

/// In any libtorch loop: zero_grad, forward, backward, step. Two calls tell it more, where there is
/// more to tell: begin_step before the passes (micro-batches), end_backward before the gradients
/// are averaged over ranks. step() does what is left of both.
class KroneckerOptimizer : public Optimizer {
 public:
  ~KroneckerOptimizer() override;

  Tensor step(LossClosure closure = nullptr) override;
  void begin_step(const StepView& view) override;
  void end_backward() override;

  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;
  /// The backend's momentum.
  void set_momentum(double momentum) override;
  /// The method's columns, then seconds_reduce, seconds_factor, seconds_precondition,
  /// seconds_update.
  Statistics statistics() const override;

  /// The losses of the next backward passes are S times the loss; step() divides the gradients by S
  /// and, where one is not finite then, leaves out the step and its renewal.
  void set_loss_scale(double scale);
  /// Steps left out so far because a scaled gradient was not finite.
  int64_t steps_skipped() const;

  const std::vector<KroneckerLayer>& layers() const { return layers_; }
  std::vector<LayerReport> report() const;  // one entry a layer

 protected:
  struct Method {
    std::string name;            // begins messages
    bool takes_sandwich = true;  // samples are recorded in every step where `sandwich` can use them
  };
  /// Takes the backend's parameter groups, which are the optimiser's own from then on. `group` may
  /// be null; it outlives the optimiser.
  KroneckerOptimizer(Method method, const nn::Network& network, std::unique_ptr<Optimizer> backend,
                     KroneckerOptions options, dist::ProcessGroup* group);

  // What a method is.

  /// Whether `renew` wants the samples of this step (from 1): those of methods that keep running
  /// means between the steps of renewal too. Called by the constructor, before it is overridden.
  virtual bool wants_samples(int64_t step) const { return renews(step); }
  /// Renews the factors. One entry a layer; none where the layer was not used, or its backward
  /// pass did not run, in this step: its factors stay. Samples are all NaN where a scaled loss
  /// overflowed on this rank: what is reduced over ranks then is not finite on any, and must not be
  /// taken. Collectives are called here, inside `timed(times().reduce, ...)`.
  virtual void renew(const std::vector<std::optional<LayerSamples>>& samples) = 0;
  /// D_hat for each layer from dL/dX [o, i'] (undefined for a layer without a gradient); the same
  /// on all ranks. An undefined D_hat leaves the gradient as it is, bit for bit.
  virtual std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) = 0;
  /// The method's own state: live tensors, as in state_dict.
  virtual std::vector<NamedTensor> factors() = 0;
  /// Called before a state is taken, for methods whose set of tensors depends on it.
  virtual void prepare_to_load(const std::vector<NamedTensor>&) {}
  /// Called after it was taken.
  virtual void loaded() {}
  virtual Statistics method_statistics() const { return {}; }
  virtual void complete_report(std::vector<LayerReport>&) const {}
  /// Whether observe_loss matters: step(closure) then passes its loss on.
  virtual bool wants_loss() const { return false; }

  // What a method may use.

  dist::ProcessGroup* group() const { return group_; }
  bool several_ranks() const { return group_ != nullptr && group_->world_size() > 1; }
  int64_t steps_done() const;
  bool renews(int64_t step) const;  // where (step - 1) mod f = 0 or in the warm-up; from 1
  /// From now on the backend alone: nothing is recorded, renewed or preconditioned.
  void retire();
  void revive();
  bool retired() const { return retired_; }

  /// The gradient X of layer k as weight G^T A, given where a product with o x o and i' x i'
  /// matrices from both sides is cheaper so: 2 b (o^2 + i'^2 + o i') flops instead of 2 o i' (o +
  /// i'). It was checked that X really is G^T A / scale times a number (it is not after an average
  /// over ranks, or if the weight is also used elsewhere).
  struct Batch {
    Tensor inputs, output_gradients;  // A [b, i'], G [b, o]
    double weight = 0;
  };
  std::optional<Batch> batch_behind(size_t k, const Tensor& X) const;
  /// L X R^T for the gradient X of layer k, in X's dtype, by its batch where that is cheaper;
  /// L [o, o] and R [i', i'] may be of lower precision.
  Tensor sandwich(size_t k, const Tensor& L, const Tensor& X, const Tensor& R);

  struct Times {  // seconds in the last step
    double reduce = 0, factor = 0, precondition = 0, update = 0;
  };
  Times& times() { return times_; }
  /// Adds the seconds of work() to a member of times().
  template <class F>
  static void timed(double& seconds, const F& work) {
    const Timer timer;
    work();
    seconds += timer.seconds();
  }

 private:
  void arm();  // records of the next step
  void pass_options_on();
  bool gradients_are_finite() const;
  void unscale_gradients();
  void replace_gradients();
  double rate_of(const KroneckerLayer& layer) const;

  Method method_;
  std::vector<KroneckerLayer> layers_;
  std::unique_ptr<Optimizer> backend_;
  KroneckerOptions options_;
  dist::ProcessGroup* group_;
  std::vector<std::optional<LayerSamples>> samples_;  // of this step
  std::vector<LayerReport> reports_;                  // of the last
  Tensor progress_;  // int64 [2] on the CPU, the state: steps done, steps left out
  int64_t micro_batches_ = 1;
  double loss_scale_ = 1;
  bool backward_ended_ = false, retired_ = false, warned_of_missing_ = false;
  Times times_;
};

}  // namespace ritz::optim
