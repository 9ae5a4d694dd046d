#pragma once
// Drops weights of a trained network step by step. Weight matrices and kernels (parameters of two
// and more dimensions) are pruned; biases and the parameters of norms are not. What is exactly 0 at
// the start counts as pruned already, and what is pruned never returns.
#include <optional>
#include <string>
#include <vector>

#include "ritz/nn/loss.h"
#include "ritz/nn/network.h"
#include "ritz/optim/trainer.h"

namespace ritz::compress {

enum class PruneMethod {
  mfac,        // saliency and update of the optimal brain surgeon on M-FAC's inverse
  woodfisher,  // the same with WoodFisher's dense blocks, by its recursion; needs a block
  obd,         // saliency w^2 (mean g^2 + lambda) / 2 of the diagonal Fisher matrix, no update
  magnitude    // |w|, no update and no gradients
};
/// "mfac", "woodfisher", "obd", "magnitude".
PruneMethod parse_prune_method(const std::string& name);

struct PrunerOptions {
  PruneMethod method = PruneMethod::mfac;
  // Defaults of the authors' code.
  int64_t gradients = 64;       // m, fresh at each sub-step
  int64_t gradient_batch = 32;  // samples in each: larger ones shrink the noise in F, and lambda
                                // counts more
  bool allow_fewer = false;     // where the data have fewer batches, take those
  int64_t block = 128;          // of the surviving weights; 0: none
  bool block_per_tensor = false;
  double damping = 1e-5;
  bool joint = false;            // the joint update instead of the independent sum
  std::string storage = "full";  // of the gradients: full, bfloat16, float16
  int64_t memory_limit = 0;      // bytes of the gradients; 0: 80 % of what is free
  uint64_t seed = 0;
};

/// What a sub-step did.
struct PruneReport {
  int64_t zeros = 0;                     // now
  int64_t gradients = 0;                 // that were there
  std::optional<double> predicted = {};  // rise of the loss by the quadratic model; magnitude: none
};

class Pruner {
 public:
  /// Shares the network's parameters and changes them in place. Throws InvalidArgument where it has
  /// no weight to prune, DataError where the data have fewer than m batches.
  Pruner(nn::Network network, const nn::Loss& loss, optim::Split data,
         const PrunerOptions& options);

  int64_t weights() const { return keep_.numel(); }  // d
  int64_t zeros() const;

  /// Prunes to this many zeros, with gradients of the current network in evaluation mode; `round`
  /// numbers the sub-steps of a run and picks the samples.
  PruneReport prune(int64_t zeros, uint64_t round);

  /// Sets what is pruned to 0 again: after each step of a training between prunings.
  void apply_masks();
  /// One uint8 tensor a weight, 1 where it stays, named like it; and their replacement.
  std::vector<nn::NamedTensor> masks() const;
  void set_masks(const std::vector<nn::NamedTensor>& masks);

 private:
  void check_curvature();
  Tensor gather(const Tensor& active) const;
  Tensor collect(const Tensor& active, uint64_t round) const;
  std::vector<int64_t> segments() const;

  nn::Network network_;
  nn::Loss loss_;
  optim::Split data_;
  PrunerOptions options_;
  std::vector<nn::NamedTensor> weights_;
  Tensor keep_;  // bool [d]
};

}  // namespace ritz::compress
