#include "ritz/optim/mfac.h"

#include <torch/types.h>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

using Groups = std::vector<torch::optim::OptimizerParamGroup>;

MfacOptions checked(const MfacOptions& options) {
  check_non_negative("lr", options.lr);
  check_in("momentum", options.momentum, 0, 1);
  if (options.momentum == 1) throw InvalidArgument("momentum", "a value below 1", "1");
  check_non_negative("weight_decay", options.weight_decay);
  check_at_least("m", options.m, 1);
  check_positive("damping", options.damping);
  return options;
}

bool same_window(const MfacOptions& a, const MfacOptions& b) {
  return a.m == b.m && a.damping == b.damping && a.mode == b.mode && a.fill == b.fill &&
         a.sparse == b.sparse && a.storage == b.storage && a.group == b.group;
}

const MfacOptions& values(const torch::optim::OptimizerOptions& options) {
  return static_cast<const GroupOptions<MfacOptions>&>(options).values;
}

}  // namespace

WindowFill parse_window_fill(const std::string& name) {
  if (name == "zeros") return WindowFill::zeros;
  if (name == "skip") return WindowFill::skip;
  throw InvalidArgument("fill", "zeros or skip", name);
}

Mfac::Mfac(std::vector<Tensor> parameters, MfacOptions options)
    : Mfac(Groups{{std::move(parameters)}}, std::move(options)) {}

Mfac::Mfac(const Groups& groups, MfacOptions options)
    : WindowOptimizer(Groups{}, std::make_unique<GroupOptions<MfacOptions>>(checked(options))),
      damping_(options.damping),
      fill_(options.fill),
      mode_(options.mode),
      factor_(options.m, options.damping, options.mode) {
  for (const auto& given : groups) add_param_group(given);
  // libtorch merges a group's options with the defaults for its own optimisers alone.
  for (size_t k = 0; k < groups.size(); ++k) {
    if (!groups[k].has_options()) continue;
    if (!same_window(checked(values(groups[k].options())), options)) {
      throw InvalidArgument("groups",
                            "the window's options (m, damping, mode, fill, sparse, "
                            "storage) of the optimiser in every group",
                            "others in group " + std::to_string(k));
    }
    param_groups_[k].set_options(groups[k].options().clone());
  }
  start({.m = options.m,
         .storage = options.storage,
         .memory_limit = options.memory_limit,
         .group = options.group},
        options.sparse);
}

void Mfac::set_momentum(double momentum) {
  for (auto& group : param_groups_) {
    auto& values = static_cast<GroupOptions<MfacOptions>&>(group.options()).values;
    values.momentum = momentum;
    checked(values);
  }
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
