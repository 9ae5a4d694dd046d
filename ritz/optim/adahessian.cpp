#include "ritz/optim/adahessian.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/base/timer.h"
#include "ritz/nn/detail/chain_kernels.h"
#include "ritz/nn/detail/double_backward.h"
#include "ritz/optim/detail/adahessian_kernels.h"
#include "ritz/optim/detail/fused.h"

namespace ritz::optim {

namespace {

void check(const AdaHessianOptions& o) {
  check_non_negative("lr", o.lr);
  check_rate("beta1", o.beta1);
  check_rate("beta2", o.beta2);
  check_non_negative("eps", o.eps);
  check_in("k", o.k, 0, 1);
  check_non_negative("weight_decay", o.weight_decay);
  check_at_least("block", o.block.size, 1);
  check_non_negative("cap", o.cap);
  check_non_negative("clip", o.clip);
}

HessianSchedule checked(const HessianSchedule& s) {
  check_at_least("f", s.f, 1);
  check_at_least("warmup", s.warmup, 0);
  check_at_least("probes", s.probes, 1);
  check_at_least("warm_samples", s.warm_samples, 1);
  return s;
}

/// Of the multiply-adds of gradient and product in one pass, 9 a weight and sample, 3 are the
/// gradient's.
constexpr double kShareBeyondGradient = 6.0 / 9.0;

/// All rules are means over so many consecutive entries, row by row.
int64_t block_length(const Tensor& parameter, const HessianBlock& block) {
  const int64_t rank = parameter.dim(), n = parameter.numel();
  if (rank < 2 || n == 0) return 1;
  switch (block.rule) {
    case HessianBlock::Rule::kernel:
      return rank == 2 ? 1 : n / (parameter.size(0) * parameter.size(1));
    case HessianBlock::Rule::row:
      return n / parameter.size(0);
    case HessianBlock::Rule::chunk:
      return std::min(n, block.size);
    case HessianBlock::Rule::none:
      break;
  }
  return 1;
}

int64_t block_count(const Tensor& parameter, int64_t block) {
  return (parameter.numel() + block - 1) / block;
}

/// [n] -> [blocks]: means over consecutive blocks.
Tensor means_over(const Tensor& flat, int64_t block) {
  if (block == 1) return flat;
  const int64_t whole = flat.size(0) / block * block;
  Tensor means = flat.narrow(0, 0, whole).view({-1, block}).mean(1);
  if (whole == flat.size(0)) return means;
  return at::cat({means, flat.narrow(0, whole, flat.size(0) - whole).mean().unsqueeze(0)});
}

/// [blocks] -> the parameter's shape.
Tensor spread(const Tensor& of_blocks, int64_t block, const Tensor& parameter) {
  if (block == 1) return of_blocks.view(parameter.sizes());
  return of_blocks.repeat_interleave(block).narrow(0, 0, parameter.numel()).view(parameter.sizes());
}

/// sums += scale * block means of |h|, or of z h where z is given.
void add_means(const Tensor& sums, const Tensor& h, const Tensor& z, int64_t block, double scale) {
  const Tensor& second = z.defined() ? z : h;
  Tensor means = at::empty_like(sums);
  const bool fused = detail::run_fused({&h, &second, &means}, [&](auto zero) {
    using T = decltype(zero);
    detail::hessian_block_means<T>(h.const_data_ptr<T>(),
                                   z.defined() ? z.const_data_ptr<T>() : nullptr,
                                   means.data_ptr<T>(), h.numel(), block, scale);
  });
  if (!fused) means = means_over((z.defined() ? z * h : h.abs()).flatten(), block) * scale;
  sums.add_(means);
}

/// The largest sizes of `direction` cut, as options say.
void limit(Tensor& direction, const AdaHessianOptions& o) {
  if (o.cap > 0) {
    const Tensor most = direction.abs().median() * o.cap;
    direction = direction.clamp(-most, most);
  }
  if (o.clip > 0) {
    const Tensor size = direction.square().mean().sqrt();
    direction.mul_((o.clip / size).clamp_max(1));  // 0 / 0 is NaN only where all is 0
    direction.nan_to_num_();
  }
}

int64_t& count(const Tensor& counter) {
  return *counter.data_ptr<int64_t>();
}

/// Moves parameters and puts their bits back.
class Excursion {
 public:
  explicit Excursion(const std::vector<Tensor>& parameters) : parameters_(parameters) {
    for (const Tensor& each : parameters) start_.push_back(each.detach().clone());
  }
  ~Excursion() { go({}, 0); }
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;

