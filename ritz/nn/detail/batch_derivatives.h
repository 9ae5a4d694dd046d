#pragma once
// The seam between curvature operators and the ways to differentiate. An operator is a sum over
// micro-batches of derivatives of the *summed* loss; each micro-batch is one BatchDerivatives,
// which keeps what the next product needs (a graph, activations). Autograd implements it for every
// network (autograd_derivatives.cpp); hand-written kernels over a Chain implement it for the
// networks that have one.
#include <memory>

#include "ritz/base/tensor.h"
#include "ritz/nn/curvature.h"

namespace ritz::nn::detail {

/// Which products will be asked for: an implementation prepares no more than that.
enum class Product {
  gradient,  // add_output_products only
  hessian,   // add_hessian_products only
  jacobian   // jacobian_products and add_output_products
};

/// Derivatives of sum_{i in batch} loss_i at the parameters' values when it was made. Vectors are
/// rows: V [k, P] contiguous, out [k, P] contiguous and accumulated into. P is the flat parameter
/// order.
class BatchDerivatives {
 public:
  virtual ~BatchDerivatives() = default;
  /// Network outputs z [n, c], detached.
  virtual const Tensor& outputs() const = 0;
  /// out += scale * V H, H = sum_i H_i.
  virtual void add_hessian_products(const Tensor& V, const Tensor& out, double scale) = 0;
  /// J v for each row v: [k, n, c].
  virtual Tensor jacobian_products(const Tensor& V) = 0;
  /// out += scale * W J for W [k, n, c].
  virtual void add_output_products(const Tensor& W, const Tensor& out, double scale) = 0;
};

/// Makes the derivatives of one micro-batch: the one place that chooses between kernels and
/// autograd.
std::unique_ptr<BatchDerivatives> make_batch_derivatives(const Network& network, const Loss& loss,
                                                         const Tensor& inputs,
                                                         const Tensor& targets, Product product,
                                                         Differentiation differentiation);

/// By autograd, for any network. `batch` names the micro-batch in errors.
std::unique_ptr<BatchDerivatives> autograd_derivatives(const Network& network, const Loss& loss,
                                                       const Tensor& inputs, const Tensor& targets,
                                                       Product product);

}  // namespace ritz::nn::detail
