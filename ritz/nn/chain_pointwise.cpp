#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// y = max(x, 0): y > 0 says where the slope is one, and is kept by the next dense step anyhow.
class Relu final : public Step {
 public:
  void kept(std::vector<Tensor>& tensors) const override { tensors.push_back(y_); }
  Tensor forward(Tensor x) override { return y_ = at::relu(x); }
  Tensor backward(Tensor dy, bool wanted) override {
    return wanted ? masked(std::move(dy), 1) : Tensor();
  }
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    return Rx.defined() ? masked(std::move(Rx), block.k) : Tensor();
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    return wanted ? masked(std::move(Rdy), block.k) : Tensor();
  }

 private:
  Tensor masked(Tensor t, int64_t k) const {
    auto out = sole_owner(t) ? t : at::empty_like(t);
    auto to = out.unflatten(0, {k, y_.size(0)});
    at::threshold_backward_out(to, t.unflatten(0, {k, y_.size(0)}), y_.unsqueeze(0), 0);
    return out;
  }

  Tensor y_;
};

struct Slopes {
  Tensor value, first, second;  // f, f', f''
};

Slopes slopes(Activation kind, const Tensor& x) {
  switch (kind) {
    case Activation::tanh: {
      const auto t = x.tanh(), d = 1 - t * t;
      return {t, d, -2 * t * d};
    }
    case Activation::sigmoid: {
      const auto s = x.sigmoid(), d = s * (1 - s);
      return {s, d, d * (1 - 2 * s)};
    }
    case Activation::softplus: {
      const auto s = x.sigmoid();
      return {at::softplus(x), s, s * (1 - s)};
    }
    case Activation::silu: {
      const auto s = x.sigmoid(), d = s * (1 - s);
      return {x * s, s + x * d, d * (2 + x * (1 - 2 * s))};
    }
    case Activation::gelu: {  // x Phi(x), Phi the normal distribution function and phi its density
      const auto phi = (-0.5 * x * x).exp() * (1 / std::sqrt(2 * std::numbers::pi));
      const auto Phi = 0.5 * (1 + (x * std::sqrt(0.5)).erf());
      return {x * Phi, Phi + x * phi, phi * (2 - x * x)};
    }
    case Activation::relu:
    case Activation::identity:
      break;
  }
  return {x, at::ones_like(x), at::zeros_like(x)};
}

// y = f(x):  R y = f' R x;  R dx = f' R dy + (f'' dy) R x.
class Smooth final : public Step {
 public:
  explicit Smooth(Activation kind) : kind_(kind) {}
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {slope_, bend_});
  }
  Tensor forward(Tensor x) override {
    auto s = slopes(kind_, x);
    slope_ = s.first;
    bend_ = s.second;
    return s.value;
  }
  Tensor backward(Tensor dy, bool wanted) override {
    if (!wanted) return {};
    bend_.mul_(dy);
    return slope_ * dy;
  }
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    if (!Rx.defined()) return {};
    if (block.second_order) Rx_ = Rx;
    return times(slope_, std::move(Rx), block.k);
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    if (!wanted) return {};
    auto Rdx = times(slope_, std::move(Rdy), block.k);
    if (block.second_order && Rx_.defined()) {
      Rdx.unflatten(0, {block.k, -1}).addcmul_(Rx_.unflatten(0, {block.k, -1}), bend_.unsqueeze(0));
      Rx_ = Tensor();
    }
    return Rdx;
  }

 private:
  static Tensor times(const Tensor& factor, Tensor t, int64_t k) {
    const auto blocks = t.unflatten(0, {k, -1});
    return (blocks * factor.unsqueeze(0)).flatten(0, 1);
  }

  Activation kind_;
  Tensor slope_, bend_, Rx_;
};

}  // namespace

bool sole_owner(const Tensor& t) {
  return t.use_count() == 1 && t.storage().use_count() == 1;
}

Tensor sum(Tensor a, Tensor b) {
  if (!a.defined()) return b;
  if (!b.defined()) return a;
  if (sole_owner(a)) return a.add_(b);
  if (sole_owner(b)) return b.add_(a);
  return a + b;
}

std::unique_ptr<Step> activation_step(Activation kind) {
  if (kind == Activation::relu) return std::make_unique<Relu>();
  return std::make_unique<Smooth>(kind);
}

}  // namespace ritz::nn::detail
