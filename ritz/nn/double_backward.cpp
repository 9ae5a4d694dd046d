#include "ritz/nn/detail/double_backward.h"

#include <torch/types.h>

#include "ritz/base/error.h"

namespace ritz::nn::detail {
namespace {

/// The operation that libtorch says it cannot differentiate (again), or an empty string.
std::string undifferentiable_operation(const std::string& message) {
  for (const auto& [before, after] :
       {std::pair<std::string, std::string>{"derivative for '", "'"},
        {"derivative for ", " is not implemented"},
        {"differentiate twice a function that was marked with ", "\n"}}) {
    const size_t begin = message.find(before);
    if (begin == std::string::npos) continue;
    const size_t end = message.find(after, begin + before.size());
    return message.substr(begin + before.size(), end - begin - before.size());
  }
  return {};
}

}  // namespace

std::vector<Tensor> differentiate_again(const std::vector<Tensor>& first,
                                        const std::vector<Tensor>& by,
                                        const std::vector<Tensor>& seeds, bool retain_graph) {
  try {
    return torch::autograd::grad(first, by, seeds, retain_graph, /*create_graph=*/false,
                                 /*allow_unused=*/true);
  } catch (const c10::Error& error) {
    const std::string operation = undifferentiable_operation(error.what_without_backtrace());
    if (operation.empty()) throw;
    throw Unsupported("double backward: operation " + operation +
                      " cannot be differentiated twice; use finite differences, or the "
                      "Gauss-Newton matrix by finite differences");
  }
}

}  // namespace ritz::nn::detail
