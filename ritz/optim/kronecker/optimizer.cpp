#include "ritz/optim/kronecker/optimizer.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/optim/detail/product.h"
#include "ritz/optim/detail/training_files.h"

namespace ritz::optim {

namespace {

constexpr const char* kBackend = "backend.";

/// c with X = c G^T A / scale to rounding, if there is one: both sides are applied to a random
/// vector y (Freivalds' check, 2 o i' + 2 b (o + i') flops). Where they agree X is G^T A / scale up
/// to rounding but for a set of y of measure zero.
std::optional<double> multiple_of_samples(const Tensor& X, const LayerSamples& samples) {
  RandomStream random(0, stream_id("kronecker/check"));
  const Tensor y = random.normal({X.size(1)}, X.options());
  const Tensor Ay = samples.inputs.mv(y);
  const Tensor left = X.mv(y);
  const Tensor right = samples.output_gradients.t().mv(Ay).div_(samples.scale);
  // |G|_F |A y| / scale bounds the sum of the absolute values of right's terms.
  const Tensor bound = samples.output_gradients.norm() * Ay.norm() / samples.scale;
  const Tensor all = at::stack({left.dot(right), right.dot(right), left.dot(left), bound})
                         .to(at::kDouble)
                         .contiguous();
  const double* v = all.const_data_ptr<double>();
  if (!(v[1] > 0) || !std::isfinite(v[0] + v[1] + v[2] + v[3])) return std::nullopt;
  const double c = v[0] / v[1];
  const double error = (left - c * right).norm().item<double>();
  const double eps = X.scalar_type() == at::kDouble ? 0x1p-52 : 0x1p-23;
  if (!(error <= 64 * eps * std::abs(c) * v[3])) return std::nullopt;
  return c;
}

/// |X| as `rescale` wants it. Row by row first: a single float32 sum over many entries loses
/// digits.
Tensor norm_of(const Tensor& X, bool bias, Rescale rescale) {
  const auto norm = [](const Tensor& part) { return at::linalg_vector_norm(part, 2, {1}).norm(); };
  if (rescale != Rescale::parts || !bias) return norm(X);
  return norm(X.narrow(1, 0, X.size(1) - 1)) + X.select(1, X.size(1) - 1).norm();
}

}  // namespace

Rescale parse_rescale(const std::string& name) {
  if (name == "layer") return Rescale::layer;
  if (name == "parts") return Rescale::parts;
  if (name == "kl-clip") return Rescale::kl_clip;
  if (name == "none") return Rescale::none;
  throw InvalidArgument("rescale", "layer, parts, kl-clip or none", name);
}

KroneckerOptimizer::KroneckerOptimizer(Method method, const nn::Network& network,
                                       std::unique_ptr<Optimizer> backend, KroneckerOptions options,
                                       dist::ProcessGroup* group)
    : Optimizer(std::vector<torch::optim::OptimizerParamGroup>{},
                backend ? backend->defaults().clone() : nullptr),
      method_(std::move(method)),
      backend_(std::move(backend)),
      options_(std::move(options)),
      group_(group),
      progress_(at::zeros({2}, at::kLong)) {
  if (!backend_) {
    throw InvalidArgument("backend", "a first-order optimiser", "none");
  }
  check_at_least("f", options_.f, 1);
  check_at_least("warmup", options_.warmup, 0);
  check_positive("kl_clip", options_.kl_clip);
  for (const auto& given : backend_->param_groups()) {
    add_param_group(given);
    param_groups_.back().set_options(given.options().clone());
  }
  auto found = find_kronecker_layers(network, options_.exclude);
  layers_ = std::move(found.layers);
  for (const auto& layer : layers_) {
    check_floating(layer.name(), layer.weight());
    reports_.push_back({.name = layer.name()});
  }
  if (!found.first_order.empty()) {
    std::string names;
    for (const auto& name : found.first_order) names += (names.empty() ? "" : ", ") + name;
    warn("first_order", method_.name + " trains these modules first-order: " + names);
  }
  arm();
}

KroneckerOptimizer::~KroneckerOptimizer() {
  for (const auto& layer : layers_) layer.capture(false);
}

int64_t KroneckerOptimizer::steps_done() const {
  return progress_.const_data_ptr<int64_t>()[0];
}

int64_t KroneckerOptimizer::steps_skipped() const {
  return progress_.const_data_ptr<int64_t>()[1];
}

bool KroneckerOptimizer::renews(int64_t step) const {
  if (retired_) return false;
  return step <= options_.warmup || (options_.f != kNever && (step - 1) % options_.f == 0);
}

void KroneckerOptimizer::arm() {
  const bool for_sandwich = method_.takes_sandwich && !several_ranks() && micro_batches_ == 1 &&
                            layers_[0].weight().is_cpu();
  const bool on = !retired_ && (for_sandwich || wants_samples(steps_done() + 1));
  for (const auto& layer : layers_) {
    layer.release();
    layer.capture(on);
  }
  samples_.clear();
  backward_ended_ = false;
}

void KroneckerOptimizer::begin_step(const StepView& view) {
  check_at_least("micro_batches", view.micro_batches, 1);
  micro_batches_ = view.micro_batches;
  arm();
}

void KroneckerOptimizer::set_loss_scale(double scale) {
  check_positive("loss_scale", scale);
  loss_scale_ = scale;
}

bool KroneckerOptimizer::gradients_are_finite() const {
  std::vector<Tensor> finite;
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      if (parameter.grad().defined()) finite.push_back(parameter.grad().isfinite().all());
    }
  }
  return finite.empty() || at::stack(finite).all().item<bool>();
}

