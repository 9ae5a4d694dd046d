#include "ritz/nn/detail/batches.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/nn/detail/buffer_guard.h"
#include "ritz/nn/detail/memory_meter.h"

namespace ritz::nn::detail {
namespace {

/// Up to here the samples go in one pass without asking what they need.
constexpr int64_t kSmall = 16;

/// A pass needs no more than this even where there is more: larger temporaries only cost page
/// faults.
constexpr int64_t kComfortable = int64_t{256} << 20;

}  // namespace

Batches::Batches(Objective objective, CurvatureOptions options, Product product)
    : objective_(std::move(objective)), options_(options), product_(product) {
  const auto& [network, loss, inputs, targets] = objective_;
  if (!network.forward) throw InvalidArgument("network", "a forward function", "none");
  parameter_count_ = network.parameter_count();
  const TensorOptions wanted = network.options();
  if (!inputs.defined() || inputs.dim() < 1 || inputs.size(0) < 1) {
    throw InvalidArgument("inputs", "at least one sample",
                          inputs.defined() ? describe(inputs) : "an undefined tensor");
  }
  if (inputs.is_floating_point()) check_options("inputs", inputs, wanted);
  check_at_least("micro_batch", options.micro_batch, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
  if (options.training && options.micro_batch == 0) {
    throw InvalidArgument("micro_batch",
                          "a number of samples, on which curvature in training mode depends", "0");
  }
  // One sample tells the width of the outputs, against which all targets are checked once.
  const ModeGuard mode(network, false);
  torch::NoGradGuard no_grad;
  const Tensor z = checked_forward({network, loss, inputs.narrow(0, 0, 1), targets, product});
  loss.check_targets(targets, inputs.size(0), z.size(1));
}

double Batches::scale() const {
  return objective_.loss.mean ? 1.0 / static_cast<double>(samples()) : 1.0;
}

Batch Batches::batch(int64_t index) const {
  const int64_t begin = index * micro_batch_, size = std::min(micro_batch_, samples() - begin);
  return {objective_.network, objective_.loss, objective_.inputs.narrow(0, begin, size),
          objective_.targets.narrow(0, begin, size), product_};
}

std::string Batches::name_of(int64_t index) const {
  const int64_t begin = index * micro_batch_;
  return "batch " + std::to_string(index) + ", samples " + std::to_string(begin) + " to " +
         std::to_string(std::min(begin + micro_batch_, samples()) - 1);
}

std::unique_ptr<BatchDerivatives> Batches::make(int64_t index) const {
  const Batch b = batch(index);
  auto result = make_batch_derivatives(b, options_.differentiation);
  const double loss = objective_.loss.per_sample(result->outputs(), b.targets).sum().item<double>();
  if (!std::isfinite(loss)) {
    throw InvalidArgument("loss", "a finite value", std::isnan(loss) ? "NaN" : number_text(loss),
                          name_of(index));
  }
  return result;
}

void Batches::choose_micro_batch() {
  budget_ = memory_budget(options_.memory_limit, objective_.inputs.device());
  micro_batch_ = options_.micro_batch > 0 ? std::min(options_.micro_batch, samples())
                                          : std::min(samples(), kSmall);
  if (options_.micro_batch > 0 || samples() <= kSmall) return;
  const MemoryMeter meter;
  const auto pilot = make(0);
  const int64_t bytes_per_sample = std::max<int64_t>(1, meter.peak() / micro_batch_);
  // A product on the kept graph needs about once more what making it did.
  const int64_t room = std::min(budget_ / 2, kComfortable) / bytes_per_sample;
  micro_batch_ = std::clamp<int64_t>(room, 1, samples());
}

bool Batches::stale() {
  std::vector<std::pair<const void*, int64_t>> now;
  const auto add = [&](const Tensor& t) { now.emplace_back(t.const_data_ptr(), t._version()); };
  for (const auto& p : objective_.network.parameters) add(p.value);
  if (!options_.training) {  // in training mode they are outputs, not inputs
    for (const auto& b : objective_.network.buffers) add(b.value);
  }
  if (now == state_) return false;
  state_ = std::move(now);
  return true;
}

int64_t Batches::generation() {
  if (stale()) {
    kept_.clear();
    kept_bytes_ = 0;
    ++generation_;
  }
  return generation_;
}

void Batches::for_each(const Visit& visit) {
  const ModeGuard mode(objective_.network, options_.training);
  const BufferGuard buffers(objective_.network, options_.training);
  generation();
  if (micro_batch_ == 0) choose_micro_batch();
  const int64_t count = (samples() + micro_batch_ - 1) / micro_batch_;
  kept_.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    auto& slot = kept_[static_cast<size_t>(i)];
    const Tensor targets = batch(i).targets;
    if (slot) {
      visit(*slot, targets);
      continue;
    }
    const MemoryMeter meter;
    auto derivatives = make(i);
    visit(*derivatives, targets);
    // What lives now, after the first product, is what keeping costs; the transient part must fit
    // beside it.
    const int64_t live = meter.live(), transient = meter.peak() - live;
    if (product_ != Product::gradient && derivatives->worth_keeping() &&
        kept_bytes_ + live + transient <= budget_) {
      kept_bytes_ += live;
      slot = std::move(derivatives);
    }
  }
  if (options_.differentiation == Differentiation::finite_difference)
    stale();  // moved and put back
}

void Batches::check_finite_product(const Tensor& out, const Visit& visit) {
  if (std::isfinite(out.sum().item<double>()) || out.isfinite().all().item<bool>()) return;
  out.zero_();
  int64_t index = 0;
  for_each([&](BatchDerivatives& derivatives, const Tensor& targets) {
    visit(derivatives, targets);
    if (!out.isfinite().all().item<bool>()) {
      throw InvalidArgument("product", "finite values", "NaN or Inf", name_of(index));
    }
    ++index;
  });
}

}  // namespace ritz::nn::detail
