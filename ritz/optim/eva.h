#pragma once
// Eva: K-FAC with each factor's rank one (Zhang, Shi, Li, "Eva: Practical second-order optimization
// with Kronecker-vectorized approximation", ICLR 2023).
#include "ritz/optim/kronecker/optimizer.h"

namespace ritz::optim {

/// a <- (1 - weight) a + weight mean a_i,  g <- (1 - weight) g + weight mean g_i, both the first
/// step's means at first; g_i of the mean loss (1 / b of a sample's own: with the sample's own Eva
/// diverges from lr = .01 on). A convolution's rows count as samples.
///
///     D = (X - g a^T (g^T X a) / (damping + |a|^2 |g|^2)) / damping
///       = (g a^T as a vector, its outer product with itself + damping I)^-1 X
struct EvaOptions {
  int64_t f = 1;  // steps between renewals of the vectors
  int64_t warmup = 0;
  double damping = 0.03;  // > 0
  double weight = 0.95;   // of a new mean (code); (0, 1]
  Rescale rescale = Rescale::kl_clip;
  double kl_clip = 1e-3;
  std::vector<std::string> exclude = {};  // names or patterns (*, ?) of modules left first-order
};

/// The formula above for X [o, i'], g [o], a [i']: 5 o i' flops, three passes over X.
Tensor eva_direction(const Tensor& X, const Tensor& g, const Tensor& a, double damping);

/// With several ranks the means of all layers are averaged in one all-reduce of sum (i' + o) words
/// a renewal.
///
///     ritz::optim::Eva optimizer(network, std::make_unique<ritz::optim::Sgd>(
///                                             network.parameter_values()));
///     optimizer.zero_grad();
///     loss(network.forward(x), y).backward();
///     optimizer.step();
class Eva : public KroneckerOptimizer {
 public:
  Eva(const nn::Network& network, std::unique_ptr<Optimizer> backend, EvaOptions options = {},
      dist::ProcessGroup* group = nullptr);

 private:
  struct LayerState {
    Tensor a, g;
    Tensor renewals;  // int64 scalar on the CPU
    int64_t skipped = 0;
  };
  void renew(const std::vector<std::optional<LayerSamples>>& samples) override;
  std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) override;
  std::vector<NamedTensor> factors() override;
  Statistics method_statistics() const override;
  void complete_report(std::vector<LayerReport>& reports) const override;

  EvaOptions own_;
  std::vector<LayerState> states_;
};

}  // namespace ritz::optim
