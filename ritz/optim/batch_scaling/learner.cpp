#include "ritz/optim/batch_scaling/learner.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"
#include "ritz/krylov/lanczos.h"

namespace ritz::optim {
namespace {

constexpr double kFloor = 1e-3;  // of l relative to L
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool usable(double x) {
  return std::isfinite(x) && x > 0;
}

}  // namespace

FloorRule parse_floor_rule(const std::string& name) {
  if (name == "wpos") return FloorRule::positive_mean;
  if (name == "pos") return FloorRule::smallest_positive;
  if (name == "edge") return FloorRule::bulk_edge;
  throw InvalidArgument("floor", "wpos, pos or edge", name);
}

CurvatureRange curvature_range(const ProbeQuadrature& quadrature, FloorRule rule) {
  const auto& theta = quadrature.nodes;
  if (theta.empty()) throw InvalidArgument("quadrature", "at least one node", "none");
  const double L = std::max(theta.back(), -theta.front());
  double l = 0;
  switch (rule) {
    case FloorRule::positive_mean:
      for (size_t k = 0; k < theta.size(); ++k)
        l += quadrature.weights[k] * std::max(theta[k], 0.0);
      break;
    case FloorRule::smallest_positive: {
      const auto above = std::upper_bound(theta.begin(), theta.end(), kFloor * L);
      if (above != theta.end()) l = *above;
      break;
    }
    case FloorRule::bulk_edge:
      l = std::abs(theta.front());
      break;
  }
  return {L, std::max(l, kFloor * L)};
}

HeavyBall heavy_ball(const CurvatureRange& range, double safety, double cap) {
  check_positive("L", range.largest);
  check_in("l", range.smallest, 0, range.largest);
  check_positive("safety", safety);
  check_in("cap", cap, 0, 1);
  const double L = std::sqrt(range.largest), l = std::sqrt(range.smallest);
  const double rho = std::min(std::pow((L - l) / (L + l), 2), cap);
  const double alpha = safety * std::min(std::pow(2 / (L + l), 2), 2 * (1 + rho) / range.largest);
  return {alpha, rho};
}

SpectralLearner::SpectralLearner(const nn::Network& network, const nn::Loss& loss,
                                 const Split& data, dist::ProcessGroup& group,
                                 LearnerOptions options)
    : objective_{network, loss, data.inputs, data.targets},
      group_(&group),
      options_(std::move(options)) {
  const int64_t N = data.inputs.defined() ? data.inputs.size(0) : 0;
  check_at_least("data", N, 1);
  check_range("batch", options_.batch, 1, N);
  check_at_least("every", options_.every, 0);
  check_range("sample", options_.sample, 0, N);
  check_at_least("steps", options_.steps, 1);
  check_positive("safety", options_.safety);
  check_in("cap", options_.cap, 0, 1);
  check_in("smoothing", options_.smoothing, 0, 1);
  if (options_.momentum) check_in("momentum", *options_.momentum, 0, 1);
  objective_.loss.mean = true;
  if (options_.sample == 0) options_.sample = options_.batch;
  const int64_t epoch = std::max<int64_t>(1, N / options_.batch);
  every_ = options_.every > 0 ? options_.every
           : options_.cauchy  ? epoch
                              : std::max<int64_t>(1, N / (2 * options_.batch));
  if (options_.cauchy) first_ = epoch + 1;
  momentum_ = options_.momentum;
}

// log-EMA of both ends; L never below what was just seen, since a step that is too long now does
// harm that the next call cannot undo.
HeavyBall SpectralLearner::update(const CurvatureRange& seen) {
  if (smoothed_.largest > 0) {
    const double w = options_.smoothing;
    const auto mix = [w](double old, double now) {
      return std::exp((1 - w) * std::log(old) + w * std::log(now));
    };
    smoothed_ = {std::max(mix(smoothed_.largest, seen.largest), seen.largest),
                 mix(smoothed_.smallest, seen.smallest)};
  } else {
    smoothed_ = seen;
  }
  return heavy_ball(smoothed_, options_.safety, options_.cap);
}

void SpectralLearner::look(int64_t call) {
  const int64_t N = objective_.inputs.size(0);
  RandomStream random(options_.seed, stream_id("learner/rows", static_cast<uint64_t>(call)));
  const auto part =
      options_.sample == N ? objective_ : nn::subset(objective_, random.sample(N, options_.sample));
  const nn::CurvatureOptions memory{.memory_limit = options_.memory_limit};
  const auto curvature = options_.ggn ? nn::ggn(part, memory) : nn::hessian(part, memory);
  if (options_.cauchy) {
    const Tensor g = nn::gradient(part);
    const double rate = (g.dot(g).to(torch::kFloat64) / g.dot(curvature->apply(g))).item<double>();
    if (usable(rate))
      lr_ = rate;
    else
      ++kept_;
    return;
  }
  const auto run =
      lanczos(*curvature, {.steps = options_.steps, .seed = options_.seed, .first_probe = call});
  const auto seen = curvature_range(gauss_quadrature(run.T.front()), options_.floor);
  if (!usable(seen.largest)) {
    ++kept_;
    return;
  }
  const auto next = update(seen);
  lr_ = next.lr;
  if (!options_.momentum) momentum_ = next.momentum;
}

void SpectralLearner::before_step(int64_t step, Controls& controls) {
  if (step >= first_ && (step - first_) % every_ == 0) {
    std::string failure;
    if (group_->rank() == 0) {
      try {
        look((step - first_) / every_);
      } catch (const NotConverged&) {
        ++kept_;  // a product that is not finite
      } catch (const InvalidArgument&) {
        ++kept_;  // a loss that is not finite: the training loop will see it too
      } catch (const std::exception& error) {
        failure = error.what();
      }
    }
    // The others learn of a failure too, so that none waits for a rank that has gone.
    Tensor decision =
        torch::cat({pack(), torch::tensor({failure.empty() ? 0.0 : 1.0}, torch::kFloat64)});
    group_->broadcast(decision);
    if (decision[-1].item<double>() != 0)
      throw NotConverged("learner: " + (failure.empty() ? "failed on rank 0" : failure));
    unpack(decision.slice(0, 0, -1));
  }
  if (lr_) controls.lr = *lr_;
  if (momentum_) controls.momentum = momentum_;
}

// [L, l, lr, momentum, kept] in float64, NaN for what is not decided yet.
Tensor SpectralLearner::pack() const {
  return torch::tensor({smoothed_.largest, smoothed_.smallest, lr_.value_or(kNaN),
                        momentum_.value_or(kNaN), static_cast<double>(kept_)},
                       torch::kFloat64);
}

void SpectralLearner::unpack(const Tensor& packed) {
  const auto at = packed.accessor<double, 1>();
  const auto decided = [&](int k) {
    return std::isnan(at[k]) ? std::optional<double>() : std::optional<double>(at[k]);
  };
  smoothed_ = {at[0], at[1]};
  lr_ = decided(2);
  momentum_ = decided(3);
  kept_ = static_cast<int64_t>(at[4]);
}

Statistics SpectralLearner::statistics() const {
  return {{"L", smoothed_.largest},
          {"l", smoothed_.smallest},
          {"learner_lr", lr_.value_or(kNaN)},
          {"momentum", momentum_.value_or(kNaN)}};
}

std::vector<NamedTensor> SpectralLearner::state_dict() {
  return {{"learner", pack()}};
}

void SpectralLearner::load_state_dict(const std::vector<NamedTensor>& state) {
  for (const auto& tensor : state)
    if (tensor.name == "learner") {
      if (tensor.value.sizes() != at::IntArrayRef{5} || tensor.value.dtype() != torch::kFloat64)
        throw DataError("learner", "float64 [5]", "another shape or dtype", "checkpoint");
      unpack(tensor.value.cpu());
      return;
    }
  throw DataError("learner", "a tensor of this name", "none", "checkpoint");
}

}  // namespace ritz::optim