  void go(const std::vector<Tensor>& z, double distance) const {
    const at::NoGradGuard no_graph;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      Tensor there = parameters_[i].detach();
      there.copy_(start_[i]);
      if (!z.empty()) there.add_(z[i], distance);
    }
  }
  /// max(1, rms w)
  double scale() const {
    double squares = 0, n = 0;
    for (const Tensor& each : start_) {
      squares += each.square().sum(at::kDouble).item<double>();
      n += static_cast<double>(each.numel());
    }
    return std::max(1.0, std::sqrt(squares / std::max(1.0, n)));
  }

 private:
  const std::vector<Tensor>& parameters_;
  std::vector<Tensor> start_;
};

std::vector<Tensor> difference_products(const Pass& pass, const std::vector<Tensor>& parameters,
                                        const std::vector<Tensor>& z) {
  if (!pass.again) {
    throw InvalidArgument("again", "a function that makes the loss anew, for finite differences",
                          "none");
  }
  const Excursion excursion(parameters);
  const bool wide = parameters[0].scalar_type() == at::kDouble;
  const double e = (wide ? 1e-5 : 1e-3) * excursion.scale();
  const auto gradient_at = [&](double distance) {
    excursion.go(z, distance);
    return torch::autograd::grad({pass.again()}, parameters, {}, false, false, true);
  };
  std::vector<Tensor> h = gradient_at(e);
  const std::vector<Tensor> below = gradient_at(-e);
  for (size_t i = 0; i < h.size(); ++i) {
    if (h[i].defined()) h[i] = (h[i] - below[i]).div_(2 * e);
  }
  return h;
}

/// J^T H_L J z: J z is the derivative by u of (J^T u) . z, which is linear in u.
std::vector<Tensor> gauss_newton_products(const Pass& pass, const std::vector<Tensor>& parameters,
                                          const std::vector<Tensor>& z) {
  if (!pass.outputs.defined() || pass.rule == nullptr) {
    throw InvalidArgument("outputs", "the network's outputs and their loss, for Gauss-Newton",
                          "none");
  }
  const Tensor u = at::zeros_like(pass.outputs.detach()).requires_grad_();
  std::vector<Tensor> first, seeds;
  const auto transposed =
      torch::autograd::grad({pass.outputs}, parameters, {u}, true, true, /*allow_unused=*/true);
  for (size_t i = 0; i < transposed.size(); ++i) {
    if (!transposed[i].defined() || !transposed[i].requires_grad()) continue;
    first.push_back(transposed[i]);
    seeds.push_back(z[i]);
  }
  const Tensor Jz = nn::detail::differentiate_again(first, {u}, seeds, true)[0];
  const double n = static_cast<double>(pass.outputs.size(0));
  const Tensor w = pass.rule->output_hessian_product(pass.outputs.detach(), Jz) *
                   (pass.rule->mean ? pass.weight / n : pass.weight);
  return torch::autograd::grad({pass.outputs}, parameters, {w}, true, false,
                               /*allow_unused=*/true);
}

}  // namespace

AdaHessian::AdaHessian(std::vector<Tensor> parameters, AdaHessianOptions options,
                       HessianSchedule schedule, dist::ProcessGroup* group)
    : AdaHessian(ParameterGroups{{std::move(parameters)}}, options, schedule, group) {}

AdaHessian::AdaHessian(const ParameterGroups& groups, AdaHessianOptions options,
                       HessianSchedule schedule, dist::ProcessGroup* group)
    : Typed(groups, options, check),
      schedule_(checked(schedule)),
      group_(group),
      step_(at::zeros({}, at::kLong)),
      skipped_(at::zeros({2}, at::kLong)) {}

