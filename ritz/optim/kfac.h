#pragma once
// K-FAC (Martens and Grosse, ICML 2015) in the form of kfac-pytorch, with KAISA's placement of the
// work over ranks (Pauloski et al., SC 2021).
#include "ritz/optim/kronecker/factor.h"
#include "ritz/optim/kronecker/optimizer.h"
#include "ritz/optim/kronecker/placement.h"

namespace ritz::optim {

enum class KfacForm {
  eigen,   // D = Q_g [ (Q_g^T X Q_a) / (d_g d_a^T + damping) ] Q_a^T
  inverse  // D = (G + damping I)^-1 X (A + damping I)^-1
};

/// A <- decay A + (1 - decay) E[a a^T],  G <- decay G + (1 - decay) E[g g^T], both I at first
/// (code), over the step's samples; a the inputs with 1 where there is a bias, g the gradients of
/// each sample's own loss at the outputs. A convolution's rows are patches, both divided by the
/// number of positions (code). kfac-pytorch takes g of the mean loss, which is 1 / b^2 in G: its
/// damping grows with the batch, that of the definition does not.
struct KfacOptions {
  int64_t f = 10;            // steps between inversions: kfac-pytorch's inv_update_steps
  int64_t factor_every = 1;  // steps between updates of A and G: its factor_update_steps
  int64_t warmup = 0;        // so many first steps do both
  double damping = 1e-3;     // > 0
  double decay = 0.95;       // [0, 1)
  KfacForm form = KfacForm::eigen;
  Rescale rescale = Rescale::kl_clip;
  double kl_clip = 1e-3;
  Placement placement = Placement::comm;
  double grad_worker_fraction = 0.5;      // of the ranks, for Placement::hybrid
  std::vector<std::string> exclude = {};  // names or patterns (*, ?) of modules left first-order
};

/// The form `inverse` keeps Cholesky factors and solves with them, and where the gradient is made
/// of b < d samples it divides those: (G_s (G + damping I)^-1)^T (A_s (A + damping I)^-1) / b.
///
/// With several ranks all keep A and G, averaged over ranks: i'^2 + o^2 words a layer and update.
/// Each layer is inverted by one rank, which sends what it found to the other holders (i'^2 + o^2
/// words; + i' + o eigenvalues); ranks that hold none get the preconditioned gradient (o i' words a
/// step).
///
///     #include "ritz/nn/models.h"
///     #include "ritz/optim/first_order.h"
///     #include "ritz/optim/kfac.h"
///     #include <torch/types.h>
///     int main() {  // y is where x is largest
///       const auto network = ritz::nn::make_network("mlp:8-32-8");
///       ritz::optim::Kfac optimizer(
///           network,
///           std::make_unique<ritz::optim::Sgd>(network.parameter_values(),
///                                              ritz::optim::SgdOptions{.lr = .1, .momentum = .9}),
///           {.f = 10, .damping = 1e-2, .rescale = ritz::optim::Rescale::layer});
///       const auto x = torch::eye(8), y = torch::arange(8);
///       double loss = 0;
///       for (int step = 0; step < 30; ++step) {
///         optimizer.zero_grad();
///         const auto l = torch::cross_entropy_loss(network.forward(x), y);
///         l.backward();
///         optimizer.step();
///         loss = l.item<double>();
///       }
///       return loss < 0.1 ? 0 : 1;
///     }
class Kfac : public KroneckerOptimizer {
 public:
  Kfac(const nn::Network& network, std::unique_ptr<Optimizer> backend, KfacOptions options = {},
       dist::ProcessGroup* group = nullptr);

  /// The rank that inverts each layer.
  const std::vector<int>& inverse_workers() const { return workers_; }
  /// Numbers of inverses (or eigenvectors and eigenvalues) that this rank holds.
  int64_t inverse_numel() const;

 private:
  /// One side of a layer. `moment` is kept by its lower triangle; `inverted` is what it was at the
  /// last inversion, kept where it changes in between, so that a resumed run can repeat that.
  struct Side {
    Tensor moment, inverted;
    Tensor cholesky;    // of the damped moment; form inverse
    EigenFactor eigen;  // form eigen
  };
  struct LayerState {
    Side input, output;
    int64_t skipped = 0;
  };

  bool wants_samples(int64_t step) const override;
  void renew(const std::vector<std::optional<LayerSamples>>& samples) override;
  std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) override;
  std::vector<NamedTensor> factors() override;
  void loaded() override;
  Statistics method_statistics() const override;
  void complete_report(std::vector<LayerReport>& reports) const override;

  void update(LayerState& state, const LayerSamples& samples);
  Tensor mean_gram(const Tensor& rows, double weight);
  void invert_own();
  void invert(Side& side);
  void share_inverses();
  bool holds(size_t k) const;
  Tensor divided(size_t k, const Tensor& X) const;

  KfacOptions own_;
  std::vector<LayerState> states_;
  Grid grid_;
  std::vector<int> workers_;
  int rank_ = 0;
  std::optional<dist::ProcessGroup> column_, row_;  // of this rank, where they are not all or one
  bool inverted_ = false;                           // at least once
  int64_t raised_ = 0;  // dampings raised at the last inversion, on this rank
};

}  // namespace ritz::optim
