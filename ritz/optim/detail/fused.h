#pragma once
// When a fused kernel may run: everything on the CPU, contiguous, of one real floating dtype.
#include <torch/types.h>

namespace ritz::optim::detail {

/// Calls `kernel(T{})` with T float or double and returns true where all of `tensors` qualify; else
/// returns false, and the caller takes its reference path in tensor operations.
template <class Kernel>
bool run_fused(std::initializer_list<const at::Tensor*> tensors, const Kernel& kernel) {
  const at::Tensor& first = **tensors.begin();
  for (const at::Tensor* tensor : tensors) {
    if (!tensor->device().is_cpu() || !tensor->is_contiguous() ||
        tensor->scalar_type() != first.scalar_type()) {
      return false;
    }
  }
  if (first.scalar_type() == at::kFloat) return kernel(float{}), true;
  if (first.scalar_type() == at::kDouble) return kernel(double{}), true;
  return false;
}

}  // namespace ritz::optim::detail
