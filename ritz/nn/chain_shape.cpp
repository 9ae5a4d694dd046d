#include <torch/types.h>

#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// A step linear in x that leaves no trace of theta: the tangent rules are the plain ones on more
// samples.
class LinearMap : public Step {
 public:
  void kept(std::vector<Tensor>&) const override {}
  Tensor backward(Tensor dy, bool wanted) final { return wanted ? adjoint(dy, 1) : Tensor(); }
  Tensor forward_tangent(Tensor Rx, const Block& block) final {
    return Rx.defined() ? unstacked(apply(stacked(Rx), block.k), block.k) : Tensor();
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) final {
    return wanted ? unstacked(adjoint(stacked(Rdy), block.k), block.k) : Tensor();
  }

 protected:
  virtual Tensor apply(const Tensor& x, int64_t k) const = 0;  // [k n, ...] -> [k n, ...]
  virtual Tensor adjoint(const Tensor& dy, int64_t k) const = 0;
  // The shape of k n inputs.
  std::vector<int64_t> input_shape(int64_t k) const {
    auto shape = shape_;
    shape[0] *= k;
    return shape;
  }
  std::vector<int64_t> shape_;  // of the input, [n, ...]
};

class Reshape final : public LinearMap {
 public:
  explicit Reshape(std::vector<int64_t> to) : to_(std::move(to)) {}
  Tensor forward(Tensor x) override {
    shape_ = x.sizes().vec();
    return apply(x, 1);
  }

 private:
  Tensor apply(const Tensor& x, int64_t) const override {
    std::vector<int64_t> shape{x.size(0)};
    shape.insert(shape.end(), to_.begin(), to_.end());
    return x.reshape(shape);
  }
  Tensor adjoint(const Tensor& dy, int64_t k) const override { return dy.reshape(input_shape(k)); }

  std::vector<int64_t> to_;
};

class Transpose final : public LinearMap {
 public:
  Tensor forward(Tensor x) override { return apply(x, 1); }

 private:
  Tensor apply(const Tensor& x, int64_t) const override { return x.transpose(1, 2); }
  Tensor adjoint(const Tensor& dy, int64_t) const override { return dy.transpose(1, 2); }
};

class TokenMean final : public LinearMap {
 public:
  Tensor forward(Tensor x) override {
    shape_ = x.sizes().vec();
    return apply(x, 1);
  }

 private:
  Tensor apply(const Tensor& x, int64_t) const override { return x.mean(1); }
  Tensor adjoint(const Tensor& dy, int64_t k) const override {
    return (dy / static_cast<double>(shape_[1])).unsqueeze(1).expand(input_shape(k));
  }
};

class GlobalAverage final : public LinearMap {
 public:
  Tensor forward(Tensor x) override {
    shape_ = x.sizes().vec();
    return apply(x, 1);
  }

 private:
  Tensor apply(const Tensor& x, int64_t) const override { return x.mean({2, 3}); }
  Tensor adjoint(const Tensor& dy, int64_t k) const override {
    const auto share = dy / static_cast<double>(shape_[2] * shape_[3]);
    return channels_last(share.unsqueeze(-1).unsqueeze(-1).expand(input_shape(k)));
  }
};

class AveragePool final : public LinearMap {
 public:
  explicit AveragePool(int64_t kernel) : kernel_(kernel) {}
  Tensor forward(Tensor x) override {
    shape_ = x.sizes().vec();
    return apply(x, 1);
  }

 private:
  Tensor apply(const Tensor& x, int64_t) const override {
    return at::avg_pool2d(channels_last(x), {kernel_, kernel_});
  }
  Tensor adjoint(const Tensor& dy, int64_t k) const override {
    const auto like =
        at::empty(input_shape(k), dy.options().memory_format(at::MemoryFormat::ChannelsLast));
    return at::avg_pool2d_backward(channels_last(dy), like, {kernel_, kernel_}, {kernel_, kernel_},
                                   {0, 0}, false, true, {});
  }

  int64_t kernel_;
};

