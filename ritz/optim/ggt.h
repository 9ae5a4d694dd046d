#pragma once
// GGT: full-matrix AdaGrad over a window. N. Agarwal et al.: Efficient Full-Matrix Adaptive
// Regularization, ICML 2019.
//
//   u = ((G^T G)^{1/2} + eps I)^-1 g
//     = g / eps + U ((Sigma + eps)^-1 - 1/eps) U^T g
//     = g / eps - G^T W (1 / (eps Sigma (Sigma + eps))) W^T s      (derived)
//
// out of the m x m Gram matrix G G^T = W Sigma^2 W^T: U = G^T W Sigma^-1, s = G g. With one
// gradient in the window u = g / (|g| + eps). Directions with Sigma^2 below m eps_machine of the
// largest are taken for zero.
#include "ritz/optim/window_optimizer.h"

namespace ritz::optim {

struct GgtOptions {
  double lr = 1e-2;
  double momentum = 0.9;    // [0, 1): v = momentum v + (1 - momentum) u
  double weight_decay = 0;  // coupled: enters the window too
  // The window's, the same in all groups.
  int64_t m = 100;
  double eps = 1e-4;  // > 0
  std::string storage = "full";
  int64_t memory_limit = 0;
  dist::ProcessGroup* group = nullptr;
};

///     ritz::optim::Ggt optimizer(model->parameters(), {.lr = 1e-2, .m = 50});
class Ggt : public Typed<GgtOptions, WindowOptimizer> {
 public:
  explicit Ggt(std::vector<Tensor> parameters, GgtOptions options = {});
  explicit Ggt(const std::vector<torch::optim::OptimizerParamGroup>& groups,
               GgtOptions options = {});
  void set_momentum(double momentum) override;

 private:
  Direction direction(const Tensor& K, int64_t row, const Tensor& s) override;
  Rates rates(const GroupBase& options) const override;

  double eps_;
};

}  // namespace ritz::optim
