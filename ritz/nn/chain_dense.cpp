#include <torch/types.h>

#include "ritz/base/gemm.h"
#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// y = x W^T + b, x [n, ..., in] as rows [r, in]; W [out, in].
class Linear final : public Step {
 public:
  explicit Linear(std::shared_ptr<Weights> weights) : weights_(std::move(weights)) {}
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
      weights_->gradient().add_(gemm(dy_.t(), x_));
      weights_->bias_gradient().add_(dy_.sum(0));
    }
    return wanted ? shaped(gemm(dy_, weights_->value()), dy.size(0)) : Tensor();
  }

  // R y = R x W^T + x V^T + V b, all of x V^T in one product.
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    const auto& V = weights_->tangent();
    Tensor bias = weights_->bias_tangent();
    const int64_t k = block.k, r = x_.size(0), out = V.size(1);
    if (bias.defined()) bias = bias.reshape({k * out});
    const auto xV = gemm_nt(x_, V.reshape({k * out, -1}), bias).view({r, k, out}).transpose(0, 1);
    if (!Rx.defined()) return shaped(xV.reshape({k * r, out}), k * r / per_sample());
    Rx = rows(Rx);
    if (block.second_order) Rx_ = Rx;
    auto y = gemm_nt(Rx, weights_->value());
    y.view({k, r, out}).add_(xV);
    return shaped(y, k * r / per_sample());
  }

  // R dw = R dy^T x + dy^T R x;  R dx = R dy W + dy V.
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const auto& W = weights_->value();
    const int64_t k = block.k, r = x_.size(0), out = W.size(0), in = W.size(1);
    const auto n = Rdy.size(0);
    Rdy = rows(Rdy);
    const auto Rdy_t = at::empty({k, out, r}, Rdy.options());
    for (int64_t j = 0; j < k; ++j)  // copying a matrix at a time, libtorch transposes in tiles
      Rdy_t[j].copy_(Rdy.narrow(0, j * r, r).t());
    weights_->product().view({k * out, in}).add_(gemm(Rdy_t.view({k * out, r}), x_));
    if (weights_->wants_bias_product()) weights_->bias_product().add_(Rdy.view({k, r, out}).sum(1));
    if (block.second_order && Rx_.defined()) {
      const auto dy_t = dy_.t().contiguous();
      const auto Rx = Rx_.view({k, r, in});
      for (int64_t j = 0; j < k; ++j) weights_->product()[j].add_(gemm(dy_t, Rx[j]));
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    auto Rdx = gemm(Rdy, W);
    if (block.second_order) {
      const auto V = weights_->tangent().transpose(0, 1).reshape({out, k * in});
      Rdx.view({k, r, in}).add_(gemm(dy_, V).view({r, k, in}).transpose(0, 1));
    }
    return shaped(Rdx, n);
  }

 private:
  static Tensor rows(const Tensor& t) { return t.reshape({-1, t.size(-1)}); }
  int64_t per_sample() const {
    int64_t count = 1;
    for (const auto size : lead_) count *= size;
    return count;
  }
  Tensor shaped(const Tensor& t, int64_t samples) const {
    std::vector<int64_t> shape{samples};
    shape.insert(shape.end(), lead_.begin(), lead_.end());
    shape.push_back(t.size(-1));
    return t.view(shape);
  }

  std::shared_ptr<Weights> weights_;
  std::vector<int64_t> lead_;  // dimensions of a sample before the last
  Tensor x_, dy_, Rx_;
};

