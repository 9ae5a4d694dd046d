#include "ritz/nn/curvature.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/nn/detail/batches.h"

namespace ritz::nn {
namespace {

using detail::BatchDerivatives;
using detail::Batches;
using detail::Product;

/// Samples a pass without a graph takes where nothing else is said.
constexpr int64_t kForwardBatch = 1024;

/// A sum over micro-batches as an operator. Inside, vectors are rows: V [k, P].
class CurvatureOperator : public SymmetricOperator {
 public:
  CurvatureOperator(Objective objective, CurvatureOptions options, Product product)
      : batches_(std::move(objective), options, product),
        options_(batches_.objective().network.options()) {}

  int64_t rows() const override { return batches_.parameter_count(); }
  TensorOptions options() const override { return options_; }

 protected:
  /// out += the batch's part of V A.
  virtual void add_product(BatchDerivatives& batch, const Tensor& targets, const Tensor& V,
                           const Tensor& out) const = 0;
  virtual void prepare(const Tensor& /*V*/) const {}
  mutable Batches batches_;  // what is kept between products is no part of the operator's value

 private:
  Tensor do_apply(const Tensor& x) const override {
    torch::NoGradGuard no_grad;
    const Tensor V = (x.dim() == 1 ? x.unsqueeze(0) : x.t()).detach().contiguous();
    const Tensor out = at::zeros_like(V);
    prepare(V);
    const auto visit = [&](BatchDerivatives& batch, const Tensor& targets) {
      add_product(batch, targets, V, out);
    };
    batches_.for_each(visit);
    if (V.numel() > 0) batches_.check_finite_product(out, visit);
    return x.dim() == 1 ? out.squeeze(0) : out.t();
  }

  const TensorOptions options_;
};

class Hessian : public CurvatureOperator {
 public:
  Hessian(Objective objective, CurvatureOptions options)
      : CurvatureOperator(std::move(objective), options, Product::hessian) {}

 private:
  void add_product(BatchDerivatives& batch, const Tensor&, const Tensor& V,
                   const Tensor& out) const override {
    batch.add_hessian_products(V, out, batches_.scale());
  }
};

class GaussNewton : public CurvatureOperator {
 public:
  GaussNewton(Objective objective, CurvatureOptions options)
      : CurvatureOperator(std::move(objective), options, Product::jacobian) {}

 private:
  void add_product(BatchDerivatives& batch, const Tensor&, const Tensor& V,
                   const Tensor& out) const override {
    const Tensor W = batches_.objective().loss.output_hessian_product(batch.outputs(),
                                                                      batch.jacobian_products(V));
    batch.add_output_products(W, out, batches_.scale());
  }
};

/// With s_i = dloss_i/dz_i the gradient of sample i is J_i^T s_i, so (G v)_i = s_i^T J_i v: one
/// tangent of the outputs instead of the rows of G. The covariance subtracts the mean of G v from
/// it, which is g^T v.
class Fisher : public CurvatureOperator {
 public:
  Fisher(Objective objective, CurvatureOptions options, bool centred)
      : CurvatureOperator(objective, options, Product::jacobian), centred_(centred) {
    options_ = options;
  }

 private:
  void prepare(const Tensor& V) const override {
    if (!centred_) return;
    if (const int64_t now = batches_.generation(); now != mean_generation_) {
      Objective mean = batches_.objective();
      mean.loss.mean = true;
      mean_gradient_ = gradient(mean, options_);
      mean_generation_ = batches_.generation();
    }
    mean_products_ = V.mv(mean_gradient_);
  }

  void add_product(BatchDerivatives& batch, const Tensor& targets, const Tensor& V,
                   const Tensor& out) const override {
    const Tensor s = batches_.objective().loss.output_gradient(batch.outputs(), targets);  // [n, c]
    Tensor Gv = (batch.jacobian_products(V) * s).sum(-1, true);  // [k, n, 1]
    if (centred_) Gv.sub_(mean_products_.view({-1, 1, 1}));
    batch.add_output_products(Gv * s, out, 1.0 / static_cast<double>(batches_.samples()));
  }

  const bool centred_;
  CurvatureOptions options_;
  mutable Tensor mean_gradient_, mean_products_;
  mutable int64_t mean_generation_ = -1;
};

/// A - B, symmetric as both are.
class Difference : public SymmetricOperator {
 public:
  Difference(std::shared_ptr<SymmetricOperator> A, std::shared_ptr<SymmetricOperator> B)
      : A_(std::move(A)), B_(std::move(B)) {}
  int64_t rows() const override { return A_->rows(); }
  TensorOptions options() const override { return A_->options(); }

 private:
  Tensor do_apply(const Tensor& x) const override { return A_->apply(x) - B_->apply(x); }

