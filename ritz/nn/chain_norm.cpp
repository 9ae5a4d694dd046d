// Layer norm, and batch norm in training mode: the same rules, with means over the features of a
// row or over all entries of a channel.
//
//     x^ = r (x - mean x),  r = (mean (x - mean x)^2 + eps)^(-1/2)        y = g x^ + b
//
// The projection M a = a - mean a - x^ mean(x^ a) is symmetric, and R x^ = r M R x, R r = -r a with
// a = r mean(x^ R x). With u = g dy:
//
//     dx   = r M u                             dg = sum dy x^,  db = sum dy
//     R y  = g R x^ + V_g x^ + V_b
//     R dx = r M R u - a dx - r (R x^ mean(x^ u) + x^ mean(R x^ u)),   R u = g R dy + V_g dy
//     R dg = sum (R dy x^ + dy R x^),  R db = sum R dy
//
// First-order products leave out what has dy in it (derived).
#include <torch/types.h>

#include <cmath>
#include <tuple>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/nn/detail/chain_norm_kernels.h"
#include "ritz/nn/detail/chain_step.h"

namespace ritz::nn::detail {
namespace {

class Norm : public Step {
 public:
  Norm(std::shared_ptr<Weights> weights, int64_t lane)
      : weights_(std::move(weights)), lane_(lane) {}
  bool has_parameters() const override { return true; }
  void kept(std::vector<Tensor>& tensors) const override {
    tensors.insert(tensors.end(), {hat_, dy_});
  }

  Tensor forward(Tensor x) override {
    set_axes(x.dim());
    std::tie(hat_, r_) = normalised(x);
    return at::addcmul(of_channels(weights_->bias()), hat_, of_channels(weights_->value()));
  }

  Tensor backward(Tensor dy, bool wanted) override {
    dy_ = std::move(dy);
    if (weights_->wants_gradient()) {
      weights_->gradient(lane_).add_((dy_ * hat_).sum(summed_));
      weights_->bias_gradient(lane_).add_(dy_.sum(summed_));
    }
    if (!wanted) return {};
    const auto u = dy_ * of_channels(weights_->value());
    correlation_ = mean(hat_ * u);
    return input_gradient(u);
  }

  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    auto Ry = hat_ * of_tangents(weights_->tangent()) + of_tangents(weights_->bias_tangent());
    if (!Rx.defined()) return Ry;
    auto a = mean(hat_ * Rx);
    auto Rhat = (Rx - mean(Rx)).sub_(hat_ * a).mul_(r_);
    Ry.addcmul_(Rhat, of_channels(weights_->value()));
    if (block.second_order) {
      Rhat_ = std::move(Rhat);
      a_ = a.mul_(r_);
    }
    return Ry;
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    const bool second = block.second_order;
    const auto Rhat = std::exchange(Rhat_, {});
    auto dg = Rdy * hat_;
    if (second && Rhat.defined()) dg.addcmul_(Rhat, dy_);
    weights_->product(lane_).add_(dg.sum(summed_));
    weights_->bias_product(lane_).add_(Rdy.sum(summed_));
    if (!wanted) return {};
    auto Ru = Rdy * of_channels(weights_->value());
    if (second) Ru.addcmul_(dy_, of_tangents(weights_->tangent()));
    auto along = mean(hat_ * Ru);
    Ru.sub_(mean(Ru));
    if (second && Rhat.defined()) {
      const auto u = dy_ * of_channels(weights_->value());
      along.add_(mean(Rhat * u));
      Ru.addcmul_(Rhat, correlation_, -1);
      Ru.sub_(hat_ * along).mul_(r_);
      return Ru.sub_(input_gradient(u) * a_);
    }
    return Ru.sub_(hat_ * along).mul_(r_);
  }

 protected:
  /// x^ and r, the latter to stand beside it.
  virtual std::pair<Tensor, Tensor> normalised(const Tensor& x) = 0;
  Tensor gain() const { return weights_->value(); }

  std::shared_ptr<Weights> weights_;
  const int64_t lane_;
  std::vector<int64_t> mean_axes_, summed_;  // from the end, so that blocks may have k in front
  int64_t channel_ = -1;
  Tensor hat_, r_, dy_;
  Tensor Rhat_;

