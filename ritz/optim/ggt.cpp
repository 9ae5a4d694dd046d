#include "ritz/optim/ggt.h"

#include <torch/types.h>

#include <limits>

#include "ritz/base/check.h"

namespace ritz::optim {

namespace {

void check(const GgtOptions& options) {
  check_non_negative("lr", options.lr);
  check_rate("momentum", options.momentum);
  check_non_negative("weight_decay", options.weight_decay);
  check_at_least("m", options.m, 1);
  check_positive("eps", options.eps);
}

bool same_window(const GgtOptions& a, const GgtOptions& b) {
  return a.m == b.m && a.eps == b.eps && a.storage == b.storage && a.group == b.group;
}

}  // namespace

Ggt::Ggt(std::vector<Tensor> parameters, GgtOptions options)
    : Ggt(ParameterGroups{{std::move(parameters)}}, std::move(options)) {}

Ggt::Ggt(const ParameterGroups& groups, GgtOptions options)
    : Typed(groups, options, check), eps_(options.eps) {
  for (size_t k = 0; k < param_groups_.size(); ++k) {
    if (!same_window(values(param_groups_[k].options()), options)) {
      throw InvalidArgument(
          "groups", "the window's options (m, eps, storage) of the optimiser in every group",
          "others in group " + std::to_string(k));
    }
  }
  start({.m = options.m,
         .storage = options.storage,
         .memory_limit = options.memory_limit,
         .group = options.group},
        /*sparse=*/false);
}

void Ggt::set_momentum(double momentum) {
  change_options([&](GgtOptions& options) { options.momentum = momentum; });
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
