// Reverse mode over reverse mode (Pearlmutter 1994). The graph of the first reverse pass is built
// once and serves every later product:
//   H v   = d/dtheta (g(theta)^T v),   g = dL/dtheta;
//   J^T w = d/dtheta (z^T w);
//   J v   = d/du (g(u)^T v),           g(u) = J^T u, which is linear in u: the value of u does not
//   matter.
#include <torch/types.h>

#include "ritz/nn/detail/batch_derivatives.h"
#include "ritz/nn/detail/double_backward.h"

namespace ritz::nn::detail {
namespace {

class AutogradDerivatives : public BatchDerivatives {
 public:
  explicit AutogradDerivatives(const Batch& batch)
      : network_(batch.network), parameters_(batch.network.parameter_values()) {
    const torch::AutoGradMode grad_mode(true);
    const Tensor z = checked_forward(batch);
    outputs_ = z.detach();
    if (batch.product == Product::hessian) {
      const Tensor total = batch.loss.per_sample(z, batch.targets).sum();
      take_first(parameter_gradients(network_, {total}, {}, true, true));
    } else {
      graph_outputs_ = z;
      if (batch.product == Product::jacobian) {
        u_ = at::zeros_like(outputs_).requires_grad_();
        take_first(parameter_gradients(network_, {z}, {u_}, true, true));
      }
    }
  }

  const Tensor& outputs() const override { return outputs_; }

  void add_hessian_products(const Tensor& V, const Tensor& out, double scale) override {
    if (first_.empty()) return;  // the loss is linear in the parameters
    for (int64_t k = 0; k < V.size(0); ++k) {
      add_flat(out[k], differentiate_first(V[k], parameters_), parameters_, scale);
    }
  }

  Tensor jacobian_products(const Tensor& V) override {
    Tensor result = at::empty({V.size(0), outputs_.size(0), outputs_.size(1)}, outputs_.options());
    for (int64_t k = 0; k < V.size(0); ++k) result[k].copy_(differentiate_first(V[k], {u_})[0]);
    return result;
  }

  void add_output_products(const Tensor& W, const Tensor& out, double scale) override {
    for (int64_t k = 0; k < W.size(0); ++k) {
      add_flat(out[k], parameter_gradients(network_, {graph_outputs_}, {W[k]}, true, false),
               parameters_, scale);
    }
  }

 private:
  /// Keeps those of the first derivatives that depend on something: the others' derivatives are
  /// zero.
  void take_first(std::vector<Tensor> gradients) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].requires_grad()) continue;
      place_.push_back(i);
      first_.push_back(std::move(gradients[i]));
    }
  }

  std::vector<Tensor> differentiate_first(const Tensor& v, const std::vector<Tensor>& by) const {
    const auto pieces = unflatten(v, parameters_);
    std::vector<Tensor> seeds;
    seeds.reserve(place_.size());
    for (const size_t i : place_) seeds.push_back(pieces[i]);
    return differentiate_again(first_, by, seeds, /*retain_graph=*/true);
  }

  const Network network_;
  const std::vector<Tensor> parameters_;
  Tensor outputs_, graph_outputs_, u_;
  std::vector<Tensor> first_;  // the differentiable first derivatives
  std::vector<size_t> place_;  // and which parameters they belong to
};

}  // namespace

std::unique_ptr<BatchDerivatives> autograd_derivatives(const Batch& batch) {
  return std::make_unique<AutogradDerivatives>(batch);
}

}  // namespace ritz::nn::detail