void KroneckerOptimizer::unscale_gradients() {
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      if (parameter.grad().defined()) parameter.mutable_grad().div_(loss_scale_);
    }
  }
}

void KroneckerOptimizer::end_backward() {
  if (backward_ended_) return;
  backward_ended_ = true;
  times_ = {};
  if (retired_) return;
  const Timer timer;
  const at::NoGradGuard no_graph;
  const bool renewal = wants_samples(steps_done() + 1);
  std::string missing;
  for (const auto& layer : layers_) {
    samples_.push_back(layer.samples(micro_batches_, loss_scale_));
    layer.release();
    if (!samples_.back()) missing += (missing.empty() ? "" : ", ") + layer.name();
  }
  if (renewal) {
    if (!missing.empty() && !warned_of_missing_) {
      warned_of_missing_ = true;
      warn("no_samples", method_.name + ": no backward pass ran through " + missing + " in step " +
                             std::to_string(steps_done() + 1) + "; the factors stay");
    }
    if (loss_scale_ != 1 && !gradients_are_finite()) {
      for (auto& samples : samples_) {
        if (!samples) continue;
        const double nan = std::numeric_limits<double>::quiet_NaN();
        samples->inputs = at::full_like(samples->inputs, nan);
        samples->output_gradients = at::full_like(samples->output_gradients, nan);
      }
    }
    renew(samples_);
  }
  times_.factor = timer.seconds() - times_.reduce;
}

void KroneckerOptimizer::pass_options_on() {
  for (size_t k = 0; k < param_groups_.size(); ++k) {
    if (k == backend_->param_groups().size()) backend_->add_param_group(param_groups_[k]);
    backend_->param_groups()[k].set_options(param_groups_[k].options().clone());
  }
}

void KroneckerOptimizer::set_momentum(double momentum) {
  pass_options_on();
  backend_->set_momentum(momentum);
  for (size_t k = 0; k < param_groups_.size(); ++k) {
    param_groups_[k].set_options(backend_->param_groups()[k].options().clone());
  }
}

double KroneckerOptimizer::rate_of(const KroneckerLayer& layer) const {
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      if (parameter.is_same(layer.weight())) return group.options().get_lr();
    }
  }
  return 0;  // not trained
}