// Linear for a fixed choice of each window's largest entry; windows do not overlap.
class MaxPool final : public LinearMap {
 public:
  void kept(std::vector<Tensor>& tensors) const override { tensors.push_back(index_); }
  explicit MaxPool(int64_t kernel) : kernel_(kernel) {}
  Tensor forward(Tensor x) override {
    shape_ = x.sizes().vec();
    auto [y, index] = at::max_pool2d_with_indices(channels_last(x), {kernel_, kernel_});
    height_ = y.size(2);
    width_ = y.size(3);
    index_ = index.flatten(2).unsqueeze(0);
    return y;
  }

 private:
  Tensor apply(const Tensor& x, int64_t k) const override {
    return channels_last(
        by_tangent(x, k).gather(3, chosen(k)).view({x.size(0), shape_[1], height_, width_}));
  }
  Tensor adjoint(const Tensor& dy, int64_t k) const override {
    auto dx = at::zeros({k, shape_[0], shape_[1], shape_[2] * shape_[3]}, dy.options());
    dx.scatter_(3, chosen(k), by_tangent(dy, k));
    return channels_last(dx.view(input_shape(k)));
  }
  static Tensor by_tangent(const Tensor& t, int64_t k) {
    return t.flatten(2).unflatten(0, {k, t.size(0) / k});
  }
  Tensor chosen(int64_t k) const { return index_.expand({k, -1, -1, -1}); }

  int64_t kernel_, height_ = 0, width_ = 0;
  Tensor index_;  // [1, n, c, h' w'], positions in h w
};

// y = body(x) + shortcut(x).
class Residual final : public Step {
 public:
  Residual(Sequence body, Sequence shortcut)
      : body_(std::move(body)), shortcut_(std::move(shortcut)) {}
  bool has_parameters() const override {
    return body_.has_parameters() || shortcut_.has_parameters();
  }
  void kept(std::vector<Tensor>& tensors) const override {
    body_.kept(tensors);
    shortcut_.kept(tensors);
  }
  Tensor forward(Tensor x) override {
    auto y = body_.forward(x);
    return sum(std::move(y), shortcut_.forward(std::move(x)));
  }
  Tensor backward(Tensor dy, bool wanted) override {
    auto dx = body_.backward(dy, wanted);
    return sum(std::move(dx), shortcut_.backward(std::move(dy), wanted));
  }
  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    auto Ry = body_.forward_tangent(Rx, block);
    return sum(std::move(Ry), shortcut_.forward_tangent(std::move(Rx), block));
  }
  Dual consume(Dual dy, const Block& block, bool wanted) override {
    auto dx = body_.consume(dy, block, wanted);
    auto around = shortcut_.consume(std::move(dy), block, wanted);
    return {sum(std::move(dx.value), std::move(around.value)),
            sum(std::move(dx.tangent), std::move(around.tangent))};
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    auto Rdx = body_.backward_tangent(Rdy, block, wanted);
    return sum(std::move(Rdx), shortcut_.backward_tangent(std::move(Rdy), block, wanted));
  }

 private:
  Sequence body_, shortcut_;
};

}  // namespace

std::unique_ptr<Step> average_pool_step(int64_t kernel) {
  if (kernel == 0) return std::make_unique<GlobalAverage>();
  return std::make_unique<AveragePool>(kernel);
}
std::unique_ptr<Step> max_pool_step(int64_t kernel) {
  return std::make_unique<MaxPool>(kernel);
}
std::unique_ptr<Step> reshape_step(std::vector<int64_t> shape) {
  return std::make_unique<Reshape>(std::move(shape));
}
std::unique_ptr<Step> token_mean_step() {
  return std::make_unique<TokenMean>();
}
std::unique_ptr<Step> transpose_step() {
  return std::make_unique<Transpose>();
}
std::unique_ptr<Step> residual_step(Sequence body, Sequence shortcut) {
  return std::make_unique<Residual>(std::move(body), std::move(shortcut));
}

}  // namespace ritz::nn::detail
