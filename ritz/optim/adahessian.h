#pragma once
// AdaHessian: Adam with a Hutchinson estimate of the Hessian's diagonal in place of the squared
// gradient. Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney, AAAI 2021, arXiv 2006.00719.
//
// Step t over parameters w, f the loss of the mini-batch:
//
//     g = grad f;   h = H z,  z of signs +-1;   D = |h| or z h, averaged over blocks
//     m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) D^2
//     w <- w - lr (m / (1 - beta1^t) / ((v / (1 - beta2^u))^(k/2) + eps) + weight_decay w)
//
// u counts the updates of v. E[z h] = diag H with variance sum_{j != i} H_ij^2 (derived); E[D_i^2]
// without averaging is the squared norm of row i of H, so v then estimates row norms, not the
// diagonal: averaging signed values moves it towards the block's mean diagonal. eps is added to
// the k-th power (code).
//
//     #include "ritz/optim/adahessian.h"
//     #include <torch/nn.h>
//     int main() {
//       torch::nn::Linear net(torch::nn::LinearOptions(3, 1).bias(false));
//       ritz::optim::AdaHessian optimizer(net->parameters(), {.lr = 0.5});
//       const auto x = torch::eye(3), y = torch::ones({3, 1});
//       double loss = 1;
//       for (int step = 0; step < 100; ++step) {
//         optimizer.zero_grad();
//         const auto l = (net(x) - y).square().mean();
//         optimizer.backward(l);  // instead of l.backward(): it needs the loss's graph
//         optimizer.step();
//         loss = l.item<double>();
//       }
//       return loss < 1e-3 ? 0 : 1;
//     }
#include "ritz/dist/process_group.h"
#include "ritz/optim/typed.h"

namespace ritz::optim {

/// Which entries share their mean of D. Vectors and scalars are never averaged (code).
struct HessianBlock {
  enum class Rule {
    kernel,  // over the spatial axes of a convolution's kernel, of rank 3 to 5; nothing else
    row,     // over all axes but the first: one value an output unit
    chunk,   // over `size` consecutive entries, row by row; the last chunk may be shorter
    none
  };
  Rule rule = Rule::kernel;
  int64_t size = 32;  // of chunk; 32 for transformers' matrices and embeddings (code)
};

/// The options of a parameter group. Defaults are the authors' for images (code).
struct AdaHessianOptions {
  double lr = 0.15;  // dimensionless: g / D is a Newton step
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-4;
  double k = 1;             // power of the Hessian, [0, 1]; 0 is momentum over 1 + eps
  double weight_decay = 0;  // decoupled, times lr
  HessianBlock block = {};
  bool signed_mean = false;  // block means of z h (paper, recalled) rather than of |h| (code)
  double cap = 0;   // entries of the direction beyond cap times its median size are cut; 0: none
  double clip = 0;  // the direction's root mean square is brought down to it; 0: never
};

/// How an optimiser finds H z.
enum class HessianProducts {
  double_backward,    // exact: reverse over reverse, of the same forward pass; differentiate() by
                      // the network's chain (ritz/nn/chain.h) where it has one
  finite_difference,  // (g(w + e z) - g(w - e z)) / 2e, e = 1e-3 max(1, rms w): two more gradients
  gauss_newton        // J^T H_L J z: positive semi-definite; needs to know loss and outputs
};

/// When the Hessian is looked at, for all groups alike.
struct HessianSchedule {
  int64_t f = 1;        // a new D where (t - 1) mod f = 0
  int64_t warmup = 10;  // f = 1 for so many steps first: without it reuse may diverge (measured)
  bool hold = false;    // between looks v rests; else it takes the last D again (reuse)
  int64_t probes = 1;
  int64_t warm_samples = 1;  // probes at t = 1, if more
  HessianProducts products = HessianProducts::double_backward;
  uint64_t seed = 0;  // of z, a function of (seed, t, probe, place in the flat parameter vector)
};

/// Memory: m as the parameters; v as the block means (1/9 of a 3 x 3 kernel); as much as v again
/// for D where f > 1; the gradient's graph while backward() runs, on steps that look at the Hessian
/// alone, or nothing of the kind where differentiate() finds a chain.
/// Ranks: h (block means of z h where signed) is averaged over `group` before sizes are taken, so
/// that P ranks with batch b are one with batch P b; the reference averages nothing.
class AdaHessian : public Typed<AdaHessianOptions> {
 public:
  explicit AdaHessian(std::vector<Tensor> parameters, AdaHessianOptions options = {},
                      HessianSchedule schedule = {}, dist::ProcessGroup* group = nullptr);
  explicit AdaHessian(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                      AdaHessianOptions options = {}, HessianSchedule schedule = {},
                      dist::ProcessGroup* group = nullptr);

