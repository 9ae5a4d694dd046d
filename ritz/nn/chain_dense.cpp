#include <torch/types.h>

#include <utility>

#include "ritz/base/gemm.h"
#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// y = x W^T + b, x [n, ..., in] as rows [r, in]; W [out, in].
class Linear final : public Step {
 public:
  Linear(std::shared_ptr<Weights> weights, int64_t lane)
      : weights_(std::move(weights)), lane_(lane) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {x_, dy_});
  }

  Tensor forward(Tensor x) override {
    lead_ = x.sizes().slice(1, x.dim() - 2).vec();
    x_ = rows(x);
    return shaped(gemm_nt(x_, weights_->value(), weights_->bias()), x.size(0));
  }

  Tensor backward(Tensor dy, bool wanted) override {
    dy_ = rows(dy);
    if (weights_->wants_gradient()) {
      gemm_into(weights_->gradient(lane_), dy_.t(), x_, true);
      weights_->bias_gradient(lane_).add_(dy_.sum(0));
    }
    return wanted ? shaped(gemm(dy_, weights_->value()), dy.size(0)) : Tensor();
  }

  // R y = x V^T + V b + R x W^T, all of x V^T in one product.
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    const auto& V = weights_->tangent();
    const auto& bias = weights_->bias_tangent();
    const int64_t k = block.k, r = x_.size(0), out = V.size(1);
    const auto Ry = at::empty({r, k, out}, x_.options());
    const auto V_t = V.reshape({k * out, -1}).t();
    if (bias.defined()) {
      gemm_into(Ry.view({r, k * out}), x_, V_t, bias.reshape({k * out}));
    } else {
      gemm_into(Ry.view({r, k * out}), x_, V_t);
    }
    if (Rx.defined()) {
      Rx = tangent_rows(Rx);
      gemm_into(Ry.view({r * k, out}), Rx.view({r * k, -1}), weights_->value().t(), true);
      if (block.second_order) Rx_ = Rx;
    }
    return tangents(Ry);
  }

  // R dw = R dy^T x + dy^T R x;  R dx = R dy W + dy V.
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const auto& W = weights_->value();
    const auto& V = weights_->tangent();
    const auto& product = weights_->product(lane_);
    const int64_t k = block.k, r = x_.size(0), out = W.size(0), in = W.size(1);
    Rdy = tangent_rows(Rdy);
    gemm_into(product.view({k * out, in}), Rdy.view({r, k * out}).t(), x_, true);
    if (weights_->wants_bias_product()) weights_->bias_product(lane_).add_(Rdy.sum(0));
    if (block.second_order && Rx_.defined()) {
      for (int64_t j = 0; j < k; ++j) gemm_into(product[j], dy_.t(), Rx_.select(1, j), true);
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    const auto Rdx = at::empty({r, k, in}, x_.options());
    gemm_into(Rdx.view({r * k, in}), Rdy.view({r * k, out}), W);
    if (block.second_order)
      for (int64_t j = 0; j < k; ++j) gemm_into(Rdx.select(1, j), dy_, V[j], true);
    return tangents(Rdx);
  }

 private:
  static Tensor rows(const Tensor& t) { return t.reshape({-1, t.size(-1)}); }
  Tensor shaped(const Tensor& t, int64_t samples) const {
    std::vector<int64_t> shape{samples};
    shape.insert(shape.end(), lead_.begin(), lead_.end());
    shape.push_back(t.size(-1));
    return t.view(shape);
  }
  // [k, n, ..., features] -> [r, k, features], contiguous: a view of what a linear step made.
  static Tensor tangent_rows(const Tensor& t) {
    return t.movedim(0, -2).reshape({-1, t.size(0), t.size(-1)}).contiguous();
  }
  // [r, k, features] -> [k, n, ..., features]
  Tensor tangents(const Tensor& t) const {
    std::vector<int64_t> shape{-1};
    shape.insert(shape.end(), lead_.begin(), lead_.end());
    shape.insert(shape.end(), {t.size(1), t.size(2)});
    return t.view(shape).movedim(-2, 0);
  }

  std::shared_ptr<Weights> weights_;
  int64_t lane_;
  std::vector<int64_t> lead_;  // dimensions of a sample before the last
  Tensor x_, dy_, Rx_;         // rows [r, ...], r = n times the dimensions before the last
};

