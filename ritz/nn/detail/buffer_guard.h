#pragma once
// Passes in training mode move the running statistics of batch norm; some passes must not.
#include <c10/core/GradMode.h>

#include <vector>

#include "ritz/nn/network.h"

namespace ritz::nn::detail {

/// Puts the network's buffers back at the end of a scope.
class BufferGuard {
 public:
  BufferGuard(const Network& network, bool active) : network_(network) {
    if (!active) return;
    for (const auto& b : network.buffers) saved_.push_back(b.value.clone());
  }
  ~BufferGuard() {
    const c10::NoGradGuard no_graph;
    for (size_t i = 0; i < saved_.size(); ++i) network_.buffers[i].value.copy_(saved_[i]);
  }
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  const Network& network_;
  std::vector<Tensor> saved_;
};

}  // namespace ritz::nn::detail