  using Optimizer::backward;
  /// The signs [like parameter] of probe `sample` of step t (from 1) for the parameter at `place`.
  static Tensor probe(uint64_t seed, int64_t t, int64_t sample, size_t place,
                      const Tensor& parameter);
  /// Adds the gradient to the parameters' and, where this step looks at the Hessian, H z to its
  /// sums (with the same z for all micro-batches of a step). Throws InvalidArgument where the loss
  /// has no graph, Unsupported naming an operation that cannot be differentiated twice.
  void backward(const Pass& pass) override;
  /// backward() for a network with a chain, on steps that look: gradient and H z in one pass of
  /// hand-written kernels (ritz/nn/detail/chain_kernels.h), equal to rounding. Undefined where the
  /// step does not look, another way to H z was asked for, or a parameter is not the network's.
  Tensor differentiate(const MicroBatch& batch) override;
  /// A closure returns a loss with its graph; backward() is called here.
  Tensor step(LossClosure closure = nullptr) override;

  std::vector<NamedTensor> state_dict() override;
  void load_state_dict(const std::vector<NamedTensor>& state) override;
  void set_momentum(double momentum) override;
  /// The losses handed to backward() are `scale` times what is trained on (half precision); an
  /// overflow, seen as a gradient that is not finite, skips the step.
  void set_loss_scale(double scale);
  /// looked (0 or 1), mean_abs_diagonal, negative (share of D below 0, signed only),
  /// skipped_hessians and skipped_steps (not finite, so far), seconds_hessian.
  Statistics statistics() const override { return statistics_; }
  double seconds_beyond_gradient() const override { return seconds_; }

 private:
  struct ParameterState {
    Tensor steps, updates;  // int64 scalars on the CPU: of m, of v
    Tensor exp_avg, exp_hessian_sq;
    Tensor diagonal;  // D by blocks; undefined where f = 1
  };
  struct Slot {
    Tensor parameter;
    const AdaHessianOptions* options;
    ParameterState* state;
    int64_t block;
  };

  int64_t now() const;  // the step that comes next
  bool looks(int64_t step) const;
  void extend_state();
  std::vector<Slot> slots();
  int64_t probe_count() const;
  bool signed_means() const;
  void take(int64_t probe, std::vector<Tensor> h, std::vector<Tensor> z);
  void add_products(const Pass& pass, const std::vector<Tensor>& gradients,
                    const std::vector<Tensor>& parameters);
  std::vector<Tensor> products(const Pass& pass, const std::vector<Tensor>& gradients,
                               const std::vector<Tensor>& parameters, const std::vector<Tensor>& z,
                               bool last);
  std::vector<Tensor> new_diagonals(const std::vector<Slot>& slots);
  void update(const Slot& slot, const Tensor& diagonal);

  HessianSchedule schedule_;
  dist::ProcessGroup* group_;
  Tensor step_;  // int64 scalar: steps done
  std::vector<ParameterState> states_;
  std::vector<std::vector<Tensor>> products_;  // of this step: [probe][parameter], undefined: zero
  std::vector<std::vector<Tensor>> probes_;    // their z, which signed means need again
  Tensor skipped_;                             // int64 [2]: Hessians, steps
  Statistics statistics_;
  double loss_scale_ = 1, seconds_ = 0;
};

}  // namespace ritz::optim
