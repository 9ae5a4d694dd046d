#include "apps/ritz/frame/tensor_run.h"

#include <torch/types.h>

#include "ritz/base/error.h"

namespace ritz::app {

TensorOptions tensor_options(const Run& run, c10::ScalarType dtype) {
  if (run.common.dtype == "float32") dtype = torch::kFloat32;
  if (run.common.dtype == "float64") dtype = torch::kFloat64;
  const torch::Device device(run.common.device);
  if (device.is_cuda()) {
    const auto count = at::hasCUDA() ? static_cast<int>(at::getNumGPUs()) : 0;
    if (std::max<int>(device.index(), 0) >= count) {
      throw Unsupported(
          format_error("--device", "a device of this machine",
                       run.common.device + " of " + std::to_string(count) + " CUDA devices"));
    }
  }
  return torch::dtype(dtype).device(device);
}

}  // namespace ritz::app
