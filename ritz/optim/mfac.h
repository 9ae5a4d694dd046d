#pragma once
// M-FAC's optimiser: SGD preconditioned by the inverse of the damped empirical Fisher matrix of the
// last m mini-batch gradients. E. Frantar, E. Kurtic, D. Alistarh, NeurIPS 2021 (the dynamic
// algorithm); the step as in the authors' code.
//
//   F = lambda I + (1/m) G^T G,   u = F^-1 g = g / lambda - G^T e
//   e = (K + m lambda I)^-1 s / lambda,   K = G G^T,  s = G g            (derived)
//
// Three scales that a user should know (derived):
// - m in 1/m is the window's capacity, also while it fills. With one gradient in it
//   u = g / (lambda + |g|^2 / m): for small lambda the step has length m / |g|, so that the
//   learning rate must shrink like 1/m (1e-3 belongs to m = 1024).
// - In general u = F_-^-1 g / (1 + g^T F_-^-1 g / m), F_- being the window without g.
// - The learning rate must decay: at a constant one the loss stays at a floor of noise.
#include "ritz/optim/window_factor.h"
#include "ritz/optim/window_optimizer.h"

namespace ritz::optim {

enum class WindowFill {
  zeros,  // the window starts with m rows of zeros (code)
  skip    // u = g / (lambda + mean |g_i|^2 / m) until it is full (reconstructed): the plain
          // gradient with the length that its own row would give it
};
/// "zeros", "skip"; InvalidArgument otherwise.
WindowFill parse_window_fill(const std::string& name);

struct MfacOptions {
  double lr = 1e-3;         // defaults of the authors' code
  double momentum = 0;      // [0, 1): v = momentum v + (1 - momentum) u
  double weight_decay = 0;  // coupled: enters the window too
  // The window's, the same in all groups: there is one window over all parameters.
  int64_t m = 1024;
  double damping = 1e-5;  // lambda > 0
  WindowMode mode = WindowMode::cholesky;
  WindowFill fill = WindowFill::zeros;
  bool sparse = false;                  // weights that are 0 now stay 0; biases are not masked
  std::string storage = "full";         // of the window: full, bfloat16, float16
  int64_t memory_limit = 0;             // bytes of the window; 0: 80 % of what is free
  dist::ProcessGroup* group = nullptr;  // its ranks share out the window's columns
};

///     ritz::optim::Mfac optimizer(model->parameters(), {.lr = 1e-3, .m = 256});
///     loss.backward();
///     optimizer.step();
class Mfac : public Typed<MfacOptions, WindowOptimizer> {
 public:
  explicit Mfac(std::vector<Tensor> parameters, MfacOptions options = {});
  explicit Mfac(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                MfacOptions options = {});
  void set_momentum(double momentum) override;

 private:
  Direction direction(const Tensor& K, int64_t row, const Tensor& s) override;
  Rates rates(const GroupBase& options) const override;
  std::vector<NamedTensor> own_state() override;
  void restored(const Tensor& K) override;

  double damping_;
  WindowFill fill_;
  WindowMode mode_;
  WindowFactor factor_;
};

}  // namespace ritz::optim