  const std::shared_ptr<SymmetricOperator> A_, B_;
};

}  // namespace

std::shared_ptr<SymmetricOperator> hessian(Objective objective, CurvatureOptions options) {
  return std::make_shared<Hessian>(std::move(objective), options);
}

std::shared_ptr<SymmetricOperator> ggn(Objective objective, CurvatureOptions options) {
  return std::make_shared<GaussNewton>(std::move(objective), options);
}

std::shared_ptr<SymmetricOperator> fisher(Objective objective, CurvatureOptions options) {
  return std::make_shared<Fisher>(std::move(objective), options, false);
}

std::shared_ptr<SymmetricOperator> gradient_covariance(Objective objective,
                                                       CurvatureOptions options) {
  return std::make_shared<Fisher>(std::move(objective), options, true);
}

std::shared_ptr<SymmetricOperator> hessian_noise(const Objective& objective, const Tensor& rows,
                                                 CurvatureOptions options) {
  if (!objective.loss.mean) throw InvalidArgument("loss", "a mean over samples", "a sum");
  return std::make_shared<Difference>(hessian(subset(objective, rows), options),
                                      hessian(objective, options));
}

std::shared_ptr<SymmetricOperator> hessian_residual(const Objective& objective,
                                                    CurvatureOptions options) {
  return std::make_shared<Difference>(hessian(objective, options), ggn(objective, options));
}

Tensor gradient(const Objective& objective, CurvatureOptions options) {
  Batches batches(objective, options, Product::gradient);
  torch::NoGradGuard no_grad;
  const Tensor out = at::zeros({1, batches.parameter_count()}, objective.network.options());
  const auto visit = [&](BatchDerivatives& batch, const Tensor& targets) {
    const Tensor s = objective.loss.output_gradient(batch.outputs(), targets);
    batch.add_output_products(s.unsqueeze(0), out, batches.scale());
  };
  batches.for_each(visit);
  batches.check_finite_product(out, visit);
  return out.squeeze(0);
}

double mean_loss(const Objective& objective, int64_t micro_batch) {
  check_at_least("micro_batch", micro_batch, 0);
  const Batches checked(objective, {}, Product::gradient);
  torch::NoGradGuard no_grad;
  const ModeGuard mode(objective.network, false);
  const int64_t n = checked.samples(), step = micro_batch > 0 ? micro_batch : kForwardBatch;
  Tensor total = at::zeros({}, TensorOptions(at::kDouble).device(objective.inputs.device()));
  for (int64_t begin = 0; begin < n; begin += step) {
    const int64_t size = std::min(step, n - begin);
    const Tensor z = objective.network.forward(objective.inputs.narrow(0, begin, size));
    total.add_(
        objective.loss.per_sample(z, objective.targets.narrow(0, begin, size)).sum(at::kDouble));
  }
  return total.item<double>() * checked.scale();
}

Objective subset(const Objective& objective, const Tensor& rows) {
  check_dim("rows", rows, 1);
  if (rows.scalar_type() != at::kLong) {
    throw InvalidArgument("rows", "int64 indices", dtype_name(rows.scalar_type()));
  }
  const int64_t n = objective.inputs.size(0);
  if (rows.numel() == 0) throw InvalidArgument("rows", "at least one sample", "none");
  check_range("rows", rows.min().item<int64_t>(), 0, n - 1);
  check_range("rows", rows.max().item<int64_t>(), 0, n - 1);
  Objective part = objective;
  part.inputs = objective.inputs.index_select(0, rows);
  part.targets = objective.targets.index_select(0, rows);
  return part;
}

void check_symmetric(const LinearOperator& op, uint64_t seed, double tolerance) {
  if (op.rows() != op.cols()) {
    throw InvalidArgument("operator", "a square map",
                          std::to_string(op.rows()) + " x " + std::to_string(op.cols()));
  }
  RandomStream random(seed, stream_id("nn/check-symmetric"));
  const Tensor x = random.normal({op.cols()}, op.options()),
               y = random.normal({op.cols()}, op.options());
  const Tensor Ax = op.apply(x), Ay = op.apply(y);
  // x^T A y is a sum with deviation |A y|: the natural scale of both numbers.
  const double defect = std::abs((x.dot(Ay) - y.dot(Ax)).item<double>());
  const double scale = std::max(Ax.norm().item<double>(), Ay.norm().item<double>());
  if (!(defect <= tolerance * scale)) {
    throw InvalidArgument(
        "operator", "x^T A y = y^T A x within " + number_text(tolerance * scale),
        "a difference of " + number_text(defect),
        "probable causes: dropout, batch norm in training mode, random augmentation");
  }
}

}  // namespace ritz::nn
