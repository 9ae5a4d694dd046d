#pragma once
// Which samples a step sees: a pure function of seed, step and rank, so that every optimiser sees
// the same batches and a resumed run needs no state to go on.
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::optim {

/// Each epoch is one permutation of the N samples. A step takes world * accumulate * batch of them
/// in order, rank by rank and within a rank micro-batch by micro-batch: P ranks with batch b take
/// together the samples that one takes with batch P b. Samples that fill no whole step are left out
/// of that epoch; the next one's permutation leaves out others.
class BatchOrder {
 public:
  struct Options {
    int64_t samples = 0;
    int64_t batch = 128;     // of one micro-batch on one rank
    int64_t accumulate = 1;  // micro-batches a step
    int rank = 0, world_size = 1;
    uint64_t seed = 0;
  };
  /// Throws InvalidArgument where a step takes more samples than there are.
  explicit BatchOrder(const Options& options);

  /// int64 [batch]: the rows of micro-batch `micro` (from 0) of step `step` (from 1).
  Tensor rows(int64_t step, int64_t micro);
  int64_t samples_per_step() const { return samples_per_step_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  /// Epochs done before this step.
  double epoch(int64_t step) const;

 private:
  Options options_;
  int64_t samples_per_step_;
  int64_t steps_per_epoch_;
  int64_t drawn_epoch_ = -1;
  Tensor permutation_;  // of drawn_epoch_
};

}  // namespace ritz::optim