int64_t AdaHessian::now() const {
  return *step_.const_data_ptr<int64_t>() + 1;
}

bool AdaHessian::looks(int64_t step) const {
  return step <= schedule_.warmup || (step - 1) % schedule_.f == 0;
}

void AdaHessian::extend_state() {
  size_t index = 0;
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      if (index++ < states_.size()) continue;
      const int64_t blocks =
          block_count(parameter, block_length(parameter, values(group.options()).block));
      const auto options = parameter.options().requires_grad(false);
      states_.push_back({.steps = at::zeros({}, at::kLong),
                         .updates = at::zeros({}, at::kLong),
                         .exp_avg = at::zeros_like(parameter.detach()),
                         .exp_hessian_sq = at::zeros({blocks}, options),
                         .diagonal = schedule_.f > 1 && !schedule_.hold
                                         ? at::zeros({blocks}, options)
                                         : Tensor()});
    }
  }
}

std::vector<AdaHessian::Slot> AdaHessian::slots() {
  extend_state();
  std::vector<Slot> all;
  size_t index = 0;
  for (const auto& group : param_groups_) {
    for (const Tensor& parameter : group.params()) {
      ParameterState& state = states_[index++];
      if (!parameter.requires_grad()) continue;
      const int64_t block = block_length(parameter, values(group.options()).block);
      all.push_back({parameter, &values(group.options()), &state, block});
    }
  }
  return all;
}

void AdaHessian::backward(const Pass& pass) {
  if (!pass.loss.defined() || !pass.loss.requires_grad()) {
    throw InvalidArgument("loss", "a tensor with its graph", "one without");
  }
  if (products_.empty()) seconds_ = 0;
  const at::AutoGradMode with_graph(true);
  if (!looks(now())) {
    pass.loss.backward();
    return;
  }
  std::vector<Tensor> parameters;
  for (const Slot& slot : slots()) parameters.push_back(slot.parameter);
  const bool twice = schedule_.products == HessianProducts::double_backward;
  const bool keep = schedule_.products != HessianProducts::finite_difference;
  const auto gradients =
      torch::autograd::grad({pass.loss}, parameters, {}, keep, twice, /*allow_unused=*/true);
  const Timer timer;
  for (const Tensor& gradient : gradients) {
    if (gradient.defined() && gradient.is_sparse()) {
      throw Unsupported("gradient: a sparse one, expected a dense one");
    }
  }
  add_products(pass, gradients, parameters);
  const at::NoGradGuard no_graph;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!gradients[i].defined()) continue;
    Tensor& sum = parameters[i].mutable_grad();
    if (sum.defined()) {
      sum.add_(gradients[i]);
    } else {
      sum = gradients[i].detach().clone();  // autograd may give one tensor to two parameters
    }
  }
  seconds_ += timer.seconds();
}

Tensor AdaHessian::probe(uint64_t seed, int64_t t, int64_t sample, size_t place,
                         const Tensor& parameter) {
  RandomStream random(seed ^ stream_id("adahessian/step", static_cast<uint64_t>(t)),
                      stream_id("adahessian/probe", (static_cast<uint64_t>(sample) << 32) | place));
  return random.rademacher(parameter.sizes(), parameter.options().requires_grad(false));
}

int64_t AdaHessian::probe_count() const {
  return now() == 1 ? std::max(schedule_.probes, schedule_.warm_samples) : schedule_.probes;
}

bool AdaHessian::signed_means() const {
  const auto is_signed = [](const auto& group) { return values(group.options()).signed_mean; };
  return std::any_of(param_groups_.begin(), param_groups_.end(), is_signed);
}

void AdaHessian::take(int64_t probe, std::vector<Tensor> h, std::vector<Tensor> z) {
  const auto s = static_cast<size_t>(probe);
  if (products_.size() == s) {  // the first micro-batch
    products_.push_back(std::move(h));
    if (signed_means()) probes_.push_back(std::move(z));  // such means need z again
    return;
  }
  auto& sums = products_[s];
  for (size_t i = 0; i < h.size(); ++i) {
    if (!h[i].defined()) continue;
    sums[i] = sums[i].defined() ? sums[i] + h[i] : h[i];
  }
}