 private:
  virtual void set_axes(int64_t dims) = 0;
  Tensor mean(const Tensor& t) const { return t.mean(mean_axes_, true); }
  Tensor input_gradient(const Tensor& u) const {
    return (u - mean(u)).sub_(hat_ * correlation_).mul_(r_);
  }
  // [c] beside [n, ...]
  Tensor of_channels(const Tensor& t) const {
    std::vector<int64_t> shape(static_cast<size_t>(-channel_), 1);
    shape[0] = t.size(0);
    return t.view(shape);
  }
  // [k, c] beside [k, n, ...]
  Tensor of_tangents(const Tensor& t) const {
    std::vector<int64_t> shape(static_cast<size_t>(hat_.dim() + 1), 1);
    shape[0] = t.size(0);
    shape[shape.size() - static_cast<size_t>(-channel_)] = t.size(1);
    return t.reshape(shape);
  }

  Tensor correlation_, a_;  // mean(x^ u)
};

/// Calls run(T{}) where there are kernels for it.
template <class Run>
bool by_kernels(const Tensor& t, const Run& run) {
  if (!t.is_cpu()) return false;
  if (t.scalar_type() == at::kFloat) return run(float{}), true;
  if (t.scalar_type() == at::kDouble) return run(double{}), true;
  return false;
}

class LayerNorm final : public Norm {
 public:
  LayerNorm(std::shared_ptr<Weights> weights, double eps, int64_t lane)
      : Norm(std::move(weights), lane), eps_(eps) {}

  Tensor backward(Tensor dy, bool wanted) override {
    Tensor dx;
    const Tensor rows_dy = dy.contiguous();
    const bool done = by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      dy_ = rows_dy;
      if (wanted) dx = at::empty_like(dy_);
      const bool sums = weights_->wants_gradient();
      layer_norm_backward<T>(rows<T>(hat_.size(-1)), dy_.const_data_ptr<T>(),
                             wanted ? dx.data_ptr<T>() : nullptr,
                             sums ? weights_->gradient(lane_).data_ptr<T>() : nullptr,
                             sums ? weights_->bias_gradient(lane_).data_ptr<T>() : nullptr);
    });
    return done ? dx : Norm::backward(std::move(dy), wanted);
  }

  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    if (!Rx.defined()) return Norm::forward_tangent(std::move(Rx), block);
    Tensor Ry;
    const bool done = by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      Rx = as_rows(std::move(Rx));
      Ry = at::empty_like(Rx);
      const int64_t n = hat_.numel() / hat_.size(-1), stride = Rx.stride(-2);
      if (block.second_order) {
        Rhat_ = sole_owner(Rx) ? Rx : at::empty_like(Rx);
        along_ = at::empty({block.k, n}, Rx.options());
      }
      for (int64_t j = 0; j < block.k; ++j) {
        layer_norm_forward_tangent<T>(
            rows<T>(stride), Rx[j].const_data_ptr<T>(), weights_->tangent()[j].const_data_ptr<T>(),
            weights_->bias_tangent()[j].const_data_ptr<T>(), Ry[j].template data_ptr<T>(),
            block.second_order ? Rhat_[j].template data_ptr<T>() : nullptr,
            block.second_order ? along_[j].template data_ptr<T>() : nullptr);
      }
    });
    return done ? Ry : Norm::forward_tangent(std::move(Rx), block);
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    Tensor Rdx;
    const bool done = by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      const Tensor Rhat = std::exchange(Rhat_, {});
      // One stride serves both.
      Rdy = Rhat.defined() && Rhat.strides() != Rdy.strides() ? at::empty_like(Rhat).copy_(Rdy)
                                                              : as_rows(std::move(Rdy));
      if (wanted) Rdx = sole_owner(Rdy) ? Rdy : at::empty_like(Rdy);
      const bool second = block.second_order && Rhat.defined();
      for (int64_t j = 0; j < block.k; ++j) {
        layer_norm_backward_tangent<T>(
            rows<T>(Rdy.stride(-2)), Rdy[j].template const_data_ptr<T>(),
            second ? weights_->tangent()[j].const_data_ptr<T>() : nullptr,
            second ? dy_.const_data_ptr<T>() : nullptr,
            second ? Rhat[j].template const_data_ptr<T>() : nullptr,
            second ? along_[j].template const_data_ptr<T>() : nullptr,
            wanted ? Rdx[j].template data_ptr<T>() : nullptr,
            weights_->product(lane_)[j].data_ptr<T>(),
            weights_->bias_product(lane_)[j].data_ptr<T>());
      }
    });
    return done ? Rdx : Norm::backward_tangent(std::move(Rdy), block, wanted);
  }

 private:
  void set_axes(int64_t dims) override {
    mean_axes_ = {-1};
    summed_.clear();
    for (int64_t d = 2; d <= dims; ++d) summed_.push_back(-d);
  }
  std::pair<Tensor, Tensor> normalised(const Tensor& x) override {
    auto [hat, mean, r] = at::native_layer_norm(x, {x.size(-1)}, {}, {}, eps_);
    return {hat, r};
  }
  template <class T>
  LayerNormRows<T> rows(int64_t stride) const {
    return {hat_.numel() / hat_.size(-1), hat_.size(-1),          stride,
            hat_.const_data_ptr<T>(),     r_.const_data_ptr<T>(), gain().const_data_ptr<T>()};
  }
  /// [k, n, ..., w] with rows at one stride for each tangent.
  static Tensor as_rows(Tensor t) {
    bool uniform = t.stride(-1) == 1 && t.stride(-2) >= t.size(-1);
    for (int64_t d = 1; d + 2 < t.dim(); ++d) {
      uniform = uniform && t.stride(d) == t.stride(d + 1) * t.size(d + 1);
    }
    return uniform ? std::move(t) : t.contiguous();
  }

  const double eps_;
  Tensor along_;  // [k, rows]: a
};