// y = W * x + b, x [n, in, h, w]. Channels-last throughout: oneDNN then reorders nothing and
// reaches its peak with one tangent a call, where widening the channels by k would ask for a
// transposition.
class Conv final : public Step {
 public:
  Conv(std::shared_ptr<Weights> weights, const Conv2dStage& stage, int64_t lane)
      : weights_(std::move(weights)),
        lane_(lane),
        stride_(2, stage.stride),
        padding_(2, stage.padding),
        dilation_(2, stage.dilation),
        groups_(stage.groups) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {x_, dy_});
  }

  Tensor forward(Tensor x) override {
    x_ = channels_last(x);
    return convolve(x_, weights_->value(), weights_->bias());
  }

  Tensor backward(Tensor dy, bool wanted) override {
    dy_ = channels_last(dy);
    if (weights_->wants_gradient()) {
      weights_->gradient(lane_).add_(weight_gradient(dy_, x_));
      weights_->bias_gradient(lane_).add_(dy_.sum({0, 2, 3}));
    }
    return wanted ? input_gradient(dy_, x_, weights_->value()) : Tensor();
  }

  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    const auto& V = weights_->tangent();
    const auto& bias = weights_->bias_tangent();
    const int64_t k = block.k;
    std::vector<Tensor> parts;
    for (int64_t j = 0; j < k; ++j)
      parts.push_back(convolve(x_, V[j], bias.defined() ? bias[j] : Tensor()));
    auto xV = k == 1 ? std::exchange(parts[0], {}) : at::cat(parts);
    if (!Rx.defined()) return unstacked(xV, k);
    Rx = channels_last(stacked(Rx));
    if (block.second_order) Rx_ = Rx;
    return unstacked(sum(convolve(Rx, weights_->value(), {}), std::move(xV)), k);
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const int64_t k = block.k, n = x_.size(0);
    Rdy = channels_last(stacked(Rdy));
    for (int64_t j = 0; j < k; ++j)
      weights_->product(lane_)[j].add_(weight_gradient(Rdy.narrow(0, j * n, n), x_));
    if (weights_->wants_bias_product())
      weights_->bias_product(lane_).add_(Rdy.sum({2, 3}).view({k, n, -1}).sum(1));
    if (block.second_order && Rx_.defined()) {
      for (int64_t j = 0; j < k; ++j)
        weights_->product(lane_)[j].add_(weight_gradient(dy_, Rx_.narrow(0, j * n, n)));
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    auto Rdx = input_gradient(Rdy, x_, weights_->value());
    if (block.second_order)
      for (int64_t j = 0; j < k; ++j)
        Rdx.narrow(0, j * n, n).add_(input_gradient(dy_, x_, weights_->tangent()[j]));
    return unstacked(Rdx, k);
  }

 private:
  Tensor convolve(const Tensor& x, const Tensor& W, const Tensor& b) const {
    return at::convolution(x, W, b, stride_, padding_, dilation_, false, {0, 0}, groups_);
  }
  Tensor weight_gradient(const Tensor& dy, const Tensor& x) const {
    return std::get<1>(at::convolution_backward(dy, x, weights_->value(), {}, stride_, padding_,
                                                dilation_, false, {0, 0}, groups_,
                                                {false, true, false}));
  }
  // x says only the shape of the result.
  Tensor input_gradient(const Tensor& dy, const Tensor& x, const Tensor& W) const {
    const auto like = x.size(0) == dy.size(0)
                          ? x
                          : at::empty({dy.size(0), x.size(1), x.size(2), x.size(3)},
                                      x.options().memory_format(at::MemoryFormat::ChannelsLast));
    return std::get<0>(at::convolution_backward(dy, like, W, {}, stride_, padding_, dilation_,
                                                false, {0, 0}, groups_, {true, false, false}));
  }

  std::shared_ptr<Weights> weights_;
  int64_t lane_;
  std::vector<int64_t> stride_, padding_, dilation_;
  int64_t groups_;
  Tensor x_, dy_, Rx_;
};

