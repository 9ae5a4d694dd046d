#include "ritz/optim/lamb.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/optim/detail/fused.h"
#include "ritz/optim/detail/kernels.h"

namespace ritz::optim {

namespace {

constexpr double kLargestNorm = 10;  // phi of the clamped form (code)
// Up to so many bytes of r are kept between the passes over a tensor: with the weights they are
// then found in the last cache. Beyond it, making r again reads no more than r itself would.
constexpr int64_t kRoom = 16 << 20;

void check(const LambOptions& options) {
  check_non_negative("lr", options.lr);
  check_rate("beta1", options.beta1);
  check_rate("beta2", options.beta2);
  check_non_negative("eps", options.eps);
  check_non_negative("weight_decay", options.weight_decay);
}

/// phi(|w|) / |r|, 1 where either norm is 0.
double trust_ratio(const detail::LambNorms& norms, LambForm form) {
  double w = std::sqrt(norms.w2);
  if (form == LambForm::clamped) w = std::min(w, kLargestNorm);
  const double r = std::sqrt(norms.r2);
  return w == 0 || r == 0 ? 1 : w / r;
}

}  // namespace

Lamb::Lamb(std::vector<Tensor> parameters, LambOptions options)
    : Lamb(ParameterGroups{{std::move(parameters)}}, options) {}
Lamb::Lamb(const ParameterGroups& groups, LambOptions options)
    : StatefulOptimizer(groups, options, check) {}

void Lamb::set_momentum(double momentum) {
  change_options([&](LambOptions& options) { options.beta1 = momentum; });
}

Tensor Lamb::room_for(const Tensor& like) {
  const int64_t n = like.numel();
  if (n * like.element_size() > kRoom) return {};
  if (!room_.defined() || room_.scalar_type() != like.scalar_type() || room_.numel() < n) {
    room_ = at::empty({n}, like.options());
  }
  return room_;
}

void Lamb::update(const Tensor& w, const Tensor& g, std::vector<Tensor>& slots,
                  const LambOptions& o, int64_t step) {
  const double t = static_cast<double>(step);
  const bool corrected = o.form == LambForm::corrected;
  const detail::LambScalars s{
      .beta1 = o.beta1,
      .beta2 = o.beta2,
      .eps = o.eps,
      .weight_decay = o.weight_decay,
      .m_scale = corrected ? 1 / (1 - std::pow(o.beta1, t)) : 1,
      .root_scale = corrected ? 1 / std::sqrt(1 - std::pow(o.beta2, t)) : 1};
  Tensor &m = slots[0], &v = slots[1];
  const bool fused = detail::run_fused({&w, &g, &m, &v}, [&](auto zero) {
    using T = decltype(zero);
    T *wp = w.data_ptr<T>(), *mp = m.data_ptr<T>(), *vp = v.data_ptr<T>();
    const Tensor room = room_for(w);
    T* r = room.defined() ? room.data_ptr<T>() : nullptr;
    const auto norms = detail::lamb_moments(wp, g.const_data_ptr<T>(), mp, vp, r, w.numel(), s);
    detail::lamb_apply(wp, mp, vp, r, w.numel(), o.lr * trust_ratio(norms, o.form), s);
  });
  if (fused) return;
  m.mul_(s.beta1).add_(g, 1 - s.beta1);
  v.mul_(s.beta2).addcmul_(g, g, 1 - s.beta2);
  Tensor r = (m * s.m_scale).div_(v.sqrt().mul_(s.root_scale).add_(s.eps));
  if (s.weight_decay != 0) r.add_(w, s.weight_decay);
  Tensor w_norm = w.norm();
  if (!corrected) w_norm = w_norm.clamp_max(kLargestNorm);
  const Tensor r_norm = r.norm();
  // Stays on the device: no synchronisation for the ratio.
  const Tensor ratio =
      at::where((w_norm == 0).logical_or(r_norm == 0), at::ones_like(w_norm), w_norm / r_norm);
  w.sub_(r.mul_(ratio), o.lr);
}

}  // namespace ritz::optim
