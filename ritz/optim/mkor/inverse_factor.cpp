#include "ritz/optim/mkor/inverse_factor.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/detail/factor_kernels.h"

namespace ritz::optim {

namespace {

/// A renewal as M <- alpha M + beta I + sign w w^T with w = scale u.
struct Step {
  double alpha = 1, beta = 0, sign = -1, scale = 0;
};

/// From s = v^T u, u being M v (N v for `reference`), with M = z M_old + (1 - z) I stabilised.
Step step_of(MkorForm form, double gamma, double z, double s, bool decays) {
  const double g = decays ? gamma : 1, rest = 1 - gamma;
  switch (form) {
    case MkorForm::reference:
      return {g * z, g * (1 - z) + (1 - g), -1, 1 / std::sqrt(1 + s)};
    case MkorForm::ema:
      return {z / g, (1 - z) / g, -1, std::sqrt(rest / (g * (g + rest * s)))};
    case MkorForm::paper:
      break;
  }
  return {g * z, g * (1 - z), 1, std::sqrt(rest / (gamma * gamma * (1 + gamma * rest * s)))};
}

detail::Stored stored_as(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return detail::Stored::float32;
    case at::kDouble:
      return detail::Stored::float64;
    case at::kHalf:
      return detail::Stored::float16;
    default:
      return detail::Stored::bfloat16;
  }
}

struct Product {
  Tensor u;  // M v
  double norm = 0;
};

Product times(const Tensor& M, const Tensor& v, bool fused, FactorNorm norm) {
  if (fused) {
    Tensor u = at::empty_like(v);
    const auto norms = detail::factor_times_vector(stored_as(M.scalar_type()), M.const_data_ptr(),
                                                   v.const_data_ptr(), u.data_ptr(), M.size(0));
    return {u, norm == FactorNorm::entry ? norms.entry : norms.row_sum};
  }
  const Tensor wide = M.to(v.scalar_type()), magnitude = wide.abs();
  const Tensor largest = norm == FactorNorm::entry ? magnitude.max() : magnitude.sum(1).max();
  return {wide.mv(v), largest.item<double>()};
}

/// False where M left the finite numbers.
bool add(const Tensor& M, const Tensor& w, bool fused, const Step& step) {
  if (fused) {
    return detail::add_rank_one(stored_as(M.scalar_type()), M.data_ptr(), w.const_data_ptr(),
                                M.size(0), step.alpha, step.beta, step.sign);
  }
  Tensor wide = M.to(w.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  wide.mul_(step.alpha).add_(at::outer(w, w), step.sign);
  wide.diagonal().add_(step.beta);
  M.copy_(wide);
  return M.isfinite().all().item<bool>();
}

}  // namespace

MkorForm parse_mkor_form(const std::string& name) {
  if (name == "reference") return MkorForm::reference;
  if (name == "ema") return MkorForm::ema;
  if (name == "paper") return MkorForm::paper;
  throw InvalidArgument("form", "reference, ema or paper", name);
}

void check_renewal_options(const RenewalOptions& options) {
  if (!(options.gamma > 0 && options.gamma < 1)) {
    throw InvalidArgument("gamma", "a value between 0 and 1", number_text(options.gamma));
  }
  check_positive("eps", options.eps);
  check_in("zeta", options.zeta, 0, 1);
}

Renewal renew_factor(const Tensor& M, const Tensor& V, const RenewalOptions& options) {
  check_renewal_options(options);
  check_dim("M", M, 2);
  const int64_t d = M.size(0);
  check_shape("M", M, {d, d});
  check_shape("V", V, {-1, d});
  const auto type = M.scalar_type();
  if (type != at::kHalf && type != at::kBFloat16) check_floating("M", M);
  const auto arithmetic = type == at::kDouble ? at::kDouble : at::kFloat;
  const bool fused = M.is_cpu() && M.is_contiguous();

  Renewal result;
  for (int64_t k = 0; k < V.size(0); ++k) {
    const Tensor v = V[k].to(M.device(), arithmetic).contiguous();
    Product product = times(M, v, fused, options.norm);
    double z = 1;
    if (k == 0 && product.norm > options.eps) {
      z = options.zeta;
      product.u.mul_(z).add_(v, 1 - z);
      result.stabilised = true;
    }
    Tensor& u = product.u;
    if (k == 0 && options.form == MkorForm::reference)
      u.mul_(options.gamma).add_(v, 1 - options.gamma);
    const double s = v.to(at::kDouble).dot(u.to(at::kDouble)).item<double>();
    const Step step = step_of(options.form, options.gamma, z, s, k == 0);
    if (!std::isfinite(step.scale) || !add(M, u.mul_(step.scale), fused, step)) {
      M.copy_(at::eye(d, M.options()));
      result.reset = true;
      break;
    }
  }
  return result;
}

}  // namespace ritz::optim
