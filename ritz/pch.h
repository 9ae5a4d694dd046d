// Compiled once for all targets that use libtorch. It holds what nearly every such file needs and
// no more: torch/torch.h here would cost every file three more seconds.
#pragma once
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>
