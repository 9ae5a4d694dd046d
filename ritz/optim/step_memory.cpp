#include "ritz/optim/detail/step_memory.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>

#include "ritz/base/error.h"
#include "ritz/nn/detail/buffer_guard.h"
#include "ritz/nn/detail/memory_meter.h"

namespace ritz::optim::detail {
namespace {

/// The largest number of bytes that loss and gradient of `samples` samples take at once.
int64_t measured(const TrainingTask& task, int64_t samples) {
  const at::AutoGradMode with_graph(true);
  const nn::detail::MemoryMeter meter;
  const Tensor outputs = task.network.forward(task.data.inputs.narrow(0, 0, samples).clone());
  const Tensor loss = task.loss(outputs, task.data.targets.narrow(0, 0, samples));
  const auto gradients = torch::autograd::grad({loss}, task.network.parameter_values(), {}, false,
                                               false, /*allow_unused=*/true);
  return meter.peak();
}

}  // namespace

void check_step_memory(const TrainingTask& task, int64_t batch, int64_t limit) {
  constexpr int64_t kPilot = 8;
  const int64_t budget = nn::detail::memory_budget(limit, task.data.inputs.device());
  int64_t state = 0;
  for (const auto& tensor : task.optimizer.state_dict()) {
    state += static_cast<int64_t>(tensor.value.nbytes());
  }
  const nn::ModeGuard training(task.network, true);
  const nn::detail::BufferGuard buffers(task.network, true);
  // At least two samples each, without which batch norm has no variance.
  const int64_t n = std::min(batch, kPilot), m = std::max<int64_t>(n / 2, std::min<int64_t>(n, 2));
  const int64_t bytes = measured(task, n) + state;
  const int64_t each =
      n > m ? std::max<int64_t>(1, (bytes - state - measured(task, m)) / (n - m)) : bytes / n;
  const int64_t need = bytes + (batch - n) * each;
  if (need <= budget) return;
  const int64_t fits = n + (budget - bytes) / each;
  throw SystemFailure(format_error(
      "memory limit",
      "at least " + std::to_string(need) + " bytes for steps of " + std::to_string(batch) +
          " samples and " + std::to_string(state) + " bytes of the optimiser's state",
      std::to_string(budget),
      budget >= bytes && fits < batch
          ? "a batch of " + std::to_string(fits) + " fits; --accumulate takes several a step"
          : "not even " + std::to_string(n) + " samples fit"));
}

}  // namespace ritz::optim::detail
