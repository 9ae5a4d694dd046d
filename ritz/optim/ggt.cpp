#include "ritz/optim/ggt.h"

#include <torch/types.h>

#include <limits>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

using Groups = std::vector<torch::optim::OptimizerParamGroup>;

GgtOptions checked(const GgtOptions& options) {
  check_non_negative("lr", options.lr);
  check_in("momentum", options.momentum, 0, 1);
  if (options.momentum == 1) throw InvalidArgument("momentum", "a value below 1", "1");
  check_non_negative("weight_decay", options.weight_decay);
  check_at_least("m", options.m, 1);
  check_positive("eps", options.eps);
  return options;
}

bool same_window(const GgtOptions& a, const GgtOptions& b) {
  return a.m == b.m && a.eps == b.eps && a.storage == b.storage && a.group == b.group;
}

const GgtOptions& values(const torch::optim::OptimizerOptions& options) {
  return static_cast<const GroupOptions<GgtOptions>&>(options).values;
}

}  // namespace

Ggt::Ggt(std::vector<Tensor> parameters, GgtOptions options)
    : Ggt(Groups{{std::move(parameters)}}, std::move(options)) {}

Ggt::Ggt(const Groups& groups, GgtOptions options)
    : WindowOptimizer(Groups{}, std::make_unique<GroupOptions<GgtOptions>>(checked(options))),
      eps_(options.eps) {
  for (const auto& given : groups) add_param_group(given);
  for (size_t k = 0; k < groups.size(); ++k) {
    if (!groups[k].has_options()) continue;
    if (!same_window(checked(values(groups[k].options())), options)) {
      throw InvalidArgument(
          "groups", "the window's options (m, eps, storage) of the optimiser in every group",
          "others in group " + std::to_string(k));
    }
    param_groups_[k].set_options(groups[k].options().clone());
  }
  start({.m = options.m,
         .storage = options.storage,
         .memory_limit = options.memory_limit,
         .group = options.group},
        /*sparse=*/false);
}

void Ggt::set_momentum(double momentum) {
  for (auto& group : param_groups_) {
    auto& values = static_cast<GroupOptions<GgtOptions>&>(group.options()).values;
    values.momentum = momentum;
    checked(values);
  }
}

WindowOptimizer::Rates Ggt::rates(const GroupBase& options) const {
  const GgtOptions& o = values(options);
  return {o.lr, o.momentum, o.weight_decay};
}

WindowOptimizer::Direction Ggt::direction(const Tensor& K, int64_t /*row*/, const Tensor& s) {
  const auto [squares, W] = at::linalg_eigh(K);
  const double least = squares.max().item<double>() * static_cast<double>(K.size(0)) *
                       std::numeric_limits<double>::epsilon();
  const Tensor sigma = squares.clamp_min(0).sqrt();
  const Tensor weights =
      at::where(squares > least, 1 / (eps_ * sigma * (sigma + eps_)), at::zeros_like(sigma));
  return {.scale = 1 / eps_, .e = W.mv(weights * W.t().mv(s))};
}

}  // namespace ritz::optim
