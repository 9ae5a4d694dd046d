#include "ritz/koopman/learned/products.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/gemm.h"

namespace ritz::koopman::learned {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Product : torch::autograd::Function<Product> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b) {
    context->save_for_backward({a, b});
    return gemm(a, b);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& g = gradients[0];
    return {context->needs_input_grad(0) ? gemm_nt(g, saved[1]) : Tensor(),
            context->needs_input_grad(1) ? gemm(saved[0].t(), g) : Tensor()};
  }
};

struct DenseFunction : torch::autograd::Function<DenseFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, bool relu) {
    Tensor y = gemm_nt(x, weight, bias);
    if (relu) y.relu_();
    context->save_for_backward({x, weight, relu ? y : Tensor()});
    context->saved_data["relu"] = relu;
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Tensor g = context->saved_data["relu"].toBool()
                         ? at::threshold_backward(gradients[0], saved[2], 0)
                         : gradients[0];
    return {context->needs_input_grad(0) ? gemm(g, weight) : Tensor(),
            context->needs_input_grad(1) ? gemm(g.t(), x) : Tensor(),
            context->needs_input_grad(2) ? g.sum(0) : Tensor(), Tensor()};
  }
};

}  // namespace

Tensor product(const Tensor& a, const Tensor& b) {
  return Product::apply(a, b);
}

Tensor dense(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu) {
  return DenseFunction::apply(x, weight, bias, relu);
}

}  // namespace ritz::koopman::learned
