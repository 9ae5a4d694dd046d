#include "studies/batch_scaling/fleet.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

#include "ritz/base/gemm.h"

namespace ritz::studies {
namespace {

Tensor column(const Tensor& per_copy, int64_t dim) {
  std::vector<int64_t> shape(dim, 1);
  shape[0] = per_copy.size(0);
  return per_copy.view(shape);
}

}  // namespace

Fleet::Fleet(const nn::Network& start, int64_t copies, Activation activation)
    : activation_(activation) {
  for (const auto& value : start.parameter_values()) {
    std::vector<int64_t> shape{copies};
    shape.insert(shape.end(), value.sizes().begin(), value.sizes().end());
    parameters_.push_back(value.detach().unsqueeze(0).expand(shape).contiguous());
  }
}

// The first layer, whose input all copies share, is one product with all copies' weights side by
// side; it holds nearly all of the work.
std::vector<Tensor> Fleet::forward(const Tensor& X) const {
  std::vector<Tensor> activations;
  const size_t layers = parameters_.size() / 2;
  for (size_t l = 0; l < layers; ++l) {
    const Tensor &W = parameters_[2 * l], bias = parameters_[2 * l + 1].unsqueeze(1);
    const int64_t G = W.size(0), out = W.size(1);
    Tensor Z = l == 0 ? gemm_nt(X, W.view({G * out, -1})).view({-1, G, out}).transpose(0, 1) + bias
                      : torch::baddbmm(bias, activations.back(), W.transpose(1, 2));
    if (l + 1 < layers) Z = activation_ == Activation::tanh ? Z.tanh_() : Z.relu_();
    activations.push_back(Z);
  }
  return activations;
}

Tensor Fleet::losses(const Tensor& X, const Tensor& y) const {
  const Tensor log_p = forward(X).back().log_softmax(-1);  // [G, n, c]
  const Tensor at = y.view({1, -1, 1}).expand({log_p.size(0), -1, 1});
  return -log_p.gather(2, at).mean({1, 2}, false, torch::kFloat64);
}

std::vector<Tensor> Fleet::gradient(const Tensor& X, const Tensor& y) const {
  const auto A = forward(X);
  const int64_t G = A.back().size(0), n = X.size(0);
  std::vector<Tensor> gradient(parameters_.size());
  Tensor dZ = A.back().softmax(-1);
  dZ.scatter_add_(2, y.view({1, -1, 1}).expand({G, -1, 1}),
                  torch::full({1, 1, 1}, -1.0, dZ.options()).expand({G, n, 1}));
  dZ.div_(static_cast<double>(n));
  for (size_t l = A.size(); l-- > 0;) {
    const Tensor& W = parameters_[2 * l];
    gradient[2 * l + 1] = dZ.sum(1);
    if (l == 0) {
      const Tensor flat = dZ.transpose(0, 1).reshape({n, -1});  // [n, G out]
      gradient[0] = gemm(flat.t(), X).view_as(W);
      break;
    }
    gradient[2 * l] = dZ.transpose(1, 2).bmm(A[l - 1]);
    const Tensor& a = A[l - 1];
    const Tensor slope = activation_ == Activation::tanh ? 1 - a.square() : a.gt(0).to(a.dtype());
    dZ = dZ.bmm(W).mul_(slope);
  }
  return gradient;
}

Tensor Fleet::flat_parameters(int64_t copy) const {
  std::vector<Tensor> flat;
  for (const auto& p : parameters_) flat.push_back(p[copy].flatten());
  return torch::cat(flat);
}

void Fleet::sgd_step(const Tensor& X, const Tensor& y, const Tensor& lr) {
  const auto g = gradient(X, y);
  for (size_t i = 0; i < g.size(); ++i)
    parameters_[i].addcmul_(g[i], column(lr, g[i].dim()).to(g[i].dtype()), -1);
}

void Fleet::sgd_step(const Tensor& X, const Tensor& y, const Tensor& lr, const Tensor& momentum) {
  const auto g = gradient(X, y);
  if (first_.empty())
    for (const auto& p : parameters_) first_.push_back(torch::zeros_like(p));
  for (size_t i = 0; i < g.size(); ++i) {
    first_[i].mul_(column(momentum, g[i].dim()).to(g[i].dtype())).add_(g[i]);
    parameters_[i].addcmul_(first_[i], column(lr, g[i].dim()).to(g[i].dtype()), -1);
  }
}

void Fleet::adam_step(const Tensor& X, const Tensor& y, const Tensor& lr) {
  const auto g = gradient(X, y);
  if (first_.empty())
    for (const auto& p : parameters_) {
      first_.push_back(torch::zeros_like(p));
      second_.push_back(torch::zeros_like(p));
    }
  ++steps_;
  const double b1 = 1 - std::pow(0.9, steps_), b2 = 1 - std::pow(0.999, steps_);
  for (size_t i = 0; i < g.size(); ++i) {
    first_[i].mul_(0.9).add_(g[i], 0.1);
    second_[i].mul_(0.999).addcmul_(g[i], g[i], 0.001);
    const Tensor direction = first_[i] / second_[i].div(b2).sqrt_().add_(1e-8);
    parameters_[i].addcmul_(direction, column(lr, g[i].dim()).to(g[i].dtype()), -1 / b1);
  }
}

double largest_success(const std::vector<double>& lrs, const Tensor& success) {
  const auto at = success.accessor<bool, 1>();
  for (size_t i = lrs.size(); i-- > 0;)
    if (at[static_cast<int64_t>(i)]) return lrs[i];
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> geometric_grid(double low, double high, double ratio) {
  std::vector<double> grid;
  for (int i = 0; low * std::pow(ratio, i) <= high * (1 + 1e-9); ++i)
    grid.push_back(low * std::pow(ratio, i));
  return grid;
}

double log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  double n = 0, mx = 0, my = 0;
  const auto usable = [&](size_t i) { return x[i] > 0 && y[i] > 0 && std::isfinite(x[i] * y[i]); };
  for (size_t i = 0; i < x.size(); ++i)
    if (usable(i)) {
      n += 1;
      mx += std::log(x[i]);
      my += std::log(y[i]);
    }
  double xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i)
    if (usable(i)) {
      const double u = std::log(x[i]) - mx / n;
      xy += u * (std::log(y[i]) - my / n);
      xx += u * u;
    }
  return xy / xx;
}

double geometric_mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += std::log(value);
  return std::exp(sum / static_cast<double>(x.size()));
}

}  // namespace ritz::studies
