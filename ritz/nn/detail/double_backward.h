#pragma once
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::nn::detail {

/// d(sum first . seeds)/d by, where `first` are derivatives with their graph; undefined where there
/// is no dependence. Throws Unsupported naming an operation that cannot be differentiated twice.
std::vector<Tensor> differentiate_again(const std::vector<Tensor>& first,
                                        const std::vector<Tensor>& by,
                                        const std::vector<Tensor>& seeds, bool retain_graph);

}  // namespace ritz::nn::detail
