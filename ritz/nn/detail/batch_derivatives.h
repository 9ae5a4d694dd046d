#pragma once
// The seam between curvature operators and the ways to differentiate. An operator is a sum over
// micro-batches of derivatives of the *summed* loss; each micro-batch is one BatchDerivatives,
// which keeps what the next product needs (a graph, activations). Autograd implements it for every
// network (autograd_derivatives.cpp), differences for those that autograd cannot differentiate
// twice (difference_derivatives.cpp); hand-written kernels over a Chain for the networks that have
// one.
#include <memory>
#include <string>

#include "ritz/base/tensor.h"
#include "ritz/nn/curvature.h"

namespace ritz::nn::detail {

/// Which products will be asked for: an implementation prepares no more than that.
enum class Product {
  gradient,  // add_output_products, once
  hessian,   // add_hessian_products
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
  /// False where it holds nothing that the next product could use: it is then made anew each time.
  virtual bool worth_keeping() const { return true; }
};

/// One micro-batch of an objective.
struct Batch {
  const Network& network;
  const Loss& loss;
  Tensor inputs, targets;
  Product product;
};

/// Makes the derivatives of one micro-batch: the one place that chooses between the ways. The
/// network's mode (evaluation, or training on request) is set by the caller.
std::unique_ptr<BatchDerivatives> make_batch_derivatives(const Batch& batch,
                                                         Differentiation differentiation);

/// By reverse mode over reverse mode, for any network; the graph is kept between products.
std::unique_ptr<BatchDerivatives> autograd_derivatives(const Batch& batch);
/// Second derivatives and J v by central differences; J^T w by reverse mode. Moves the parameters
/// within a product, and puts back their bits.
std::unique_ptr<BatchDerivatives> difference_derivatives(const Batch& batch);

/// The network's outputs, checked to be [n, c] for n samples.
Tensor checked_forward(const Batch& batch);
/// Pieces of a flat vector [P] in the shapes of the parameters; views.
std::vector<Tensor> unflatten(const Tensor& flat, const std::vector<Tensor>& parameters);
/// flat [P] += scale * pieces, an undefined piece being zero.
void add_flat(const Tensor& flat, const std::vector<Tensor>& pieces,
              const std::vector<Tensor>& parameters, double scale);
/// Gradients of `roots` (summed against `seeds`) at all parameters. Throws InvalidArgument naming
/// the first parameter that they do not depend on.
std::vector<Tensor> parameter_gradients(const Network& network, const std::vector<Tensor>& roots,
                                        const std::vector<Tensor>& seeds, bool keep_graph,
                                        bool create_graph);

}  // namespace ritz::nn::detail
