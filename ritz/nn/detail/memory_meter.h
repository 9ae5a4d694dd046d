#pragma once
// Counts the bytes of tensors that a piece of code allocates, by libtorch's own report of each
// allocation: exact where the resident set would only show what the allocator took from the system.
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

#include "ritz/base/tensor.h"

namespace ritz::nn::detail {

/// Measures from construction to destruction, on this thread and the autograd threads working for
/// it.
class MemoryMeter {
 public:
  MemoryMeter();
  /// Bytes allocated since construction and not yet freed.
  int64_t live() const;
  /// The largest value `live` has had.
  int64_t peak() const;

 private:
  class Reporter;
  std::shared_ptr<Reporter> reporter_;
  c10::DebugInfoGuard guard_;
};

/// Bytes that may be taken: `limit` where it is positive, else 80 % of what is free on the device.
int64_t memory_budget(int64_t limit, const c10::Device& device);

}  // namespace ritz::nn::detail