std::vector<double> numbers(const Tensor& t) {
  const Tensor wide = t.to(at::kDouble).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

/// On the CPU each rule is sums over channels and then a combination of arrays with a coefficient
/// a channel, x [n, c] or [n, c, h, w] channels-last as rows of c.
class BatchNorm final : public Norm {
 public:
  BatchNorm(std::shared_ptr<Weights> weights, ChannelAffineStage stage, int64_t lane)
      : Norm(std::move(weights), lane), stage_(std::move(stage)) {}

  Tensor backward(Tensor dy, bool wanted) override {
    if (!kernels_) return Norm::backward(std::move(dy), wanted);
    Tensor dx;
    by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      dy_ = in_rows(dy);
      dy = Tensor();
      const T *hat = hat_.const_data_ptr<T>(), *value = dy_.const_data_ptr<T>();
      sums_ = channel_sums<T>({{value, nullptr}, {value, hat}}, rows_, channels_);
      if (weights_->wants_gradient()) {
        weights_->gradient(lane_).add_(row_of(sums_, 1));
        weights_->bias_gradient(lane_).add_(row_of(sums_, 0));
      }
      if (!wanted) return;
      std::vector<double> combination(row(3));
      for (size_t c = 0; c < row(1); ++c) {
        const double scale = r(c) * g(c);
        combination[c] = scale;                                      // dy
        combination[row(1) + c] = -scale * sums_[row(1) + c] / n();  // x^
        combination[row(2) + c] = -scale * sums_[c] / n();
      }
      dx = at::empty_like(dy_);
      channel_combination<T>({value, hat}, combination, dx.data_ptr<T>(), rows_, channels_);
    });
    return dx;
  }

  Tensor forward_tangent(Tensor Rx, const Block& block) override {
    if (!kernels_ || !Rx.defined()) return Norm::forward_tangent(std::move(Rx), block);
    Tensor Ry;
    by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      Rx = in_rows(stacked(std::exchange(Rx, {})));
      Ry = at::empty_like(Rx);
      if (block.second_order) Rhat_ = sole_owner(Rx) ? Rx : at::empty_like(Rx);
      along_.assign(static_cast<size_t>(block.k), {});
      const T* hat = hat_.const_data_ptr<T>();
      for (int64_t j = 0; j < block.k; ++j) {
        const T* in = Rx.const_data_ptr<T>() + j * hat_.numel();
        const auto sums = channel_sums<T>({{in, nullptr}, {in, hat}}, rows_, channels_);
        const auto Vg = numbers(weights_->tangent()[j]), Vb = numbers(weights_->bias_tangent()[j]);
        std::vector<double> turned(row(3)), output(row(3));
        auto& along = along_[static_cast<size_t>(j)];
        for (size_t c = 0; c < row(1); ++c) {
          along.push_back(r(c) * sums[row(1) + c] / n());
          turned[c] = r(c);                // R x
          turned[row(1) + c] = -along[c];  // x^
          turned[row(2) + c] = -r(c) * sums[c] / n();
          output[c] = g(c) * turned[c];
          output[row(1) + c] = Vg[c] + g(c) * turned[row(1) + c];
          output[row(2) + c] = Vb[c] + g(c) * turned[row(2) + c];
        }
        channel_combination<T>({in, hat}, output, Ry.data_ptr<T>() + j * hat_.numel(), rows_,
                               channels_);
        if (!block.second_order) continue;
        channel_combination<T>({in, hat}, turned, Rhat_.data_ptr<T>() + j * hat_.numel(), rows_,
                               channels_);
      }
    });
    return unstacked(Ry, block.k);
  }

  Tensor backward_tangent(Tensor Rdy, const Block& block, bool wanted) override {
    if (!kernels_) return Norm::backward_tangent(std::move(Rdy), block, wanted);
    Tensor Rdx;
    by_kernels(hat_, [&](auto zero) {
      using T = decltype(zero);
      Rdy = in_rows(stacked(std::exchange(Rdy, {})));
      const Tensor Rhat = std::exchange(Rhat_, {});
      if (wanted) Rdx = sole_owner(Rdy) ? Rdy : at::empty_like(Rdy);
      const bool second = block.second_order && Rhat.defined();
      const T* hat = hat_.const_data_ptr<T>();
      for (int64_t j = 0; j < block.k; ++j) {
        const T* in = Rdy.const_data_ptr<T>() + j * hat_.numel();
        std::vector<ChannelProduct<T>> wanted_sums{{in, nullptr}, {in, hat}};
        const T *value = nullptr, *turned = nullptr;
        if (second) {
          value = dy_.const_data_ptr<T>();
          turned = Rhat.const_data_ptr<T>() + j * hat_.numel();
          wanted_sums.push_back({value, turned});
        }
        const auto sums = channel_sums<T>(wanted_sums, rows_, channels_);
        auto Rdg = row_of(sums, 1);
        if (second) Rdg = Rdg + row_of(sums, 2);
        weights_->product(lane_)[j].add_(Rdg);
        weights_->bias_product(lane_)[j].add_(row_of(sums, 0));
        if (!wanted) continue;
        const auto combination = input_combination(sums, second, j);
        T* out = Rdx.data_ptr<T>() + j * hat_.numel();
        if (second) {
          channel_combination<T>({in, hat, value, turned}, combination, out, rows_, channels_);
        } else {
          channel_combination<T>({in, hat}, combination, out, rows_, channels_);
        }
      }
    });
    return Rdx.defined() ? unstacked(Rdx, block.k) : Tensor();
  }

 private:
  void set_axes(int64_t dims) override {
    channel_ = 1 - dims;
    mean_axes_ = {-dims};
    for (int64_t d = dims - 2; d > 0; --d) mean_axes_.push_back(-d);
    summed_ = mean_axes_;
  }
  std::pair<Tensor, Tensor> normalised(const Tensor& x) override {
    if (stage_.count.defined()) stage_.count.add_(1).unsafeGetTensorImpl()->bump_version();
    stage_.mean.unsafeGetTensorImpl()->bump_version();  // who keeps derivatives must notice
    const bool rows = x.dim() == 2 || x.dim() == 4;
    channels_ = x.size(1);
    rows_ = x.numel() / channels_;
    kernels_ = rows && x.is_cpu();
    gains_ = numbers(gain());
    std::vector<int64_t> shape(static_cast<size_t>(x.dim() - 1), 1);
    shape[0] = channels_;
    Tensor hat, r;
    if (kernels_) {
      by_kernels(x, [&](auto zero) { hat = standardised<decltype(zero)>(in_rows(x)); });
      r = row_of(deviations_, 0);
    } else {
      std::tie(hat, std::ignore, r) =
          at::native_batch_norm(x, {}, {}, stage_.mean, stage_.variance,
                                /*training=*/true, stage_.momentum, stage_.eps);
    }
    return {hat, r.view(shape)};
  }
  /// x^ by sums in float64, which libtorch's channels-last passes run in float32: over 1e5 entries
  /// those lose two digits. Moves the running statistics.
  template <class T>
  Tensor standardised(const Tensor& x) {
    auto hat = at::empty_like(x);
    T* out = hat.data_ptr<T>();
    const T* in = x.const_data_ptr<T>();
    auto mean = channel_sums<T>({{in, nullptr}}, rows_, channels_);
    std::vector<double> combination(row(3));
    for (size_t c = 0; c < row(1); ++c) {
      mean[c] /= n();
      combination[c] = 1;
      combination[row(2) + c] = -mean[c];
    }
    channel_combination<T>({in, in}, combination, out, rows_, channels_);
    auto variance = channel_sums<T>({{out, out}}, rows_, channels_);
    deviations_.clear();
    for (size_t c = 0; c < row(1); ++c) {
      deviations_.push_back(1 / std::sqrt(variance[c] / n() + stage_.eps));
      combination[c] = deviations_[c];
      combination[row(2) + c] = 0;
      variance[c] /= n() - 1;
    }
    channel_combination<T>({out, out}, combination, out, rows_, channels_);
    const double m = stage_.momentum;
    stage_.mean.mul_(1 - m).add_(row_of(mean, 0), m);
    stage_.variance.mul_(1 - m).add_(row_of(variance, 0), m);
    return hat;
  }
  static Tensor in_rows(const Tensor& t) {
    return t.dim() == 4 ? channels_last(t) : t.contiguous();
  }
  /// Of R dy, x^ and, in second order, dy and R x^; then the constant (chain_norm.cpp's head).
  std::vector<double> input_combination(const std::vector<double>& sums, bool second,
                                        int64_t j) const {
    std::vector<double> k(second ? row(5) : row(3));
    const auto Vg = second ? numbers(weights_->tangent()[j]) : std::vector<double>();
    for (size_t c = 0; c < row(1); ++c) {
      const double scale = r(c) * g(c);
      double mean = g(c) * sums[c] / n(), along = g(c) * sums[row(1) + c] / n();
      k[c] = scale;
      double of_hat = 0, constant = 0;
      if (second) {
        const double a = along_[static_cast<size_t>(j)][c];
        const double u_mean = g(c) * sums_[c] / n(), hu_mean = g(c) * sums_[row(1) + c] / n();
        mean += Vg[c] * sums_[c] / n();
        along += (Vg[c] * sums_[row(1) + c] + g(c) * sums[row(2) + c]) / n();
        k[row(2) + c] = r(c) * (Vg[c] - a * g(c));
        k[row(3) + c] = -r(c) * hu_mean;
        of_hat = a * r(c) * hu_mean;
        constant = a * r(c) * u_mean;
      }
      k[row(1) + c] = of_hat - r(c) * along;
      k[(second ? row(4) : row(2)) + c] = constant - r(c) * mean;
    }
    return k;
  }
  size_t row(int64_t index) const { return static_cast<size_t>(index * channels_); }
  double n() const { return static_cast<double>(rows_); }
  double r(size_t c) const { return deviations_[c]; }
  double g(size_t c) const { return gains_[c]; }
  Tensor row_of(const std::vector<double>& sums, int64_t which) const {
    return ::at::tensor(::at::ArrayRef<double>(sums.data() + row(which), row(1)), gain().options());
  }

  const ChannelAffineStage stage_;
  bool kernels_ = false;
  int64_t rows_ = 0, channels_ = 0;
  std::vector<double> deviations_, gains_, sums_;  // sums_: of dy and of dy x^, [2, c]
  std::vector<std::vector<double>> along_;         // a of each tangent
};

}  // namespace

std::unique_ptr<Step> layer_norm_step(std::shared_ptr<Weights> weights, double eps, int64_t lane) {
  return std::make_unique<LayerNorm>(std::move(weights), eps, lane);
}
std::unique_ptr<Step> batch_norm_step(std::shared_ptr<Weights> weights,
                                      const ChannelAffineStage& stage, int64_t lane) {
  if (stage.weight < 0 || stage.bias < 0) {
    throw Unsupported("batch norm in training mode by a chain: one without weight and bias");
  }
  return std::make_unique<BatchNorm>(std::move(weights), stage, lane);
}

}  // namespace ritz::nn::detail
