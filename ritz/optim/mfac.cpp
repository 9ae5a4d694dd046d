#include "ritz/optim/mfac.h"

#include <torch/types.h>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

void check(const MfacOptions& options) {
  check_non_negative("lr", options.lr);
  check_rate("momentum", options.momentum);
  check_non_negative("weight_decay", options.weight_decay);
  check_at_least("m", options.m, 1);
  check_positive("damping", options.damping);
}

bool same_window(const MfacOptions& a, const MfacOptions& b) {
  return a.m == b.m && a.damping == b.damping && a.mode == b.mode && a.fill == b.fill &&
         a.sparse == b.sparse && a.storage == b.storage && a.group == b.group;
}

}  // namespace

WindowFill parse_window_fill(const std::string& name) {
  if (name == "zeros") return WindowFill::zeros;
  if (name == "skip") return WindowFill::skip;
  throw InvalidArgument("fill", "zeros or skip", name);
}

Mfac::Mfac(std::vector<Tensor> parameters, MfacOptions options)
    : Mfac(ParameterGroups{{std::move(parameters)}}, std::move(options)) {}

Mfac::Mfac(const ParameterGroups& groups, MfacOptions options)
    : Typed(groups, options, check),
      damping_(options.damping),
      fill_(options.fill),
      mode_(options.mode),
      factor_(options.m, options.damping, options.mode) {
  for (size_t k = 0; k < param_groups_.size(); ++k) {
    if (!same_window(values(param_groups_[k].options()), options)) {
      throw InvalidArgument("groups",
                            "the window's options (m, damping, mode, fill, sparse, "
                            "storage) of the optimiser in every group",
                            "others in group " + std::to_string(k));
    }
  }
  start({.m = options.m,
         .storage = options.storage,
         .memory_limit = options.memory_limit,
         .group = options.group},
        options.sparse);
}

void Mfac::set_momentum(double momentum) {
  change_options([&](MfacOptions& options) { options.momentum = momentum; });
}

WindowOptimizer::Rates Mfac::rates(const GroupBase& options) const {
  const MfacOptions& o = values(options);
  return {o.lr, o.momentum, o.weight_decay};
}

WindowOptimizer::Direction Mfac::direction(const Tensor& K, int64_t row, const Tensor& s) {
  factor_.replaced(K, row);
  const int64_t m = K.size(0), rows = filled();
  if (fill_ == WindowFill::skip && rows < m) {
    const double mean = K.diagonal().sum().item<double>() / static_cast<double>(rows);
    return {.scale = 1 / (damping_ + mean / static_cast<double>(m))};
  }
  return {.scale = 1 / damping_, .e = factor_.coefficients(s)};
}

std::vector<NamedTensor> Mfac::own_state() {
  // The paper's factors are made anew from K at each step.
  if (mode_ == WindowMode::paper) return {};
  return factor_.state();
}

void Mfac::restored(const Tensor& K) {
  if (mode_ == WindowMode::paper) factor_.replaced(K, 0);
}

}  // namespace ritz::optim
