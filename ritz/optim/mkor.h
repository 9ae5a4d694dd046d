#pragma once
// MKOR: a Kronecker-factored preconditioner whose inverse factors are renewed by rank-1 updates.
// Mozaffari, Li, Zhang, Mehri Dehnavi, NeurIPS 2023.
//
// For each layer with matrix X = [W b], [o, i'] (bias folded, kernels flattened), and a batch of b
// samples with inputs A [b, i'] and gradients G [b, o] of each sample's own loss at the output:
//
//     every f steps   a = mean of A's rows, g = mean of G's rows; averaged over ranks in one flat
//                     half-precision all-reduce of sum (i' + o) words for all layers
//                     Q [i', i'] renewed by a, P [o, o] by g (ritz/optim/mkor/inverse_factor.h)
//     every step      D_hat = P dL/dX Q,  D = D_hat |dL/dX| / |D_hat|,  to the backend
//
// Both factors start at I. Cost a renewal and factor of order d: 4 d^2 flops, three times the bytes
// of the factor. Cost a step and layer: 4 b (o^2 + i'^2 + o i') flops where b is smaller than the
// layer (ritz/optim/kronecker/optimizer.h), else 2 o i' (o + i').
//
//     #include "ritz/nn/models.h"
//     #include "ritz/optim/first_order.h"
//     #include "ritz/optim/mkor.h"
//     #include <torch/types.h>
//     int main() {  // y is where x is largest
//       const auto network = ritz::nn::make_network("mlp:8-32-8");
//       ritz::optim::Mkor optimizer(
//           network,
//           std::make_unique<ritz::optim::Sgd>(network.parameter_values(),
//                                              ritz::optim::SgdOptions{.lr = .1, .momentum = .9}),
//           {.f = 10});
//       const auto x = torch::eye(8), y = torch::arange(8);
//       double loss = 0;
//       for (int step = 0; step < 30; ++step) {
//         optimizer.zero_grad();
//         const auto l = torch::cross_entropy_loss(network.forward(x), y);
//         l.backward();
//         optimizer.step();
//         loss = l.item<double>();
//       }
//       return loss < 0.1 ? 0 : 1;
//     }
#include "ritz/optim/kronecker/optimizer.h"
#include "ritz/optim/mkor/inverse_factor.h"
#include "ritz/optim/schedule.h"

namespace ritz::optim {

/// How factors are stored, and whether vectors travel as float16. `paper` keeps full factors: they
/// leave float16's range.
enum class HalfPrecision { none, float16, bfloat16 };

struct MkorOptions {
  RenewalOptions renewal = {};
  int64_t f = 10;      // steps between renewals (paper)
  int64_t warmup = 0;  // so many first steps renew each
  HalfPrecision half = HalfPrecision::float16;
  double clip = 100;  // of the vectors' entries (code)
  int64_t rank =
      1;  // vectors a factor and renewal; above 1 the top of A^T A / b instead of the mean
  Rescale rescale = Rescale::layer;
  double kl_clip = 1e-3;  // of Rescale::kl_clip
  std::vector<std::string> exclude =
      {};                // modules left first-order, such as a vocabulary's decoder
  int64_t verify = 100;  // renewals between comparisons of all ranks' factors; 0: none
};

class Mkor : public KroneckerOptimizer {
 public:
  /// `group`, where given, outlives the optimiser; all ranks then call the same functions, and
  /// gradients are averaged by the caller.
  Mkor(const nn::Network& network, std::unique_ptr<Optimizer> backend, MkorOptions options = {},
       dist::ProcessGroup* group = nullptr);

  /// P [o, o] and Q [i', i'] of layer k of layers(), as stored; undefined after MkorHybrid's
  /// switch.
  const Tensor& output_factor(size_t k) const { return factors_.P.at(k); }
  const Tensor& input_factor(size_t k) const { return factors_.Q.at(k); }

 protected:
  Mkor(std::string name, const nn::Network& network, std::unique_ptr<Optimizer> backend,
       MkorOptions options, dist::ProcessGroup* group);

  void renew(const std::vector<std::optional<LayerSamples>>& samples) override;
  std::vector<Tensor> precondition(const std::vector<Tensor>& gradients) override;
  std::vector<NamedTensor> factors() override;
  Statistics method_statistics() const override;
  void complete_report(std::vector<LayerReport>& reports) const override;

  struct Factors {
    std::vector<Tensor> P, Q;  // one each a layer; undefined where they were freed
  };
  Factors identities() const;
  Factors no_factors() const;
  Factors factors_;

 private:
  std::vector<Tensor> reduced(const std::vector<Tensor>& vectors);
  void compare_ranks();
  void count_reset(size_t k, const char* which);

  const MkorOptions options_;
  at::ScalarType stored_, wire_;
  Tensor counters_;     // int64 [layers, 4] on the CPU: renewals, resets, stabilised, skipped
  Tensor rank1_error_;  // float64 [layers, 2] on the CPU: inputs, gradients; NaN before the first
  bool warned_of_reset_ = false;
};

/// When MkorHybrid goes on with its backend alone.
struct HybridOptions {
  enum class Switch { automatic, never, at_step } rule = Switch::automatic;
  int64_t step = 0;       // at_step: the first step of the backend alone
  KneeOptions knee = {};  // automatic: the loss falls no longer as it used to (reconstructed)
};

/// MKOR-H: MKOR until it no longer speeds the loss's fall, then the backend alone, which keeps its
/// own state. The switch frees the factors and stops all recording; ranks agree on it: it comes
/// when any rank's detector sees the knee, at a step at which all look.
///
/// step(closure) takes the loss from its closure; other loops call observe_loss before step().
class MkorHybrid : public Mkor {
 public:
  MkorHybrid(const nn::Network& network, std::unique_ptr<Optimizer> backend,
             MkorOptions options = {}, HybridOptions hybrid = {},
             dist::ProcessGroup* group = nullptr);

  Tensor step(LossClosure closure = nullptr) override;
  void observe_loss(double loss) override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;
  /// The first step of the backend alone; 0 before the switch.
  int64_t switched_at() const;

 protected:
  std::vector<NamedTensor> factors() override;
  bool wants_loss() const override;

 private:
  void switch_over();

  const HybridOptions hybrid_;
  KneeDetector detector_;
  Tensor switched_at_;     // int64 scalar on the CPU
  Tensor detector_state_;  // float64 [4 + window] on the CPU: how many numbers, the numbers, zeros
};

}  // namespace ritz::optim
