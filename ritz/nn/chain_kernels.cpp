#include "ritz/nn/detail/chain_kernels.h"

#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/nn/detail/chain_parts.h"

namespace ritz::nn::detail {
namespace {

using Part = ChainParts::Part;

/// No gradients recorded, nor views and versions: operations start faster, and a tensor whose view
/// alone lives on counts as its only owner.
struct NoGraph {
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowADInplaceOrView below;
};

class ChainDerivatives final : public BatchDerivatives {
 public:
  ChainDerivatives(const Network& network, const Loss& loss, const Tensor& inputs,
                   const Tensor& targets, Product product)
      : loss_(loss), parts_(network, inputs), part_outputs_(parts_.parts().size()) {
    const NoGraph no_graph;
    const bool backward = product == Product::hessian;
    if (backward) parts_.start_gradient(true);
    parts_.for_each([&](Part& part) {
      const Tensor z = outputs_of(part) = ChainParts::forward(part, inputs);
      if (!backward) return;
      const Tensor y = targets.narrow(0, part.begin, part.size);
      part.steps.backward(loss.output_gradient(z, y), false);
    });
    outputs_ = at::cat(part_outputs_);
    parts_.finish_gradient();
  }

  const Tensor& outputs() const override { return outputs_; }

  void add_hessian_products(const Tensor& V, const Tensor& out, double scale) override {
    const NoGraph no_graph;
    parts_.for_groups(V.size(0), [&](int64_t first, int64_t k) {
      parts_.load_tangents(V.narrow(0, first, k));
      parts_.start_products(k);
      const Block block{k, true};
      parts_.for_each([&](Part& part) {
        const Tensor& z = outputs_of(part);
        const auto Rz = ChainParts::forward_tangents(part, z, block);
        part.steps.backward_tangent(loss_.output_hessian_product(z, Rz), block, false);
      });
      parts_.add_products(out.narrow(0, first, k), scale, true);
    });
  }

  Tensor jacobian_products(const Tensor& V) override {
    const NoGraph no_graph;
    const auto Jv = at::empty({V.size(0), outputs_.size(0), outputs_.size(1)}, outputs_.options());
    parts_.for_groups(V.size(0), [&](int64_t first, int64_t k) {
      parts_.load_tangents(V.narrow(0, first, k));
      const auto group = Jv.narrow(0, first, k);
      parts_.for_each([&](Part& part) {
        const auto Rz = ChainParts::forward_tangents(part, outputs_of(part), {k, false});
        group.narrow(1, part.begin, part.size).copy_(Rz);
      });
    });
    return Jv;
  }

  void add_output_products(const Tensor& W, const Tensor& out, double scale) override {
    const NoGraph no_graph;
    parts_.for_groups(W.size(0), [&](int64_t first, int64_t k) {
      parts_.start_products(k);
      const auto group = W.narrow(0, first, k);
      parts_.for_each([&](Part& part) {
        part.steps.backward_tangent(group.narrow(1, part.begin, part.size), {k, false}, false);
      });
      parts_.add_products(out.narrow(0, first, k), scale, false);
    });
  }

 private:
  Tensor& outputs_of(const Part& part) {
    return part_outputs_[static_cast<size_t>(&part - parts_.parts().data())];
  }

  Loss loss_;
  ChainParts parts_;
  std::vector<Tensor> part_outputs_;
  Tensor outputs_;
};

}  // namespace

std::unique_ptr<BatchDerivatives> chain_derivatives(const Network& network, const Loss& loss,
                                                    const Tensor& inputs, const Tensor& targets,
                                                    Product product) {
  if (!network.chain) throw Unsupported("chain_derivatives: the network has no chain of stages");
  return std::make_unique<ChainDerivatives>(network, loss, inputs, targets, product);
}

Tensor add_chain_products(const Network& network, const Loss& loss, const Tensor& inputs,
                          const Tensor& targets, const ChainProducts& products) {
  const NoGraph no_graph;
  const auto& [V, gradient, out, scale] = products;
  ChainParts parts(network, inputs);
  parts.start_gradient(false);
  parts.load_tangents(V);
  parts.start_products(V.size(0));
  std::vector<Tensor> outputs(parts.parts().size());
  parts.for_each([&, &V = V](Part& part) {
    Tensor& z = outputs[static_cast<size_t>(&part - parts.parts().data())];
    z = ChainParts::forward(part, inputs);
    const Block block{V.size(0), true};
    const auto Rz = ChainParts::forward_tangents(part, z, block);
    const Tensor y = targets.narrow(0, part.begin, part.size);
    part.steps.consume({loss.output_gradient(z, y), loss.output_hessian_product(z, Rz)}, block,
                       false);
  });
  parts.finish_gradient();
  parts.add_gradient(gradient, scale);
  parts.add_products(out, scale, true);
  return at::cat(outputs);
}

}  // namespace ritz::nn::detail