void AdaHessian::add_products(const Pass& pass, const std::vector<Tensor>& gradients,
                              const std::vector<Tensor>& parameters) {
  const int64_t probes = probe_count();
  for (int64_t s = 0; s < probes; ++s) {
    std::vector<Tensor> z;
    for (size_t i = 0; i < parameters.size(); ++i) {
      z.push_back(probe(schedule_.seed, now(), s, i, parameters[i]));
    }
    std::vector<Tensor> h = products(pass, gradients, parameters, z, s + 1 == probes);
    const at::NoGradGuard no_graph;
    take(s, std::move(h), std::move(z));
  }
}

Tensor AdaHessian::differentiate(const MicroBatch& batch) {
  if (!looks(now()) || schedule_.products != HessianProducts::double_backward ||
      !batch.network.chain) {
    return {};
  }
  const at::NoGradGuard no_graph;
  std::map<const void*, int64_t> offsets;  // in the network's flat vector
  int64_t P = 0;
  for (const auto& [name, value] : batch.network.parameters) {
    offsets[value.unsafeGetTensorImpl()] = P;
    P += value.numel();
  }
  std::vector<Tensor> parameters;
  for (const Slot& slot : slots()) {
    if (!offsets.contains(slot.parameter.unsafeGetTensorImpl())) return {};
    parameters.push_back(slot.parameter);
  }
  if (products_.empty()) seconds_ = 0;
  const Timer timer;
  const auto piece = [&](const Tensor& flat, size_t i) {
    const Tensor& w = parameters[i];
    return flat.narrow(0, offsets[w.unsafeGetTensorImpl()], w.numel()).view(w.sizes());
  };
  const int64_t probes = probe_count();
  const TensorOptions options = batch.network.options();
  const Tensor V = at::zeros({probes, P}, options);
  for (int64_t s = 0; s < probes; ++s) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      piece(V[s], i).copy_(probe(schedule_.seed, now(), s, i, parameters[i]));
    }
  }
  const Tensor gradient = at::zeros({P}, options), h = at::zeros({probes, P}, options);
  const double n = static_cast<double>(batch.inputs.size(0));
  const double scale = batch.weight * loss_scale_ / (batch.rule.mean ? n : 1);
  const Tensor outputs =
      nn::detail::add_chain_products(batch.network, batch.rule, batch.inputs, batch.targets,
                                     {.V = V, .gradient = gradient, .products = h, .scale = scale});
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& sum = parameters[i].mutable_grad();
    if (sum.defined()) {
      sum.add_(piece(gradient, i));
    } else {
      sum = piece(gradient, i).clone();  // optimisers do not take views
    }
  }
  for (int64_t s = 0; s < probes; ++s) {
    std::vector<Tensor> of_probe, z;
    for (size_t i = 0; i < parameters.size(); ++i) {
      of_probe.push_back(piece(h[s], i));
      z.push_back(piece(V[s], i));
    }
    take(s, std::move(of_probe), std::move(z));
  }
  seconds_ += timer.seconds() * kShareBeyondGradient;
  return batch.rule(outputs, batch.targets) * batch.weight;
}

std::vector<Tensor> AdaHessian::products(const Pass& pass, const std::vector<Tensor>& gradients,
                                         const std::vector<Tensor>& parameters,
                                         const std::vector<Tensor>& z, bool last) {
  if (schedule_.products == HessianProducts::finite_difference) {
    return difference_products(pass, parameters, z);
  }
  if (schedule_.products == HessianProducts::gauss_newton) {
    return gauss_newton_products(pass, parameters, z);
  }
  std::vector<Tensor> first, seeds;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined() || !gradients[i].requires_grad()) continue;
    first.push_back(gradients[i]);
    seeds.push_back(z[i]);
  }
  if (first.empty()) return std::vector<Tensor>(parameters.size());  // linear: no curvature
  return nn::detail::differentiate_again(first, parameters, seeds, !last);
}

