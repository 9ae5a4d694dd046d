#pragma once
// What a run says about tensors; for commands of libritz_commands.so only.
#include "apps/ritz/frame/run.h"
#include "ritz/base/tensor.h"

namespace ritz::app {

/// --dtype and --device; `dtype` where --dtype is not given. Unsupported where there is no such
/// device.
TensorOptions tensor_options(const Run& run, c10::ScalarType dtype);

}  // namespace ritz::app
