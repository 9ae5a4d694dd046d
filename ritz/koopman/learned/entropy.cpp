#include "ritz/koopman/learned/entropy.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/gemm.h"
#include "ritz/dist/process_group.h"

namespace ritz::koopman::learned {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Eigenvalues of C (those of its Gram matrix, followed by `missing` zeros that are not stored)
/// give S and the coefficients c_i of dS/dC = V diag(c) V^T on the stored eigenvectors.
struct SpectralEntropy {
  Tensor value;         // scalar
  Tensor coefficients;  // like the eigenvalues
};

SpectralEntropy spectral_entropy(const Tensor& eigenvalues, int64_t d, double ridge) {
  const double floor = eigenvalues.scalar_type() == at::kFloat ? 1e-6 : 1e-10;
  const Tensor positive = eigenvalues.clamp_min(0);
  const Tensor trace = positive.sum();
  if (!(trace.item<double>() > 0)) {
    return {at::zeros({}, eigenvalues.options()), at::zeros_like(eigenvalues)};
  }
  const auto missing = static_cast<double>(d - eigenvalues.size(0));
  const Tensor rho0 = positive / trace;
  const double flat = ridge / static_cast<double>(d);
  const Tensor rho = (rho0 + flat) / (1 + ridge);
  const Tensor log_rho = rho.clamp_min(floor).log();
  const double rest = flat / (1 + ridge);
  Tensor value = -(rho * log_rho).sum();
  if (missing > 0 && rest > 0) value = value - missing * rest * std::log(std::max(rest, floor));
  return {value, -(log_rho - (rho0 * log_rho).sum()) / ((1 + ridge) * trace)};
}

/// V diag(c) V^T
Tensor assemble(const Tensor& vectors, const Tensor& coefficients) {
  return gemm_nt(vectors * coefficients, vectors);
}

struct RowsEntropy : torch::autograd::Function<RowsEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& rows,
                        const EntropyOptions& options) {
    const int64_t n = rows.size(0), d = rows.size(1);
    context->saved_data["scale"] = 1.0;
    dist::ProcessGroup* group = options.group;
    if (group != nullptr && group->world_size() > 1) {
      Tensor sums = at::empty({d * d + d + 1}, rows.options());
      sums.narrow(0, 0, d * d).view({d, d}).copy_(rows.t().mm(rows));
      sums.narrow(0, d * d, d).copy_(rows.sum(0));
      sums[d * d + d] = static_cast<double>(n);
      group->all_reduce_sum(sums);
      const double total = sums[d * d + d].item<double>();
      const Tensor mean = sums.narrow(0, d * d, d) / total;
      const Tensor second = sums.narrow(0, 0, d * d).view({d, d}) / total;
      const auto [l, v] = at::linalg_eigh(second.addr(mean, mean, 1, -1));
      const auto found = spectral_entropy(l, d, options.ridge);
      context->save_for_backward({rows - mean, assemble(v, found.coefficients)});
      context->saved_data["scale"] = 2.0 * group->world_size() / total;
      context->saved_data["left"] = false;
      return found.value;
    }
    const Tensor centred = rows - rows.mean(0);
    const bool gram = n < d;
    const Tensor square = gram ? gemm_nt(centred, centred) : gemm(centred.t(), centred);
    const auto [l, v] = at::linalg_eigh(square / static_cast<double>(n));
    const auto found = spectral_entropy(l, d, options.ridge);
    // rows_c f(C) = f(rows_c rows_c^T / n) rows_c: the Gram form multiplies from the left.
    context->save_for_backward({centred, assemble(v, found.coefficients)});
    context->saved_data["scale"] = 2.0 / static_cast<double>(n);
    context->saved_data["left"] = gram;
    return found.value;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& rows = saved[0];
    const Tensor& by = saved[1];
    const Tensor product = context->saved_data["left"].toBool() ? gemm(by, rows) : gemm(rows, by);
    return {product * (gradients[0] * context->saved_data["scale"].toDouble()), Tensor()};
  }
};

struct CovarianceEntropy : torch::autograd::Function<CovarianceEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& covariance, double ridge) {
    const auto [l, v] = at::linalg_eigh(covariance);
    const auto found = spectral_entropy(l, covariance.size(0), ridge);
    context->save_for_backward({assemble(v, found.coefficients)});
    return found.value;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {context->get_saved_variables()[0] * gradients[0], Tensor()};
  }
};

void check_rows(const Tensor& rows) {
  check_dim("rows", rows, 2);
  check_floating("rows", rows);
  check_at_least("rows", rows.size(0), 1);
  check_at_least("columns", rows.size(1), 1);
}

}  // namespace

Tensor entropy(const Tensor& rows, const EntropyOptions& options) {
  check_rows(rows);
  check_non_negative("ridge", options.ridge);
  return RowsEntropy::apply(rows, options);
}

Tensor covariance_entropy(const Tensor& covariance, double ridge) {
  check_floating("covariance", covariance);
  check_dim("covariance", covariance, 2);
  check_shape("covariance", covariance, {covariance.size(0), covariance.size(0)});
  check_non_negative("ridge", ridge);
  return CovarianceEntropy::apply(covariance, ridge);
}

Tensor covariance(const Tensor& rows) {
  check_rows(rows);
  const Tensor centred = rows - rows.mean(0);
  return centred.t().mm(centred) / static_cast<double>(rows.size(0));
}

Dimension effective_dimension(const Tensor& rows) {
  check_rows(rows);
  const at::NoGradGuard no_graph;
  const Tensor wide = rows.to(at::kDouble);
  const Tensor centred = wide - wide.mean(0);
  const double trace = centred.square().sum().item<double>() / static_cast<double>(rows.size(0));
  return {std::exp(entropy(wide, {.ridge = 0}).item<double>()), trace};
}

}  // namespace ritz::koopman::learned
