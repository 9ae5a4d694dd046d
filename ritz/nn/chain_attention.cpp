#include <torch/types.h>

#include <cmath>
#include <utility>

#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

// Softmax attention of each sample and head, Q, K, V [t, d] out of x [t, 3 w]; a = d^(-1/2),
// rows(A) the sums of A's rows, A o B entry by entry:
//
//     P = softmax(a Q K^T)                    Y = P V
//     C = dY V^T - rows(P o dY V^T)           dS = P o C
//     dQ = a dS K,  dK = a dS^T Q,  dV = P^T dY
//
// and the tangents, with B = R dY V^T + dY R V^T:
//
//     R S = a (R Q K^T + Q R K^T)             R P = P o (R S - rows(P o R S))
//     R Y = R P V + P R V
//     R dS = P o (B - rows(P o B + R P o dY V^T)) + R P o C
//          = P o (B - rows(P o B) - rows(R P o C)) + R P o C         since rows(R P) = 0
//     R dQ = a (R dS K + dS R K),  R dK alike,  R dV = P^T R dY + R P^T dY
//
// First-order products leave out what has dY in it.
class Attention final : public Step {
 public:
  explicit Attention(int64_t heads) : heads_(heads) {}
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {x_.all, P_, dy_, C_});
  }

  Tensor forward(Tensor x) override {
    x_ = split(x);
    scale_ = 1 / std::sqrt(static_cast<double>(x_.q.size(-1)));
    P_ = x_.q.matmul(x_.k.transpose(-2, -1)).mul_(scale_).softmax(-1);
    return merged(P_.matmul(x_.v));
  }

  Tensor backward(Tensor dy, bool wanted) override {
    if (!wanted) return {};
    dy_ = of_heads(dy);
    C_ = dy_.matmul(x_.v.transpose(-2, -1));
    C_.sub_((P_ * C_).sum(-1, true));
    const auto dS = P_ * C_;
    return joined(dS.matmul(x_.k).mul_(scale_), dS.transpose(-2, -1).matmul(x_.q).mul_(scale_),
                  P_.transpose(-2, -1).matmul(dy_));
  }

  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    if (!Rx.defined()) return {};
    auto R = split(Rx);
    auto RP = R.q.matmul(x_.k.transpose(-2, -1));
    RP.add_(x_.q.matmul(R.k.transpose(-2, -1))).mul_(scale_).mul_(P_);
    RP.sub_(P_ * RP.sum(-1, true));
    auto Ry = merged(RP.matmul(x_.v).add_(P_.matmul(R.v)));
    if (block.second_order) {
      RP_ = std::move(RP);
      Rx_ = std::move(R);
    }
    return Ry;
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    if (!wanted) return {};
    const auto R = of_heads(Rdy);
    const bool second = block.second_order && RP_.defined();
    auto B = R.matmul(x_.v.transpose(-2, -1));
    if (second) B.add_(dy_.matmul(Rx_.v.transpose(-2, -1)));
    B.mul_(P_);  // P o B
    auto rows = B.sum(-1, true);
    auto dV = P_.transpose(-2, -1).matmul(R);
    if (second) {
      dV.add_(RP_.transpose(-2, -1).matmul(dy_));
      RP_.mul_(C_);
      rows.add_(RP_.sum(-1, true));
      B.add_(RP_);
      RP_ = Tensor();
    }
    B.sub_(P_ * rows);  // R dS
    auto dQ = B.matmul(x_.k);
    auto dK = B.transpose(-2, -1).matmul(x_.q);
    if (second) {
      const auto dS = P_ * C_;
      dQ.add_(dS.matmul(Rx_.k));
      dK.add_(dS.transpose(-2, -1).matmul(Rx_.q));
      Rx_ = {};
    }
    return joined(dQ.mul_(scale_), dK.mul_(scale_), dV);
  }

 private:
  struct Heads {
    Tensor all, q, k, v;  // [3, ..., heads, t, d], contiguous, and its parts
  };
  // [..., t, 3 w]
  Heads split(const Tensor& x) const {
    auto all = x.unflatten(-1, {3, heads_, -1}).transpose(-4, -2).movedim(-3, 0).contiguous();
    return {all, all[0], all[1], all[2]};
  }
  // [..., t, w] -> [..., heads, t, d]
  Tensor of_heads(const Tensor& y) const {
    return y.unflatten(-1, {heads_, -1}).transpose(-3, -2).contiguous();
  }
  // [..., heads, t, d] -> [..., t, w]
  static Tensor merged(const Tensor& y) { return y.transpose(-3, -2).flatten(-2); }
  // The inverse of split.
  static Tensor joined(const Tensor& q, const Tensor& k, const Tensor& v) {
    return at::stack({q.transpose(-3, -2), k.transpose(-3, -2), v.transpose(-3, -2)}, -3)
        .flatten(-3);
  }

  const int64_t heads_;
  double scale_ = 1;
  Heads x_, Rx_;
  Tensor P_, dy_, C_, RP_;  // [n, heads, t, t] and alike; blocks have k in front
};

}  // namespace

std::unique_ptr<Step> attention_step(int64_t heads) {
  return std::make_unique<Attention>(heads);
}

}  // namespace ritz::nn::detail
