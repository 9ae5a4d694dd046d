#pragma once
// What a training step takes, told before the first one.
#include "ritz/optim/trainer.h"

namespace ritz::optim::detail {

/// Throws SystemFailure where the passes of a micro-batch of `batch` samples and the optimiser's
/// state need more than `limit` bytes (0: 80 % of what is free); the message tells a batch that
/// fits. The passes are measured on two small batches, from which their peak grows in proportion
///     bytes(B) = bytes(n) + (B - n) (bytes(n) - bytes(m)) / (n - m),   m < n <= 8;
/// nothing is left changed. What an optimiser takes for derivatives of its own is not known here.
void check_step_memory(const TrainingTask& task, int64_t batch, int64_t limit);

}  // namespace ritz::optim::detail