// y = s x + t over channels, dimension 1: an affine with no dense step before it.
class Scale final : public Step {
 public:
  Scale(std::shared_ptr<Weights> weights, int64_t lane)
      : weights_(std::move(weights)), lane_(lane) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {x_, dy_});
  }

  Tensor forward(Tensor x) override {
    x_ = x;
    return x * channels(weights_->value()) + channels(weights_->bias());
  }
  Tensor backward(Tensor dy, bool wanted) override {
    dy_ = dy;
    if (weights_->wants_gradient()) {
      weights_->gradient(lane_).add_(channel_sums((dy * x_).unsqueeze(0))[0]);
      weights_->bias_gradient(lane_).add_(channel_sums(dy.unsqueeze(0))[0]);
    }
    return wanted ? dy * channels(weights_->value()) : Tensor();
  }
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    Tensor y;
    if (Rx.defined()) {
      if (block.second_order) Rx_ = Rx;
      y = Rx * channels(weights_->value());
    }
    if (weights_->tangent().defined()) y = sum(y, x_ * of_tangents(weights_->tangent()));
    if (!weights_->bias_tangent().defined()) return y;
    if (!y.defined()) {
      auto shape = x_.sizes().vec();
      shape.insert(shape.begin(), block.k);
      y = at::zeros(shape, x_.options());
    }
    return y.add_(of_tangents(weights_->bias_tangent()));
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    weights_->product(lane_).add_(channel_sums(Rdy * x_));
    weights_->bias_product(lane_).add_(channel_sums(Rdy));
    if (block.second_order && Rx_.defined()) {
      weights_->product(lane_).add_(channel_sums(Rx_ * dy_));
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    auto Rdx = Rdy * channels(weights_->value());
    if (block.second_order && weights_->tangent().defined())
      Rdx.addcmul_(dy_, of_tangents(weights_->tangent()));
    return Rdx;
  }

 private:
  Tensor channels(const Tensor& t) const {  // [c] beside [..., n, c, ...]
    auto shape = std::vector<int64_t>(x_.dim(), 1);
    shape[1] = t.size(0);
    return t.view(shape);
  }
  Tensor of_tangents(const Tensor& t) const {  // [k, c] beside [k, n, c, ...]
    auto shape = std::vector<int64_t>(x_.dim() + 1, 1);
    shape[0] = t.size(0);
    shape[2] = t.size(1);
    return t.reshape(shape);
  }
  static Tensor channel_sums(const Tensor& t) {  // [k, n, c, ...] -> [k, c]
    return (t.dim() > 3 ? t.flatten(3).sum(3) : t).sum(1);
  }

  std::shared_ptr<Weights> weights_;
  int64_t lane_;
  Tensor x_, dy_, Rx_;
};

}  // namespace

Tensor channels_last(const Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

std::unique_ptr<Step> linear_step(std::shared_ptr<Weights> weights, int64_t lane) {
  return std::make_unique<Linear>(std::move(weights), lane);
}
std::unique_ptr<Step> conv_step(std::shared_ptr<Weights> weights, const Conv2dStage& stage,
                                int64_t lane) {
  return std::make_unique<Conv>(std::move(weights), stage, lane);
}
std::unique_ptr<Step> scale_step(std::shared_ptr<Weights> weights, int64_t lane) {
  return std::make_unique<Scale>(std::move(weights), lane);
}

}  // namespace ritz::nn::detail
