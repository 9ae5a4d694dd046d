#pragma once
// Natural gradients through the samples' own kernel: SNGD takes all of a step's samples, HyLo a
// tenth of them (Mu, Soori, Can, Gurbuzbalaban, Mehri Dehnavi, SC 2022). The mathematics stands in
// ritz/optim/kronecker/sampled_fisher.h.
#include "ritz/optim/kronecker/optimizer.h"
#include "ritz/optim/kronecker/sampled_fisher.h"

namespace ritz::optim {

/// D = (F + damping I)^-1 X, layer by layer, F the mean of u u^T over the samples' own gradients u
/// at the last renewal (tokens of a sequence count as samples).
struct SngdOptions {
  int64_t f = 10;  // steps between renewals
  int64_t warmup = 0;
  double damping = 0.1;  // > 0 (reconstructed: HyLo's own default of 1 is close to plain descent)
  Rescale rescale = Rescale::kl_clip;
  double kl_clip = 1e-3;
  std::vector<std::string> exclude = {};  // names or patterns (*, ?) of modules left first-order
};

/// With several ranks each gathers the samples of all, n t (i' + o) words a layer and renewal, and
/// divides by the same kernel.
///
///     ritz::optim::Sngd optimizer(network, std::make_unique<ritz::optim::Sgd>(
///                                              network.parameter_values()));
///     optimizer.zero_grad();
///     loss(network.forward(x), y).backward();
///     optimizer.step();
class Sngd : public KroneckerOptimizer {
 public:
  Sngd(const nn::Network& network, std::unique_ptr<Optimizer> backend, SngdOptions options = {},
       dist::ProcessGroup* group = nullptr);

  /// Samples that each layer's division rests on; 0 before the first.
  std::vector<int64_t> sample_counts() const;

 protected:
  Sngd(const char* name, const nn::Network& network, std::unique_ptr<Optimizer> backend,
       const SngdOptions& options, dist::ProcessGroup* group);

  /// What layer k divides by from now on, made of this rank's samples and the other ranks'; nothing
  /// where a number is not finite. The same on all ranks.
  virtual std::optional<SampledFisher> fisher(size_t k, const SampleRows& own);
  /// The rows of all ranks, in their order.
  SampleRows gathered(const SampleRows& own);
  static bool is_finite(const SampleRows& rows);
  double damping() const { return damping_; }

  void renew(const std::vector<std::optional<LayerSamples>>& samples) override;
  std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) override;
  std::vector<NamedTensor> factors() override;
  void prepare_to_load(const std::vector<NamedTensor>& state) override;
  void loaded() override;
  Statistics method_statistics() const override;
  void complete_report(std::vector<LayerReport>& reports) const override;

 private:
  struct LayerState {
    SampledFisher fisher;
    Tensor positions;  // int64 scalar on the CPU
    int64_t skipped = 0;
  };
  double damping_;
  std::vector<LayerState> states_;
};

enum class HyloForm {
  kis,       // samples drawn by importance
  kid,       // interpolative decomposition
  automatic  // kid in the first steps and after each fall of the learning rate, then kis
};

struct HyloOptions {
  int64_t f = 10;  // steps between renewals
  int64_t warmup = 0;
  double damping = 0.1;  // > 0
  double ratio = 0.1;    // of the samples that are kept; (0, 1]
  HyloForm form = HyloForm::automatic;
  /// Steps of kid from the start and from each fall of the learning rate (to less than .9 of the
  /// step before, which a slow schedule never does). The paper counts epochs, and not how many.
  int64_t kid_steps = 1000;
  Rescale rescale = Rescale::kl_clip;
  double kl_clip = 1e-3;
  std::vector<std::string> exclude = {};  // names or patterns (*, ?) of modules left first-order
  uint64_t seed = 0;                      // of the draws
};

/// With several ranks KIS gathers the squared norms, n words a layer and renewal, draws the same
/// samples on all, and gathers those alone: r t (i' + o) words. KID gathers all rows as SNGD does.
class Hylo : public Sngd {
 public:
  Hylo(const nn::Network& network, std::unique_ptr<Optimizer> backend, HyloOptions options = {},
       dist::ProcessGroup* group = nullptr);

  /// Whether the last renewal was by interpolative decomposition.
  bool decomposed() const { return decomposed_; }

 private:
  std::optional<SampledFisher> fisher(size_t k, const SampleRows& own) override;
  void renew(const std::vector<std::optional<LayerSamples>>& samples) override;
  std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) override;
  std::vector<NamedTensor> factors() override;
  Statistics method_statistics() const override;
  void watch_rate();
  int64_t kept(int64_t samples) const;

  HyloOptions own_;
  Tensor
      regime_;  // float64 [2] on the CPU, the state: last learning rate, first step of the regime
  bool decomposed_ = false;
};

}  // namespace ritz::optim
