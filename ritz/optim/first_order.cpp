#include "ritz/optim/first_order.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/optim/detail/fused.h"
#include "ritz/optim/detail/kernels.h"

namespace ritz::optim {

namespace {

void check(const SgdOptions& options) {
  check_non_negative("lr", options.lr);
  check_rate("momentum", options.momentum);
  check_in("dampening", options.dampening, 0, 1);
  check_non_negative("weight_decay", options.weight_decay);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    throw InvalidArgument("nesterov", "momentum > 0 and no dampening beside it",
                          "momentum " + number_text(options.momentum) + ", dampening " +
                              number_text(options.dampening));
  }
}

void check(const AdamOptions& options) {
  check_non_negative("lr", options.lr);
  check_rate("beta1", options.beta1);
  check_rate("beta2", options.beta2);
  check_non_negative("eps", options.eps);
  check_non_negative("weight_decay", options.weight_decay);
}

void check(const AdagradOptions& options) {
  check_non_negative("lr", options.lr);
  check_non_negative("lr_decay", options.lr_decay);
  check_non_negative("initial", options.initial);
  check_non_negative("eps", options.eps);
  check_non_negative("weight_decay", options.weight_decay);
}

}  // namespace

Sgd::Sgd(std::vector<Tensor> parameters, SgdOptions options)
    : Sgd(ParameterGroups{{std::move(parameters)}}, options) {}
Sgd::Sgd(const ParameterGroups& groups, SgdOptions options)
    : StatefulOptimizer(groups, options, check) {}

void Sgd::set_momentum(double momentum) {
  change_options([&](SgdOptions& options) { options.momentum = momentum; });
}

void Sgd::update(const Tensor& w, const Tensor& g, std::vector<Tensor>& slots, const SgdOptions& o,
                 int64_t step) {
  const detail::SgdScalars s{o.lr, o.momentum, step == 1 ? 1 : 1 - o.dampening, o.weight_decay,
                             o.nesterov};
  Tensor& b = slots[0];
  const bool fused = detail::run_fused({&w, &g, &b}, [&](auto zero) {
    using T = decltype(zero);
    T* momentum = o.momentum == 0 ? nullptr : b.data_ptr<T>();
    detail::sgd(w.data_ptr<T>(), g.const_data_ptr<T>(), momentum, w.numel(), s);
  });
  if (fused) return;
  const Tensor d = o.weight_decay == 0 ? g : g + o.weight_decay * w;
  if (o.momentum == 0) {
    w.sub_(d, o.lr);
    return;
  }
  b.mul_(s.momentum).add_(d, s.gradient_weight);
  w.sub_(o.nesterov ? d + s.momentum * b : b, o.lr);
}

Adam::Adam(std::vector<Tensor> parameters, AdamOptions options)
    : Adam(ParameterGroups{{std::move(parameters)}}, options) {}
Adam::Adam(const ParameterGroups& groups, AdamOptions options)
    : StatefulOptimizer(groups, options, check) {}

void Adam::set_momentum(double momentum) {
  change_options([&](AdamOptions& options) { options.beta1 = momentum; });
}

void Adam::update(const Tensor& w, const Tensor& g, std::vector<Tensor>& slots,
                  const AdamOptions& o, int64_t step) {
  const double t = static_cast<double>(step);
  const detail::AdamScalars s{.beta1 = o.beta1,
                              .beta2 = o.beta2,
                              .eps = o.eps,
                              .coupled_decay = o.decoupled ? 0 : o.weight_decay,
                              .shrink = o.decoupled ? 1 - o.lr * o.weight_decay : 1,
                              .step_size = o.lr / (1 - std::pow(o.beta1, t)),
                              .inverse_root = 1 / std::sqrt(1 - std::pow(o.beta2, t))};
  Tensor &m = slots[0], &v = slots[1];
  const bool fused = detail::run_fused({&w, &g, &m, &v}, [&](auto zero) {
    using T = decltype(zero);
    detail::adam(w.data_ptr<T>(), g.const_data_ptr<T>(), m.data_ptr<T>(), v.data_ptr<T>(),
                 w.numel(), s);
  });
  if (fused) return;
  const Tensor d = s.coupled_decay == 0 ? g : g + s.coupled_decay * w;
  m.mul_(s.beta1).add_(d, 1 - s.beta1);
  v.mul_(s.beta2).addcmul_(d, d, 1 - s.beta2);
  w.mul_(s.shrink).addcdiv_(m, v.sqrt().mul_(s.inverse_root).add_(s.eps), -s.step_size);
}

Adagrad::Adagrad(std::vector<Tensor> parameters, AdagradOptions options)
    : Adagrad(ParameterGroups{{std::move(parameters)}}, options) {}
Adagrad::Adagrad(const ParameterGroups& groups, AdagradOptions options)
    : StatefulOptimizer(groups, options, check) {}

void Adagrad::update(const Tensor& w, const Tensor& g, std::vector<Tensor>& slots,
                     const AdagradOptions& o, int64_t step) {
  const detail::AdagradScalars s{o.lr / (1 + static_cast<double>(step - 1) * o.lr_decay), o.eps,
                                 o.weight_decay};
  Tensor& sum = slots[0];
  const bool fused = detail::run_fused({&w, &g, &sum}, [&](auto zero) {
    using T = decltype(zero);
    detail::adagrad(w.data_ptr<T>(), g.const_data_ptr<T>(), sum.data_ptr<T>(), w.numel(), s);
  });
  if (fused) return;
  const Tensor d = o.weight_decay == 0 ? g : g + o.weight_decay * w;
  sum.addcmul_(d, d);
  w.addcdiv_(d, sum.sqrt().add_(o.eps), -s.lr);
}

}  // namespace ritz::optim
