// Steps of sequence models that look up or add a weight.
#include <torch/types.h>

#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// y = x + W over samples: R y = R x + V, dW = sum over samples of dy.
class Position final : public Step {
 public:
  Position(std::shared_ptr<Weights> weights, int64_t lane)
      : weights_(std::move(weights)), lane_(lane) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>&) const override {}

  Tensor forward(Tensor x) override {
    samples_ = x.size(0);
    return x + weights_->value();
  }
  Tensor backward(Tensor dy, bool) override {
    if (weights_->wants_gradient()) weights_->gradient(lane_).add_(dy.sum(0));
    return dy;
  }
  Tensor forward_tangent(Tensor Rx, const Block&) override {
    const auto V = weights_->tangent().unsqueeze(1);
    if (Rx.defined()) return sole_owner(Rx) ? Rx.add_(V) : Rx + V;
    auto shape = V.sizes().vec();
    shape[1] = samples_;
    return V.expand(shape);
  }
  Tensor backward_tangent(Tensor Rdy, const Block&, bool) override {
    weights_->product(lane_).add_(Rdy.sum(1));
    return Rdy;
  }

 private:
  std::shared_ptr<Weights> weights_;
  int64_t lane_, samples_ = 0;
};

// y = rows of W by index: linear in W, and nothing to differentiate below.
class Embedding final : public Step {
 public:
  Embedding(std::shared_ptr<Weights> weights, int64_t lane)
      : weights_(std::move(weights)), lane_(lane) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>&) const override {}

  Tensor forward(Tensor x) override {
    index_ = std::move(x);
    return at::embedding(weights_->value(), index_);
  }
  Tensor backward(Tensor dy, bool) override {
    if (weights_->wants_gradient()) weights_->gradient(lane_).add_(scattered(dy));
    return {};
  }
  Tensor forward_tangent(Tensor, const Block& block) override {
    std::vector<Tensor> rows;
    for (int64_t j = 0; j < block.k; ++j)
      rows.push_back(at::embedding(weights_->tangent()[j], index_));
    return at::stack(rows);
  }
  Tensor backward_tangent(Tensor Rdy, const Block& block, bool) override {
    for (int64_t j = 0; j < block.k; ++j) weights_->product(lane_)[j].add_(scattered(Rdy[j]));
    return {};
  }

 private:
  Tensor scattered(const Tensor& rows) const {
    return at::embedding_dense_backward(rows.contiguous(), index_, weights_->value().size(0),
                                        /*padding_idx=*/-1, /*scale_grad_by_freq=*/false);
  }

  std::shared_ptr<Weights> weights_;
  int64_t lane_;
  Tensor index_;
};

}  // namespace

std::unique_ptr<Step> position_step(std::shared_ptr<Weights> weights, int64_t lane) {
  return std::make_unique<Position>(std::move(weights), lane);
}
std::unique_ptr<Step> embedding_step(std::shared_ptr<Weights> weights, int64_t lane) {
  return std::make_unique<Embedding>(std::move(weights), lane);
}

}  // namespace ritz::nn::detail
