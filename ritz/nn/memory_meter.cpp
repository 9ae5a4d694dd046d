#include "ritz/nn/detail/memory_meter.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/Allocator.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "ritz/base/memory.h"

namespace ritz::nn::detail {

class MemoryMeter::Reporter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* pointer, int64_t size, size_t, size_t, c10::Device) override {
    const std::lock_guard lock(mutex_);
    if (size > 0) {
      sizes_[pointer] = size;
      live_ += size;
      peak_ = std::max(peak_, live_);
    } else if (const auto found = sizes_.find(pointer); found != sizes_.end()) {
      live_ -= found->second;  // what was allocated before the measurement is not in the table
      sizes_.erase(found);
    }
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t live() {
    const std::lock_guard lock(mutex_);
    return live_;
  }
  int64_t peak() {
    const std::lock_guard lock(mutex_);
    return peak_;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  int64_t live_ = 0, peak_ = 0;
};

MemoryMeter::MemoryMeter()
    : reporter_(std::make_shared<Reporter>()),
      guard_(c10::DebugInfoKind::PROFILER_STATE, reporter_) {}

int64_t MemoryMeter::live() const {
  return reporter_->live();
}
int64_t MemoryMeter::peak() const {
  return reporter_->peak();
}

int64_t memory_budget(int64_t limit, const c10::Device& device) {
  if (limit > 0) return limit;
  const int64_t free =
      device.is_cpu() ? available_memory()
                      : static_cast<int64_t>(at::accelerator::getMemoryInfo(device.index()).first);
  return free / 5 * 4;
}

}  // namespace ritz::nn::detail
