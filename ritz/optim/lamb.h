#pragma once
// LAMB: Adam's direction, scaled layer by layer to the norm of the weights. You et al., ICLR 2020.
#include "ritz/optim/stateful.h"

namespace ritz::optim {

/// The two forms in use (code), which differ in the bias correction and in phi.
enum class LambForm {
  corrected,  // m / (1 - beta1^t), v / (1 - beta2^t); phi(z) = z
  clamped     // m and v as they are; phi(z) = min(z, 10)
};

/// m, v as Adam's;  r = m_hat / (sqrt(v_hat) + eps) + weight_decay w;
/// w <- w - lr phi(|w|) / |r| r, norms over each parameter tensor; the ratio is 1 where either is
/// 0.
struct LambOptions {
  double lr = 1e-2;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;  // decoupled: it enters r after the moments
  LambForm form = LambForm::corrected;
};

class Lamb : public StatefulOptimizer<LambOptions> {
 public:
  explicit Lamb(std::vector<Tensor> parameters, LambOptions options = {});
  explicit Lamb(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                LambOptions options = {});
  void set_momentum(double momentum) override;

 private:
  std::vector<std::string> slot_names() const override { return {"exp_avg", "exp_avg_sq"}; }
  void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
              const LambOptions& options, int64_t step) override;
  /// Where r of one tensor stands between its two passes; it holds nothing from step to step.
  Tensor room_for(const Tensor& like);

  Tensor room_;
};

}  // namespace ritz::optim
