#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "ritz/nn/detail/chain_norm_kernels.h"
#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// y = max(x, 0): y > 0 says where the slope is one, and is kept by the next dense step anyhow.
class Relu final : public Step {
 public:
  void kept(std::vector<Tensor>& tensors) const override { tensors.push_back(y_); }
  Tensor forward(Tensor x) override { return y_ = sole_owner(x) ? x.relu_() : at::relu(x); }
  Tensor backward(Tensor dy, bool wanted) override {
    return wanted ? masked(std::move(dy)) : Tensor();
  }
  Tensor forward_tangent(Tensor Rx, const Block&) override {
    return Rx.defined() ? masked(std::move(Rx)) : Tensor();
  }
  Tensor backward_tangent(Tensor Rdy, const Block&, bool wanted) override {
    return wanted ? masked(std::move(Rdy)) : Tensor();
  }

 private:
  Tensor masked(Tensor t) const {
    auto out = sole_owner(t) ? t : at::empty_like(t);
    at::threshold_backward_out(out, t, y_, 0);
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
      auto phi = (x * x).mul_(-0.5).exp_().mul_(1 / std::sqrt(2 * std::numbers::pi));
      auto erf = (x * std::sqrt(0.5)).erf_();
      if (x.is_cpu() && x.is_contiguous() && x.scalar_type() == at::kFloat) {
        auto value = at::empty_like(x);
        gelu_slopes(x.const_data_ptr<float>(), value.data_ptr<float>(), erf.data_ptr<float>(),
                    phi.data_ptr<float>(), x.numel());
        return {value, erf, phi};
      }
      const auto Phi = 0.5 * (1 + erf);
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
    return Rx * slope_;
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    if (!wanted) return {};
    auto Rdx = Rdy * slope_;
    if (block.second_order && Rx_.defined()) {
      Rdx.addcmul_(Rx_, bend_);
      Rx_ = Tensor();
    }
    return Rdx;
  }

 private:
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

Tensor stacked(const Tensor& t) {
  return t.flatten(0, 1);
}
Tensor unstacked(const Tensor& t, int64_t k) {
  return t.unflatten(0, {k, t.size(0) / k});
}

std::unique_ptr<Step> activation_step(Activation kind) {
  if (kind == Activation::relu) return std::make_unique<Relu>();
  return std::make_unique<Smooth>(kind);
}

}  // namespace ritz::nn::detail
