#include "ritz/optim/window_optimizer.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"

namespace ritz::optim {

/// visit(parameter, its place in w, its group's options)
template <class F>
void WindowOptimizer::each_parameter(const F& visit) {
  int64_t begin = 0;
  for (auto& group : param_groups_) {
    for (Tensor& parameter : group.params()) {
      visit(parameter, begin, group.options());
      begin += parameter.numel();
    }
  }
}

void WindowOptimizer::start(const GradientWindowOptions& options, bool sparse) {
  const at::NoGradGuard no_graph;
  int64_t all = 0;
  TensorOptions tensor;
  std::vector<Tensor> kept;
  each_parameter([&](const Tensor& parameter, int64_t begin, const GroupBase&) {
    check_floating("parameters", parameter);
    if (begin == 0) tensor = TensorOptions(parameter.scalar_type()).device(parameter.device());
    check_options("parameters", parameter, tensor);
    all = begin + parameter.numel();
    const Tensor values = parameter.detach().reshape(-1);
    const Tensor moves =
        sparse && parameter.dim() > 1 ? values.ne(0) : at::ones_like(values, at::kBool);
    kept.push_back(moves.nonzero().squeeze(1) + begin);
  });
  if (all == 0) throw InvalidArgument("parameters", "at least one number", "none");
  int64_t d = all;
  if (sparse) {
    active_ = at::cat(kept);
    d = active_.numel();
  }
  window_.emplace(d, tensor, options);
  flat_ = at::zeros({all}, tensor);
  g_ = sparse ? at::zeros({d}, tensor) : flat_;
  u_ = at::zeros({d}, tensor);
  gram_ = at::zeros({options.m, options.m}, at::kDouble);
  steps_ = at::zeros({}, at::kLong);
}

int64_t WindowOptimizer::filled() const {
  return std::min(*steps_.const_data_ptr<int64_t>(), window_->capacity());
}

/// g_ <- the gradient with weight decay, of the parameters that move.
void WindowOptimizer::gather() {
  int64_t all = 0;
  each_parameter([&](const Tensor& parameter, int64_t begin, const GroupBase& options) {
    all = begin + parameter.numel();
    if (all > flat_.numel()) return;
    const Tensor to = flat_.narrow(0, begin, parameter.numel()).view(parameter.sizes());
    const Tensor& gradient = parameter.grad();
    if (!gradient.defined()) {
      to.zero_();
      return;
    }
    if (gradient.is_sparse()) throw Unsupported("gradient: a sparse one, expected a dense one");
    to.copy_(gradient);
    const double decay = rates(options).weight_decay;
    if (decay != 0) to.add_(parameter, decay);
  });
  if (all != flat_.numel()) {
    throw InvalidArgument(
        "parameters",
        "the " + std::to_string(flat_.numel()) + " numbers that the window was made for",
        std::to_string(all));
  }
  if (active_.defined()) at::index_select_out(g_, flat_, 0, active_);
}

/// w <- w - lr v from the direction in flat_.
void WindowOptimizer::apply() {
  if (active_.defined()) {
    flat_.zero_().index_copy_(0, active_, u_);
  } else {
    flat_.copy_(u_);
  }
  each_parameter([&](const Tensor& parameter, int64_t begin, const GroupBase& options) {
    if (!parameter.grad().defined()) return;
    const Rates rate = rates(options);
    Tensor step = flat_.narrow(0, begin, parameter.numel());
    if (rate.momentum != 0) {
      if (!velocity_.defined()) velocity_ = at::zeros_like(flat_);
      const Tensor v = velocity_.narrow(0, begin, parameter.numel());
      v.mul_(rate.momentum).add_(step, 1 - rate.momentum);
      step = v;
    }
    parameter.sub_(step.view(parameter.sizes()), rate.lr);
  });
}

Tensor WindowOptimizer::step(LossClosure closure) {
  Tensor loss;
  if (closure) {
    const at::AutoGradMode with_graph(true);
    loss = closure();
  }
  const at::NoGradGuard no_graph;
  gather();
  int64_t& steps = *steps_.mutable_data_ptr<int64_t>();
  const int64_t row = steps % window_->capacity();
  const double norm = g_.norm().item<double>();
  if (!std::isfinite(norm)) {
    throw InvalidArgument(
        "gradient", "finite numbers", "NaN or Inf",
        "row " + std::to_string(row) + " of the window, step " + std::to_string(steps + 1));
  }
  ++steps;
  window_->replace(row, g_);
  const Tensor s = window_->dots(g_);
  gram_[row].copy_(s);
  gram_.select(1, row).copy_(s);
  const Direction chosen = direction(gram_, row, s);
  if (chosen.e.defined()) {
    window_->combine(g_, chosen.scale, chosen.e, u_);
  } else {
    at::mul_out(u_, g_, at::scalar_tensor(chosen.scale, g_.options()));
  }
  gradient_norm_ = norm;
  direction_norm_ = u_.norm().item<double>();
  apply();
  return loss;
}

std::vector<NamedTensor> WindowOptimizer::small_state() {
  std::vector<NamedTensor> state{{"step", steps_}, {"gram", gram_}};
  bool momentum = false;
  for (auto& group : param_groups_) momentum = momentum || rates(group.options()).momentum != 0;
  if (momentum && !velocity_.defined()) velocity_ = at::zeros_like(flat_);
  if (momentum) state.push_back({"velocity", velocity_});
  for (auto& each : own_state()) state.push_back(std::move(each));
  return state;
}

std::vector<NamedTensor> WindowOptimizer::state_dict() {
  auto state = small_state();
  for (auto& each : window_->state()) state.push_back(std::move(each));
  return state;
}

void WindowOptimizer::load_state_dict(const std::vector<NamedTensor>& given) {
  // Copied by name into tensors that stand for the whole window: this rank's share is part of it.
  auto state = small_state();
  const auto window = window_->state();
  const Tensor rows = at::empty_like(window[0].value), scales = at::empty_like(window[1].value);
  state.push_back({window[0].name, rows});
  state.push_back({window[1].name, scales});
  assign_state(state, given);
  window_->set_state(rows, scales);
  restored(gram_);
}

Statistics WindowOptimizer::statistics() const {
  return {{"window", static_cast<double>(filled())},
          {"gradient_norm", gradient_norm_},
          {"direction_norm", direction_norm_}};
}

}  // namespace ritz::optim
