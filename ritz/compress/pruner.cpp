#include "ritz/compress/pruner.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <set>

#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/memory.h"
#include "ritz/base/random.h"
#include "ritz/compress/obs.h"

namespace ritz::compress {

namespace {

constexpr int64_t kWidestDense = 16384;  // 2 GiB in float64

c10::ScalarType storage_type(const std::string& name, c10::ScalarType full) {
  if (name == "full") return full;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  throw InvalidArgument("storage", "full, bfloat16 or float16", name);
}

std::vector<Tensor> values_of(const std::vector<nn::NamedTensor>& weights) {
  std::vector<Tensor> values;
  for (const auto& weight : weights) values.push_back(weight.value);
  return values;
}

}  // namespace

PruneMethod parse_prune_method(const std::string& name) {
  if (name == "mfac") return PruneMethod::mfac;
  if (name == "woodfisher") return PruneMethod::woodfisher;
  if (name == "obd") return PruneMethod::obd;
  if (name == "magnitude") return PruneMethod::magnitude;
  throw InvalidArgument("method", "mfac, woodfisher, obd or magnitude", name);
}

Pruner::Pruner(nn::Network network, const nn::Loss& loss, optim::Split data,
               const PrunerOptions& options)
    : network_(std::move(network)), loss_(loss), data_(std::move(data)), options_(options) {
  check_at_least("gradients", options.gradients, 1);
  check_at_least("gradient_batch", options.gradient_batch, 1);
  check_at_least("block", options.block, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
  check_positive("damping", options.damping);
  if (options.method != PruneMethod::magnitude) check_curvature();
  loss_.mean = true;
  network_.options();                     // all parameters of one kind
  std::set<const c10::TensorImpl*> seen;  // tied weights count once
  std::vector<Tensor> kept;
  for (const auto& parameter : network_.parameters) {
    if (parameter.value.dim() < 2 || parameter.value.numel() == 0) continue;
    if (!seen.insert(parameter.value.unsafeGetTensorImpl()).second) continue;
    weights_.push_back(parameter);
    kept.push_back(parameter.value.detach().reshape(-1).ne(0));
  }
  if (weights_.empty()) {
    throw InvalidArgument("network", "a weight matrix or kernel to prune",
                          "none in " + network_.description);
  }
  keep_ = at::cat(kept);
}

/// What can be seen before the first gradient.
void Pruner::check_curvature() {
  if (options_.method == PruneMethod::woodfisher &&
      (options_.block == 0 || options_.block > kWidestDense)) {
    throw InvalidArgument(
        "block", "a width up to " + std::to_string(kWidestDense) + " for WoodFisher's dense blocks",
        options_.block == 0 ? "none" : std::to_string(options_.block));
  }
  const int64_t samples = data_.inputs.size(0), batch = options_.gradient_batch;
  const int64_t there = samples / batch;
  if (there < options_.gradients && (!options_.allow_fewer || there == 0)) {
    throw DataError("gradients",
                    std::to_string(options_.gradients) + " batches of " + std::to_string(batch) +
                        " samples; take fewer or smaller ones, or allow fewer",
                    std::to_string(there) + " in " + std::to_string(samples) + " samples");
  }
  options_.gradients = std::min(options_.gradients, there);
}

int64_t Pruner::zeros() const {
  return weights() - keep_.sum().item<int64_t>();
}

Tensor Pruner::gather(const Tensor& active) const {
  std::vector<Tensor> flat;
  for (const auto& weight : weights_) flat.push_back(weight.value.detach().reshape(-1));
  return at::cat(flat).index_select(0, active);
}

/// Survivors in each tensor, where blocks are to stay within them.
std::vector<int64_t> Pruner::segments() const {
  std::vector<int64_t> lengths;
  int64_t begin = 0;
  if (!options_.block_per_tensor) return lengths;
  for (const auto& weight : weights_) {
    const int64_t n = weight.value.numel();
    lengths.push_back(keep_.narrow(0, begin, n).sum().item<int64_t>());
    begin += n;
  }
  return lengths;
}

/// m gradients of the mean loss over mini-batches, of the surviving weights alone: [m, active].
Tensor Pruner::collect(const Tensor& active, uint64_t round) const {
  const int64_t samples = data_.inputs.size(0), batch = options_.gradient_batch;
  const int64_t m = options_.gradients, d = active.size(0);
  const auto type = storage_type(options_.storage, weights_.front().value.scalar_type());
  const int64_t bytes = m * d * static_cast<int64_t>(c10::elementSize(type));
  int64_t limit = options_.memory_limit;
  if (limit == 0 && active.is_cpu()) limit = available_memory() / 5 * 4;
  if (limit > 0 && bytes > limit) {
    throw InvalidArgument("gradients",
                          "at most " + std::to_string(limit) +
                              " bytes; take fewer gradients, or half precision for them",
                          std::to_string(m) + " of " + std::to_string(d) + " weights, " +
                              std::to_string(bytes) + " bytes");
  }

  const nn::ModeGuard evaluation(network_, false);
  const Tensor rows = RandomStream(options_.seed, stream_id("prune/gradients", round))
                          .sample(samples, m * batch)
                          .to(data_.inputs.device());
  const auto values = values_of(weights_);
  const bool all = d == weights();
  Tensor G = at::empty({m, d}, active.options().dtype(type));
  Tensor flat = at::empty({weights()}, active.options().dtype(values[0].scalar_type()));
  for (int64_t i = 0; i < m; ++i) {
    check_interrupt("collecting gradients");
    const Tensor picked = rows.narrow(0, i * batch, batch);
    std::vector<Tensor> gradients;
    {
      const at::AutoGradMode with_graph(true);
      const Tensor outputs = network_.forward(data_.inputs.index_select(0, picked));
      const Tensor loss = loss_(outputs, data_.targets.index_select(0, picked));
      gradients = torch::autograd::grad({loss}, values, {}, false, false, /*allow_unused=*/true);
    }
    const at::NoGradGuard no_graph;
    int64_t begin = 0;
    for (size_t k = 0; k < values.size(); ++k) {
      const Tensor to = flat.narrow(0, begin, values[k].numel());
      begin += values[k].numel();
      if (gradients[k].defined()) {
        to.copy_(gradients[k].reshape(-1));
      } else {
        to.zero_();
      }
    }
    G[i].copy_(all ? flat : flat.index_select(0, active));
  }
  return G;
}

PruneReport Pruner::prune(int64_t zeros, uint64_t round) {
  const int64_t now = this->zeros(), drop = zeros - now;
  check_range("zeros", zeros, now, weights());
  PruneReport report{.zeros = zeros};
  const Tensor active = keep_.nonzero().squeeze(1);
  const at::NoGradGuard no_graph;
  const Tensor w = gather(active);
  Tensor dropped, change;
  if (drop == 0) return report;
  if (options_.method == PruneMethod::magnitude) {
    dropped = smallest(w.abs(), drop);
  } else {
    const Tensor G = collect(active, round);
    report.gradients = G.size(0);
    if (options_.method == PruneMethod::obd) {
      const Tensor squares = at::zeros_like(w);
      for (int64_t i = 0; i < G.size(0); ++i) squares.add_(G[i].to(w.scalar_type()).square());
      const Tensor score =
          w.square() * (squares / static_cast<double>(G.size(0)) + options_.damping) / 2;
      check_finite("gradients", score);
      dropped = smallest(score, drop);
      report.predicted = score.index_select(0, dropped).sum(at::kDouble).item<double>();
    } else {
      const bool dense = options_.method == PruneMethod::woodfisher;
      // V takes the place of G; the joint update needs G, and half precision has no room for V.
      const bool in_place = !dense && !options_.joint && G.scalar_type() == w.scalar_type();
      const optim::InverseFisherOptions options{
          .damping = options_.damping,
          .block = options_.block,
          .segments = segments(),
          .form = dense ? optim::FisherForm::recursion : optim::FisherForm::automatic,
          .store = dense || in_place ? optim::FisherStore::automatic : optim::FisherStore::pages,
          .compute = w.scalar_type(),
          .overwrite = in_place};
      const optim::InverseFisher inverse(G, options);
      const Tensor diagonal = inverse.diagonal();
      dropped = smallest(saliencies(w, diagonal), drop);
      const ObsUpdate update = options_.joint ? joint_update(G, options, w, dropped)
                                              : independent_update(inverse, diagonal, w, dropped);
      change = update.change;
      report.predicted = update.predicted;
    }
  }
  keep_.index_fill_(0, active.index_select(0, dropped), false);
  if (change.defined()) {
    Tensor flat = at::zeros({weights()}, w.options()).index_copy_(0, active, change);
    int64_t begin = 0;
    for (const auto& weight : weights_) {
      weight.value.add_(flat.narrow(0, begin, weight.value.numel()).view(weight.value.sizes()));
      begin += weight.value.numel();
    }
  }
  apply_masks();
  return report;
}

void Pruner::apply_masks() {
  const at::NoGradGuard no_graph;
  int64_t begin = 0;
  for (const auto& weight : weights_) {
    const Tensor kept = keep_.narrow(0, begin, weight.value.numel()).view(weight.value.sizes());
    // Not a product: -0 and NaN times 0 are not 0.
    weight.value.masked_fill_(kept.logical_not(), 0);
    begin += weight.value.numel();
  }
}

std::vector<nn::NamedTensor> Pruner::masks() const {
  std::vector<nn::NamedTensor> all;
  int64_t begin = 0;
  for (const auto& [name, value] : weights_) {
    all.push_back({name, keep_.narrow(0, begin, value.numel()).view(value.sizes()).to(at::kByte)});
    begin += value.numel();
  }
  return all;
}

void Pruner::set_masks(const std::vector<nn::NamedTensor>& masks) {
  auto own = this->masks();
  optim::assign_state(own, masks);
  std::vector<Tensor> flat;
  for (const auto& mask : own) flat.push_back(mask.value.reshape(-1).to(at::kBool));
  keep_ = at::cat(flat);
}

}  // namespace ritz::compress