std::vector<Tensor> AdaHessian::new_diagonals(const std::vector<Slot>& slots) {
  const bool ranks = group_ != nullptr && group_->world_size() > 1;
  const double scale = 1.0 / (loss_scale_ * static_cast<double>(products_.size()));
  std::vector<Tensor> diagonals, reduced;
  for (const Slot& slot : slots) diagonals.push_back(at::zeros_like(slot.state->exp_hessian_sq));
  const auto add = [&](size_t i) {
    for (size_t s = 0; s < products_.size(); ++s) {
      const Tensor& h = products_[s][i];
      if (!h.defined()) continue;
      const Slot& slot = slots[i];
      add_means(diagonals[i], h, slot.options->signed_mean ? probes_[s][i] : Tensor(), slot.block,
                scale);
    }
  };
  // Averages over ranks come before sizes are taken: of z h block by block, of h entry by entry.
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].options->signed_mean) {
      add(i);
      reduced.push_back(diagonals[i]);
    } else if (ranks) {
      for (auto& of_probe : products_) {
        if (!of_probe[i].defined()) of_probe[i] = at::zeros_like(slots[i].parameter.detach());
        reduced.push_back(of_probe[i]);
      }
    }
  }
  if (ranks) {
    std::vector<Tensor> flat;
    for (const Tensor& each : reduced) flat.push_back(each.flatten());
    const Tensor all = at::cat(flat);
    group_->all_reduce_sum(all);
    all.div_(group_->world_size());
    int64_t used = 0;
    for (const Tensor& each : reduced) {
      each.copy_(all.narrow(0, used, each.numel()).view(each.sizes()));
      used += each.numel();
    }
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i].options->signed_mean) add(i);
  }
  return diagonals;
}

void AdaHessian::update(const Slot& slot, const Tensor& diagonal) {
  const AdaHessianOptions& o = *slot.options;
  ParameterState& state = *slot.state;
  if (diagonal.defined()) ++count(state.updates);
  if (count(state.updates) == 0) return;  // no curvature is known yet: m / eps is no step
  const auto t = static_cast<double>(++count(state.steps));
  const auto u = static_cast<double>(count(state.updates));
  const detail::AdaHessianScalars s{.beta1 = o.beta1,
                                    .beta2 = o.beta2,
                                    .eps = o.eps,
                                    .k = o.k,
                                    .shrink = 1 - o.lr * o.weight_decay,
                                    .step_size = o.lr / (1 - std::pow(o.beta1, t)),
                                    .v_scale = 1 / (1 - std::pow(o.beta2, u))};
  const Tensor& w = slot.parameter;
  const Tensor& g = w.grad();
  Tensor &m = state.exp_avg, &v = state.exp_hessian_sq;
  const Tensor& D = diagonal.defined() ? diagonal : m;
  const bool limited = o.cap > 0 || o.clip > 0;
  const bool fused = !limited && detail::run_fused({&w, &g, &m, &v, &D}, [&](auto zero) {
    using T = decltype(zero);
    detail::adahessian(w.data_ptr<T>(), g.const_data_ptr<T>(), m.data_ptr<T>(), v.data_ptr<T>(),
                       diagonal.defined() ? D.const_data_ptr<T>() : nullptr, w.numel(), slot.block,
                       s);
  });
  // The kernel writes behind autograd's back; a graph that saved the old value must notice.
  w.unsafeGetTensorImpl()->bump_version();
  if (fused) return;
  m.mul_(o.beta1).add_(g, 1 - o.beta1);
  if (diagonal.defined()) v.mul_(o.beta2).addcmul_(diagonal, diagonal, 1 - o.beta2);
  const Tensor divisor = (v * s.v_scale).pow_(o.k / 2).add_(o.eps);
  Tensor direction = m / spread(divisor, slot.block, w) / (1 - std::pow(o.beta1, t));
  limit(direction, o);
  w.mul_(s.shrink).sub_(direction, o.lr);
}