// y = W * x + b, x [n, in, h, w]. Channels-last throughout: oneDNN then reorders nothing and
// reaches its peak with one tangent a call, where widening the channels by k would ask for a
// transposition.
class Conv final : public Step {
 public:
  Conv(std::shared_ptr<Weights> weights, const Conv2dStage& stage)
      : weights_(std::move(weights)),
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
      weights_->gradient().add_(weight_gradient(dy_, x_));
      weights_->bias_gradient().add_(dy_.sum({0, 2, 3}));
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
    auto xV = k == 1 ? parts[0] : at::cat(parts);
    if (!Rx.defined()) return xV;
    Rx = channels_last(Rx);
    if (block.second_order) Rx_ = Rx;
    return sum(convolve(Rx, weights_->value(), {}), std::move(xV));
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const int64_t k = block.k, n = x_.size(0);
    Rdy = channels_last(Rdy);
    for (int64_t j = 0; j < k; ++j)
      weights_->product()[j].add_(weight_gradient(Rdy.narrow(0, j * n, n), x_));
    if (weights_->wants_bias_product())
      weights_->bias_product().add_(Rdy.sum({2, 3}).view({k, n, -1}).sum(1));
    if (block.second_order && Rx_.defined()) {
      for (int64_t j = 0; j < k; ++j)
        weights_->product()[j].add_(weight_gradient(dy_, Rx_.narrow(0, j * n, n)));
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    auto Rdx = input_gradient(Rdy, x_, weights_->value());
    if (block.second_order)
      for (int64_t j = 0; j < k; ++j)
        Rdx.narrow(0, j * n, n).add_(input_gradient(dy_, x_, weights_->tangent()[j]));
    return Rdx;
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
  std::vector<int64_t> stride_, padding_, dilation_;
  int64_t groups_;
  Tensor x_, dy_, Rx_;
};

// y = s x + t over channels, dimension 1: an affine with no dense step before it.
class Scale final : public Step {
 public:
  explicit Scale(std::shared_ptr<Weights> weights) : weights_(std::move(weights)) {}
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
    return wanted ? dy * channels(weights_->value()) : Tensor();
  }
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    Tensor y;
    if (Rx.defined()) {
      if (block.second_order) Rx_ = Rx;
      y = Rx * channels(weights_->value());
    }
    if (weights_->tangent().defined()) y = sum(y, flat(x_ * samples(weights_->tangent())));
    if (!weights_->bias_tangent().defined()) return y;
    if (!y.defined()) y = at::zeros_like(flat(x_.unsqueeze(0).expand(stacked(block.k))));
    unstacked(y, block.k).add_(samples(weights_->bias_tangent()));
    return y;
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const auto by_tangent = unstacked(Rdy, block.k);
    weights_->product().add_(channel_sums(by_tangent * x_));
    weights_->bias_product().add_(channel_sums(by_tangent));
    if (block.second_order && Rx_.defined()) {
      weights_->product().add_(channel_sums(unstacked(Rx_, block.k) * dy_));
      Rx_ = Tensor();
    }
    if (!wanted) return {};
    auto Rdx = Rdy * channels(weights_->value());
    if (block.second_order && weights_->tangent().defined())
      unstacked(Rdx, block.k).addcmul_(dy_, samples(weights_->tangent()));
    return Rdx;
  }

 private:
  Tensor channels(const Tensor& t) const {  // [c] beside [n, c, ...]
    auto shape = std::vector<int64_t>(x_.dim(), 1);
    shape[1] = t.size(0);
    return t.view(shape);
  }
  Tensor samples(const Tensor& t) const {  // [k, c] beside [k, n, c, ...]
    auto shape = std::vector<int64_t>(x_.dim() + 1, 1);
    shape[0] = t.size(0);
    shape[2] = t.size(1);
    return t.reshape(shape);
  }
  std::vector<int64_t> stacked(int64_t k) const {
    auto shape = x_.sizes().vec();
    shape.insert(shape.begin(), k);
    return shape;
  }
  static Tensor unstacked(const Tensor& t, int64_t k) { return t.unflatten(0, {k, t.size(0) / k}); }
  static Tensor flat(const Tensor& t) { return t.flatten(0, 1); }
  static Tensor channel_sums(const Tensor& t) {  // [k, n, c, ...] -> [k, c]
    return (t.dim() > 3 ? t.flatten(3).sum(3) : t).sum(1);
  }

  std::shared_ptr<Weights> weights_;
  Tensor x_, dy_, Rx_;
};

}  // namespace

Tensor channels_last(const Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

std::unique_ptr<Step> linear_step(std::shared_ptr<Weights> weights) {
  return std::make_unique<Linear>(std::move(weights));
}
std::unique_ptr<Step> conv_step(std::shared_ptr<Weights> weights, const Conv2dStage& stage) {
  return std::make_unique<Conv>(std::move(weights), stage);
}
std::unique_ptr<Step> scale_step(std::shared_ptr<Weights> weights) {
  return std::make_unique<Scale>(std::move(weights));
}

}  // namespace ritz::nn::detail
