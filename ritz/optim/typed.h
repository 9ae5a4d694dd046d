#pragma once
// The way in and out of an optimiser's options, for all that have options of one type.
#include <memory>
#include <vector>

#include "ritz/optim/optimizer.h"

namespace ritz::optim {

using ParameterGroups = std::vector<torch::optim::OptimizerParamGroup>;

/// A decay rate: at least 0 and below 1.
void check_rate(std::string_view name, double value);

/// `Base` with options of type `Options`, an aggregate with a member `lr`, in every group.
/// Whatever is set passes `check`, which throws where it is not allowed.
template <class Options, class Base = Optimizer>
class Typed : public Base {
 protected:
  using Check = void (*)(const Options&);

  Typed(const ParameterGroups& groups, Options defaults, Check check)
      : Base(ParameterGroups{}, std::make_unique<GroupOptions<Options>>(defaults)), check_(check) {
    check(defaults);
    for (const auto& given : groups) this->add_param_group(given);
    // libtorch merges a group's options with the defaults for its own optimisers alone.
    for (size_t k = 0; k < groups.size(); ++k) {
      if (!groups[k].has_options()) continue;
      check(values(groups[k].options()));
      this->param_groups_[k].set_options(groups[k].options().clone());
    }
  }

  static const Options& values(const torch::optim::OptimizerOptions& options) {
    return static_cast<const GroupOptions<Options>&>(options).values;
  }
  /// Applies `change(Options&)` to every group, or to none if it is not allowed in one.
  template <class F>
  void change_options(const F& change) {
    std::vector<Options> all;
    for (const auto& group : this->param_groups_) {
      all.push_back(values(group.options()));
      change(all.back());
      check_(all.back());
    }
    for (size_t k = 0; k < all.size(); ++k) {
      static_cast<GroupOptions<Options>&>(this->param_groups_[k].options()).values = all[k];
    }
  }

 private:
  Check check_;
};

}  // namespace ritz::optim