Tensor AdaHessian::step(LossClosure closure) {
  Tensor loss;
  if (closure) {
    const at::AutoGradMode with_graph(true);
    loss = closure();
    backward({.loss = loss});
  }
  const at::NoGradGuard no_graph;
  const std::vector<Slot> all = slots();
  const int64_t t = now();
  const bool look = looks(t);
  if (look && products_.empty()) {
    throw InvalidArgument("step", "backward(loss) of this optimiser before it",
                          "none (loss.backward() knows no Hessian)");
  }
  Tensor sum = at::zeros({}, at::kDouble);
  for (const Slot& slot : all) {
    const Tensor& g = slot.parameter.grad();
    if (!g.defined()) continue;
    if (g.is_sparse()) throw Unsupported("gradient: a sparse one, expected a dense one");
    if (loss_scale_ != 1) g.div_(loss_scale_);
    sum = sum.to(g.device()) + g.sum(at::kDouble);
  }
  const bool finite_gradient = std::isfinite(sum.item<double>());

  std::vector<Tensor> diagonals(all.size());
  double size = 0, negative = 0, entries = 0;
  if (look) {
    diagonals = new_diagonals(all);
    products_.clear();
    probes_.clear();
    Tensor sizes = at::zeros({2}, at::kDouble);
    for (const Tensor& D : diagonals) {
      const Tensor both = at::stack({D.abs().sum(at::kDouble), D.lt(0).sum().to(at::kDouble)});
      sizes = sizes.to(D.device()) + both;
      entries += static_cast<double>(D.numel());
    }
    size = sizes[0].item<double>();
    negative = sizes[1].item<double>();
    if (!std::isfinite(size)) {
      diagonals.assign(all.size(), {});
      if (finite_gradient) ++skipped_.data_ptr<int64_t>()[0];
    }
  }
  ++count(step_);
  if (finite_gradient) {
    for (size_t i = 0; i < all.size(); ++i) {
      const Slot& slot = all[i];
      if (!slot.parameter.grad().defined()) continue;
      Tensor& last = slot.state->diagonal;
      if (last.defined() && diagonals[i].defined()) last.copy_(diagonals[i]);
      const bool reuse = last.defined() && count(slot.state->updates) > 0;
      update(slot, diagonals[i].defined() ? diagonals[i] : reuse ? last : Tensor());
    }
  } else {
    ++skipped_.data_ptr<int64_t>()[1];
  }
  const auto skipped = skipped_.data_ptr<int64_t>();
  statistics_ = {{"looked", look ? 1 : 0},
                 {"mean_abs_diagonal", entries > 0 ? size / entries : NAN},
                 {"negative", entries > 0 ? negative / entries : NAN},
                 {"skipped_hessians", static_cast<double>(skipped[0])},
                 {"skipped_steps", static_cast<double>(skipped[1])},
                 {"seconds_hessian", seconds_}};
  return loss;
}

std::vector<NamedTensor> AdaHessian::state_dict() {
  extend_state();
  std::vector<NamedTensor> state{{"step", step_}, {"skipped", skipped_}};
  for (size_t i = 0; i < states_.size(); ++i) {
    const std::string index = "." + std::to_string(i);
    state.push_back({"steps" + index, states_[i].steps});
    state.push_back({"updates" + index, states_[i].updates});
    state.push_back({"exp_avg" + index, states_[i].exp_avg});
    state.push_back({"exp_hessian_sq" + index, states_[i].exp_hessian_sq});
    if (states_[i].diagonal.defined()) state.push_back({"diagonal" + index, states_[i].diagonal});
  }
  return state;
}

void AdaHessian::load_state_dict(const std::vector<NamedTensor>& state) {
  assign_state(state_dict(), state);
}

void AdaHessian::set_loss_scale(double scale) {
  check_positive("loss_scale", scale);
  loss_scale_ = scale;
}

void AdaHessian::set_momentum(double momentum) {
  change_options([&](AdaHessianOptions& options) { options.beta1 = momentum; });
}

}  // namespace ritz::optim