void KroneckerOptimizer::replace_gradients() {
  std::vector<Tensor> gradients;
  for (const auto& layer : layers_) gradients.push_back(layer.gradient());
  const std::vector<Tensor> hats = precondition(gradients);
  std::vector<Tensor> numbers;  // |dL/dX|, |D_hat|, <D_hat, dL/dX> of each; one copy to the host
  const Tensor zero = at::zeros({}, layers_[0].weight().options().requires_grad(false));
  for (size_t k = 0; k < layers_.size(); ++k) {
    const Tensor &X = gradients[k], &D = hats[k];
    const bool bias = layers_[k].bias().defined();
    numbers.push_back(X.defined() ? norm_of(X, bias, options_.rescale) : zero);
    numbers.push_back(D.defined() ? norm_of(D, bias, options_.rescale) : numbers.back());
    const bool product = D.defined() && options_.rescale == Rescale::kl_clip;
    numbers.push_back(product ? (D * X).sum() : zero);
  }
  const Tensor host = at::stack(numbers).to(at::kCPU, at::kDouble).contiguous();
  const double* v = host.const_data_ptr<double>();
  double quadratic = 0;
  for (size_t k = 0; k < layers_.size(); ++k) {
    reports_[k].gradient_norm = v[3 * k];
    reports_[k].preconditioned_norm = v[3 * k + 1];
    quadratic += v[3 * k + 2] * std::pow(rate_of(layers_[k]), 2);
  }
  const double nu = std::min(1.0, std::sqrt(options_.kl_clip / std::abs(quadratic)));
  for (size_t k = 0; k < layers_.size(); ++k) {
    const double g = v[3 * k], d = v[3 * k + 1];
    // A direction that vanished or left the finite numbers is none: the gradient stays.
    if (!hats[k].defined() || !(d > 0) || !std::isfinite(d) || !(g > 0)) continue;
    const double scale = options_.rescale == Rescale::none      ? 1
                         : options_.rescale == Rescale::kl_clip ? nu
                                                                : g / d;
    layers_[k].set_gradient(hats[k], scale);
  }
}

Tensor KroneckerOptimizer::step(LossClosure closure) {
  Tensor loss;
  if (closure) {
    const at::AutoGradMode with_graph(true);
    loss = closure();
    if (wants_loss()) observe_loss(loss.item<double>());
  }
  const at::NoGradGuard no_graph;
  end_backward();
  pass_options_on();
  auto* progress = progress_.data_ptr<int64_t>();
  bool whole = true;
  if (loss_scale_ != 1) {
    unscale_gradients();
    whole = gradients_are_finite();
  }
  if (whole) {
    if (!retired_) timed(times_.precondition, [&] { replace_gradients(); });
    timed(times_.update, [&] { backend_->step(); });
  } else {
    ++progress[1];
  }
  ++progress[0];
  arm();
  return loss;
}

void KroneckerOptimizer::retire() {
  retired_ = true;
  arm();
}

void KroneckerOptimizer::revive() {
  retired_ = false;
  arm();
}

std::optional<KroneckerOptimizer::Batch> KroneckerOptimizer::batch_behind(size_t k,
                                                                          const Tensor& X) const {
  if (several_ranks() || !X.is_cpu() || k >= samples_.size() || !samples_[k]) return std::nullopt;
  const LayerSamples& samples = *samples_[k];
  const auto b = static_cast<double>(samples.inputs.size(0));
  const auto o = static_cast<double>(X.size(0)), i = static_cast<double>(X.size(1));
  if (b * (o * o + i * i + o * i) >= o * i * (o + i)) return std::nullopt;
  const auto c = multiple_of_samples(X, samples);
  if (!c) return std::nullopt;
  return Batch{samples.inputs, samples.output_gradients, *c / samples.scale};
}

Tensor KroneckerOptimizer::sandwich(size_t k, const Tensor& L, const Tensor& X, const Tensor& R) {
  const auto batch = batch_behind(k, X);
  if (!batch) return detail::times_factor(detail::factor_times(L, X), R);
  const Tensor left = detail::times_factor(batch->output_gradients, L);  // [b, o]
  const Tensor right = detail::times_factor(batch->inputs, R);           // [b, i']
  return detail::product(left.mul_(batch->weight).t(), right);
}

std::vector<NamedTensor> KroneckerOptimizer::state_dict() {
  std::vector<NamedTensor> state{{"progress", progress_}};
  const auto own = factors();
  state.insert(state.end(), own.begin(), own.end());
  pass_options_on();
  detail::append_with_prefix(state, kBackend, backend_->state_dict());
  return state;
}

void KroneckerOptimizer::load_state_dict(const std::vector<NamedTensor>& state) {
  prepare_to_load(state);
  assign_state(state_dict(), state);
  loaded();
  arm();
}

Statistics KroneckerOptimizer::statistics() const {
  Statistics all = method_statistics();
  all.insert(all.end(), {{"seconds_reduce", times_.reduce},
                         {"seconds_factor", times_.factor},
                         {"seconds_precondition", times_.precondition},
                         {"seconds_update", times_.update}});
  return all;
}

std::vector<LayerReport> KroneckerOptimizer::report() const {
  auto reports = reports_;
  complete_report(reports);
  return reports;
}

}  // namespace ritz::optim
