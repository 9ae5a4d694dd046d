#pragma once
// The first-order optimisers: each updates all parameters in one fused pass over memory per tensor.
// They are the baselines of the second-order methods and their backends.
#include "ritz/optim/stateful.h"

namespace ritz::optim {

/// g' = g + weight_decay w;  b <- momentum b + (1 - dampening) g' (the first b is g');
/// w <- w - lr b, or w - lr (g' + momentum b) with Nesterov's form.
struct SgdOptions {
  double lr = 0.1;
  double momentum = 0;      // [0, 1)
  double dampening = 0;     // [0, 1]
  double weight_decay = 0;  // coupled: added to the gradient
  bool nesterov = false;
};

/// m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
/// w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps). Kingma and Ba, ICLR 2015.
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // true is AdamW: w <- (1 - lr weight_decay) w apart from the moments
                           // (Loshchilov and Hutter, ICLR 2019); false adds weight_decay w to g
};

/// s <- s + g^2;  w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). Duchi et al., JMLR
/// 2011.
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double initial = 0;  // of s
  double eps = 1e-10;
  double weight_decay = 0;  // coupled: added to the gradient
};

class Sgd : public StatefulOptimizer<SgdOptions> {
 public:
  explicit Sgd(std::vector<Tensor> parameters, SgdOptions options = {});
  explicit Sgd(const std::vector<torch::optim::OptimizerParamGroup>& groups,
               SgdOptions options = {});
  void set_momentum(double momentum) override;

 private:
  std::vector<std::string> slot_names() const override { return {"momentum"}; }
  void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
              const SgdOptions& options, int64_t step) override;
};

///     ritz::optim::Adam optimizer(model->parameters(), {.lr = 3e-3});
///     loss.backward();
///     optimizer.step();
class Adam : public StatefulOptimizer<AdamOptions> {
 public:
  explicit Adam(std::vector<Tensor> parameters, AdamOptions options = {});
  explicit Adam(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                AdamOptions options = {});
  void set_momentum(double momentum) override;

 private:
  std::vector<std::string> slot_names() const override { return {"exp_avg", "exp_avg_sq"}; }
  void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
              const AdamOptions& options, int64_t step) override;
};

class Adagrad : public StatefulOptimizer<AdagradOptions> {
 public:
  explicit Adagrad(std::vector<Tensor> parameters, AdagradOptions options = {});
  explicit Adagrad(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                   AdagradOptions options = {});

 private:
  std::vector<std::string> slot_names() const override { return {"sum"}; }
  double slot_start(const GroupBase& options) const override { return values(options).initial; }
  void update(const Tensor& parameter, const Tensor& gradient, std::vector<Tensor>& slots,
              const AdagradOptions& options, int64_t step) override;
};

}  // namespace ritz::optim
