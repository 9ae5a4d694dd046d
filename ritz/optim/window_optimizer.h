#pragma once
// The part that optimisers on a window of the last m gradients have in common (M-FAC, GGT): all
// parameters as one vector w, one window, and a direction u = scale g - G^T e of which they differ
// in scale and e alone.
//
//   g = concat(gradients) + wd w;   G[t mod m] = g;   K = G G^T, its new row s = G g
//   v = mu v + (1 - mu) u  (v = u where mu = 0);   w <- w - lr v
//
// Cost of a step: 4 m d flops, the window read twice (once for s, once for u: all of s must be
// there before u begins), and the small solve.
#include <optional>

#include "ritz/optim/gradient_window.h"
#include "ritz/optim/typed.h"

namespace ritz::optim {

class WindowOptimizer : public Optimizer {
 public:
  /// Throws InvalidArgument where a gradient is not finite, naming its row of the window and its
  /// step; nothing has changed then.
  Tensor step(LossClosure closure = nullptr) override;
  /// Whole on every rank; a collective where the window is spread over ranks.
  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;
  /// Window rows in use, norms of the gradient and of the direction u.
  Statistics statistics() const override;

  /// Parameters that move: all, or those not masked.
  int64_t active() const { return window_->size(); }

 protected:
  using GroupBase = torch::optim::OptimizerOptions;
  struct Rates {
    double lr = 0, momentum = 0, weight_decay = 0;
  };
  struct Direction {
    double scale = 1;
    Tensor e = {};  // [m] float64; undefined: u = scale g
  };

  using Optimizer::Optimizer;
  /// Makes the window, over the parameters of all groups: no more can be added. `sparse` leaves out
  /// the weights that are exactly 0 now, but for tensors of one dimension (biases begin at 0).
  void start(const GradientWindowOptions& options, bool sparse);
  /// The row of the last gradient, s, and K [m, m] float64 with s in it.
  virtual Direction direction(const Tensor& K, int64_t row, const Tensor& s) = 0;
  virtual Rates rates(const GroupBase& options) const = 0;
  /// What `direction` depends on beside its arguments.
  virtual std::vector<NamedTensor> own_state() { return {}; }
  /// own_state() has been replaced; K is the window's Gram matrix.
  virtual void restored(const Tensor& /*K*/) {}
  /// Gradients that the window holds now.
  int64_t filled() const;

 private:
  std::vector<NamedTensor> small_state();
  void gather();
  void apply();
  template <class F>
  void each_parameter(const F& visit);

  std::optional<GradientWindow> window_;
  Tensor active_;    // int64: places in w of the parameters that move; undefined: all
  Tensor flat_;      // [all]: the gradient, then the direction
  Tensor g_, u_;     // [active]: parts of flat_ or their own
  Tensor velocity_;  // [all], once a group has momentum
  Tensor gram_;      // [m, m] float64
  Tensor steps_;     // int64 scalar
  double gradient_norm_ = 0, direction_norm_ = 0;
};

}  // namespace ritz::optim
