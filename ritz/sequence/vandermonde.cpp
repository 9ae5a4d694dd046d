#include "ritz/sequence/vandermonde.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/sequence/detail/vandermonde_kernels.h"

namespace ritz::sequence {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const double* parts(const Tensor& complex) {
  return reinterpret_cast<const double*>(complex.const_data_ptr<c10::complex<double>>());
}
double* parts_of(Tensor& complex) {
  return reinterpret_cast<double*>(complex.data_ptr<c10::complex<double>>());
}

template <class Work>
void by_type(c10::ScalarType dtype, const Work& work) {
  if (dtype == torch::kFloat64)
    work(double{});
  else
    work(float{});
}

struct Kernel : torch::autograd::Function<Kernel> {
  static Tensor forward(AutogradContext* context, const Tensor& log_a, const Tensor& c, int64_t L,
                        c10::ScalarType dtype) {
    const int64_t H = c.size(0), N = c.size(1);
    context->save_for_backward({log_a, c});
    Tensor K = torch::empty({H, L}, torch::TensorOptions(dtype));
    by_type(dtype, [&](auto scalar) {
      using Scalar = decltype(scalar);
      auto* out = K.data_ptr<Scalar>();
      parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
        detail::vandermonde_forward(first, last, N, L, parts(log_a), parts(c), out);
      });
    });
    return K;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &log_a = saved[0], &c = saved[1];
    const Tensor g = gradients[0].contiguous();
    Tensor grad_log_a = torch::empty_like(log_a), grad_c = torch::empty_like(c);
    by_type(g.scalar_type(), [&](auto scalar) {
      using Scalar = decltype(scalar);
      const auto* in = g.const_data_ptr<Scalar>();
      auto *to_log_a = parts_of(grad_log_a), *to_c = parts_of(grad_c);
      parallel_for(0, c.size(0), 1, [&](int64_t first, int64_t last) {
        detail::vandermonde_backward(first, last, c.size(1), g.size(1), parts(log_a), parts(c), in,
                                     to_log_a, to_c);
      });
    });
    return {grad_log_a, grad_c, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor detail::vandermonde_by_tensors(const Tensor& log_a, const Tensor& c, int64_t L,
                                      c10::ScalarType dtype) {
  const Tensor l = torch::arange(L, log_a.options().dtype(torch::kFloat64));
  const Tensor powers = (log_a.to(torch::kComplexDouble).unsqueeze(-1) * l).exp();
  return torch::real((c.to(torch::kComplexDouble).unsqueeze(-1) * powers).sum(1)).to(dtype);
}

Tensor vandermonde_kernel(const Tensor& log_a, const Tensor& c, int64_t L, c10::ScalarType dtype) {
  check_at_least("L", L, 1);
  check_dim("c", c, 2);
  check_shape("log_a", log_a, c.sizes());
  if (!log_a.is_complex() || !c.is_complex())
    throw InvalidArgument("log_a, c", "complex tensors", describe(c.is_complex() ? log_a : c));
  if (dtype != torch::kFloat32 && dtype != torch::kFloat64)
    throw InvalidArgument("dtype", "float32 or float64", dtype_name(dtype));
  if (c.numel() == 0) return torch::zeros({c.size(0), L}, c.options().dtype(dtype));
  const double growth =
      torch::real(log_a.detach()).max().item<double>() * static_cast<double>(L - 1);
  const double limit = dtype == torch::kFloat64 ? 700 : 80;  // just below log of the largest number
  if (!(growth < limit))
    throw InvalidArgument("eigenvalues",
                          "powers |a|^" + std::to_string(L - 1) + " within " + dtype_name(dtype),
                          "a growth by exp(" + number_text(growth) + "): an unstable eigenvalue");
  if (!c.device().is_cpu()) return detail::vandermonde_by_tensors(log_a, c, L, dtype);
  return Kernel::apply(log_a.to(torch::kComplexDouble).resolve_conj().contiguous(),
                       c.to(torch::kComplexDouble).resolve_conj().contiguous(), L, dtype);
}

}  // namespace ritz::sequence
