#include "ritz/optim/batch_order.h"

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::optim {

BatchOrder::BatchOrder(const Options& options) : options_(options) {
  check_at_least("samples", options.samples, 1);
  check_at_least("batch", options.batch, 1);
  check_at_least("accumulate", options.accumulate, 1);
  check_range("rank", options.rank, 0, options.world_size - 1);
  samples_per_step_ = options.batch * options.accumulate * options.world_size;
  if (samples_per_step_ > options.samples) {
    throw InvalidArgument(
        "batch", "at most " + std::to_string(options.samples) + " samples a step, all there are",
        std::to_string(options.batch) + " x " + std::to_string(options.accumulate) +
            " micro-batches x " + std::to_string(options.world_size) + " ranks");
  }
  steps_per_epoch_ = options.samples / samples_per_step_;
}

Tensor BatchOrder::rows(int64_t step, int64_t micro) {
  check_at_least("step", step, 1);
  check_range("micro", micro, 0, options_.accumulate - 1);
  const int64_t epoch = (step - 1) / steps_per_epoch_;
  if (epoch != drawn_epoch_) {
    RandomStream random(options_.seed, stream_id("train/order", static_cast<uint64_t>(epoch)));
    permutation_ = random.permutation(options_.samples);
    drawn_epoch_ = epoch;
  }
  const int64_t begin = (step - 1) % steps_per_epoch_ * samples_per_step_;
  const int64_t part = options_.rank * options_.accumulate + micro;
  return permutation_.narrow(0, begin + part * options_.batch, options_.batch);
}

double BatchOrder::epoch(int64_t step) const {
  return static_cast<double>(step - 1) / static_cast<double>(steps_per_epoch_);
}

}  // namespace ritz::optim
