#include <torch/types.h>

#include <algorithm>

#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {

Tensor Sequence::forward(Tensor x) {
  for (const auto& step : steps_) x = step->forward(std::move(x));
  return x;
}

Dual Step::consume(Dual dy, const Block& block, bool wanted) {
  Dual dx;
  dx.value = backward(std::move(dy.value), wanted);
  dx.tangent = backward_tangent(std::move(dy.tangent), block, wanted);
  return dx;
}

bool Sequence::parameters_below(size_t i) const {
  return std::any_of(steps_.begin(), steps_.begin() + static_cast<int64_t>(i),
                     [](const auto& s) { return s->has_parameters(); });
}

Tensor Sequence::backward(Tensor dy, bool wanted) {
  for (size_t i = steps_.size(); i-- > 0;) {
    const bool below = wanted || parameters_below(i);
    dy = steps_[i]->backward(std::move(dy), below);
    if (!below) return {};
  }
  return dy;
}

Tensor Sequence::forward_tangent(Tensor Rx, const Block& block) {
  for (const auto& step : steps_) Rx = step->forward_tangent(std::move(Rx), block);
  return Rx;
}

Tensor Sequence::backward_tangent(Tensor Rdy, const Block& block, bool wanted) {
  for (size_t i = steps_.size(); i-- > 0;) {
    const bool below = wanted || parameters_below(i);
    Rdy = steps_[i]->backward_tangent(std::move(Rdy), block, below);
    if (!below) return {};
  }
  return Rdy;
}

Dual Sequence::consume(Dual dy, const Block& block, bool wanted) {
  for (; !steps_.empty(); steps_.pop_back()) {
    const bool below = wanted || parameters_below(steps_.size() - 1);
    dy = steps_.back()->consume(std::move(dy), block, below);
    if (!below) {
      steps_.clear();
      return {};
    }
  }
  return dy;
}

bool Sequence::has_parameters() const {
  return parameters_below(steps_.size());
}

void Sequence::kept(std::vector<Tensor>& tensors) const {
  for (const auto& step : steps_) step->kept(tensors);
}

}  // namespace ritz::nn::detail
