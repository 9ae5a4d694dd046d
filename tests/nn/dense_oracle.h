#pragma once
// Curvature matrices written out by plain autograd, one row at a time: what the matrix-free
// operators are compared with.
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/nn/curvature.h"
#include "ritz/nn/layers.h"

namespace ritz::nn::oracle {

/// The flat gradient [P] of a scalar with its graph; parameters that do not matter give zeros.
inline Tensor flat_gradient(const Tensor& scalar, const Network& network) {
  const auto parameters = network.parameter_values();
  auto pieces = torch::autograd::grad({scalar}, parameters, {}, true, true, true);
  for (size_t i = 0; i < pieces.size(); ++i) {
    pieces[i] = pieces[i].defined() ? pieces[i].flatten()
                                    : at::zeros({parameters[i].numel()}, scalar.options());
  }
  return at::cat(pieces);
}

inline Tensor dense_hessian(const Objective& o) {
  const Tensor g = flat_gradient(o.loss(o.network.forward(o.inputs), o.targets), o.network);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < g.size(0); ++i) {
    rows.push_back(g.requires_grad() ? flat_gradient(g[i], o.network).detach() : at::zeros_like(g));
  }
  return at::stack(rows);
}

/// [N, c, P]
inline Tensor dense_jacobian(const Objective& o) {
  const Tensor z = o.network.forward(o.inputs);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < z.numel(); ++i) {
    rows.push_back(flat_gradient(z.flatten()[i], o.network).detach());
  }
  return at::stack(rows).view({z.size(0), z.size(1), -1});
}

/// [N, P]
inline Tensor dense_sample_gradients(const Objective& o) {
  const Tensor losses = o.loss.per_sample(o.network.forward(o.inputs), o.targets);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < losses.size(0); ++i)
    rows.push_back(flat_gradient(losses[i], o.network).detach());
  return at::stack(rows);
}

inline Tensor dense_ggn(const Objective& o) {
  const Tensor J = dense_jacobian(o), z = o.network.forward(o.inputs).detach();
  Tensor total = at::zeros({J.size(2), J.size(2)}, J.options());
  for (int64_t i = 0; i < J.size(0); ++i) {
    Tensor zi = z.narrow(0, i, 1).clone().requires_grad_();
    const Tensor s = torch::autograd::grad({o.loss.per_sample(zi, o.targets.narrow(0, i, 1)).sum()},
                                           {zi}, {}, true, true)[0];
    std::vector<Tensor> rows;
    for (int64_t a = 0; a < zi.size(1); ++a) {
      rows.push_back(torch::autograd::grad({s[0][a]}, {zi}, {}, true)[0][0]);
    }
    total += J[i].t().mm(at::stack(rows)).mm(J[i]);
  }
  return o.loss.mean ? total / J.size(0) : total;
}

/// The operator's matrix, by one block product with the identity.
inline Tensor matrix_of(const LinearOperator& op) {
  return op.apply(at::eye(op.cols(), op.options()));
}

/// max |a - b| / max |b|
inline double relative_error(const Tensor& a, const Tensor& b) {
  const double scale = b.abs().max().item<double>();
  return (a - b).abs().max().item<double>() / (scale > 0 ? scale : 1);
}

/// Tokens through an embedding and a strided, grouped 1-d convolution, then one linear layer twice
/// (with a bias or without) and a head: every kind of layer that images do not need.
class Sentence : public Layer {
 public:
  Sentence(int64_t outputs, bool bias)
      : embedding_(register_module("embedding", std::make_shared<Embedding>(5, 4))),
        conv_(register_module(
            "conv",
            std::make_shared<Conv1d>(4, 4, ConvOptions{.stride = 2, .padding = 1, .groups = 2}))),
        twice_(register_module("twice", std::make_shared<Linear>(4, 4, bias))),
        head_(register_module("head", std::make_shared<Linear>(4, outputs))) {}
  /// Numbers [N, L] become tokens 0 ... 4.
  Tensor forward(const Tensor& x) override {
    const Tensor tokens = (x * 2).round().clamp(-2, 2).to(at::kLong) + 2;
    const Tensor h = conv_->forward(embedding_->forward(tokens).transpose(1, 2)).mean(2).tanh();
    return head_->forward(twice_->forward(twice_->forward(h).tanh()).tanh());
  }

 private:
  std::shared_ptr<Embedding> embedding_;
  std::shared_ptr<Conv1d> conv_;
  std::shared_ptr<Linear> twice_, head_;
};

/// Gaussian inputs and targets fit for the loss.
inline Objective make_objective(Network network, Loss loss, std::vector<int64_t> shape,
                                int64_t samples, int64_t outputs, uint64_t seed = 1) {
  RandomStream random(seed, stream_id("oracle"));
  const auto options = network.options();
  shape.insert(shape.begin(), samples);
  Objective o{std::move(network), loss, random.normal(shape, options), {}};
  if (loss.kind == LossKind::cross_entropy) o.targets = random.integers({samples}, 0, outputs);
  if (loss.kind == LossKind::mean_squared_error)
    o.targets = random.normal({samples, outputs}, options);
  if (loss.kind == LossKind::bernoulli) o.targets = random.uniform({samples, outputs}, options);
  return o;
}

}  // namespace ritz::nn::oracle
