#include "ritz/koopman/learned/kernel_regression.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/koopman/learned/trajectories.h"

namespace ritz::koopman::learned {

KernelRegression::KernelRegression(const Tensor& trajectories,
                                   const KernelRegressionOptions& options)
    : horizon_(options.horizon) {
  check_dim("trajectories", trajectories, 3);
  check_floating("trajectories", trajectories);
  check_finite("trajectories", trajectories);
  check_at_least("samples", options.samples, 1);
  check_at_least("eigenvalues", options.eigenvalues, 1);
  check_in("least_radius", options.least_radius, 0, 1);
  check_non_negative("scale", options.scale);
  check_positive("ridge", options.ridge);
  const at::NoGradGuard no_graph;
  const int64_t D = trajectories.size(2), H = horizon_;
  Tensor rows = windows({trajectories}, H);
  if (rows.size(0) > options.samples) {
    RandomStream random(options.seed, stream_id("koopman/kernel starts"));
    rows = rows.index_select(0, std::get<0>(random.sample(rows.size(0), options.samples).sort()));
  }
  const int64_t n = rows.size(0);
  const Tensor frames = gather_frames(trajectories, rows, H + 1).to(at::kDouble);
  starts_ = frames.select(1, 0).contiguous();
  mean_ = starts_.mean(0);
  const Tensor y = frames.narrow(1, 1, H) - mean_;  // [n, H, D]
  scale_ = options.scale;
  if (scale_ == 0) {
    const Tensor apart = at::pdist(starts_.narrow(0, 0, std::min<int64_t>(n, 500)));
    scale_ = apart.numel() > 0 ? 0.5 * apart.median().item<double>() : 1;
    if (!(scale_ > 0)) scale_ = 1;
  }
  RandomStream random(options.seed, stream_id("koopman/kernel eigenvalues"));
  const Tensor r = random.uniform({options.eigenvalues}, at::kDouble, options.least_radius, 1);
  const Tensor omega = random.uniform({options.eigenvalues}, at::kDouble, 0, M_PI);
  const Tensor h = at::arange(1, H + 1, at::kDouble).unsqueeze(1);
  const Tensor size = r.pow(h);
  const Tensor c = size * (h * omega).cos(), s = size * (h * omega).sin();
  const Tensor kappa = (c.mm(c.t()) + s.mm(s.t())) / static_cast<double>(options.eigenvalues);
  const auto [a, U] = at::linalg_eigh(kernel(starts_, starts_));
  const auto [b, V] = at::linalg_eigh(kappa);
  const Tensor whole = a.clamp_min(0).unsqueeze(1) * b.clamp_min(0);  // [n, H]
  // weights = U [(U^T Y V) / (a b + ridge)] V^T kappa, the last two factors as V b V^T
  const Tensor inner = U.t().mm(y.reshape({n, H * D})).view({n, H, D});
  const Tensor turned = at::einsum("nhd,hk->nkd", {inner, V});
  const Tensor shrunk =
      turned * (b.clamp_min(0) / (whole + options.ridge * whole.mean())).unsqueeze(2);
  const Tensor back = at::einsum("nkd,hk->nhd", {shrunk, V});
  weights_ = U.mm(back.reshape({n, H * D}));
}

Tensor KernelRegression::kernel(const Tensor& a, const Tensor& b) const {
  return (at::cdist(a, b).square() / (-2 * scale_ * scale_)).exp();
}

Tensor KernelRegression::forecast(const Tensor& starts) const {
  check_shape("starts", starts, {-1, starts_.size(1)});
  const Tensor k = kernel(starts.to(at::kDouble), starts_);
  const Tensor y = k.mm(weights_).view({starts.size(0), horizon_, starts_.size(1)}) + mean_;
  return y.to(starts.scalar_type());
}

}  // namespace ritz::koopman::learned
