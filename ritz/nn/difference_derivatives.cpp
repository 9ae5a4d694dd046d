// Central differences for networks with an operation that cannot be differentiated twice:
//   H v ~ (g(theta + h v) - g(theta - h v)) / 2h,   J v ~ (z(theta + h v) - z(theta - h v)) / 2h,
// h = eps^(1/3) max(1, |theta|) / |v|: truncation h^2 and rounding eps / h are then of one size.
#include <torch/types.h>

#include "ritz/nn/detail/batch_derivatives.h"

namespace ritz::nn::detail {
namespace {

/// Moves the parameters and puts their bits back at the end of its life.
class Excursion {
 public:
  explicit Excursion(const Network& network)
      : network_(network), start_(network.flat_parameters()) {}
  ~Excursion() { network_.set_flat_parameters(start_); }
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;

  /// f(theta + h v) - f(theta - h v), and 1 / 2h, for one v.
  template <class F>
  std::pair<Tensor, double> difference(const Tensor& v, F&& f) const {
    const double norm = v.norm().template item<double>();
    const double eps = v.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                      : std::numeric_limits<float>::epsilon();
    const double h = std::cbrt(eps) * std::max(1.0, start_.norm().template item<double>()) /
                     (norm > 0 ? norm : 1.0);
    network_.set_flat_parameters(start_ + h * v);
    Tensor change = f();
    network_.set_flat_parameters(start_ - h * v);
    change.sub_(f());
    return {change, 0.5 / h};
  }

 private:
  const Network& network_;
  const Tensor start_;
};

class DifferenceDerivatives : public BatchDerivatives {
 public:
  explicit DifferenceDerivatives(const Batch& batch)
      : network_(batch.network),
        loss_(batch.loss),
        batch_{network_, loss_, batch.inputs, batch.targets, batch.product} {
    torch::NoGradGuard no_grad;
    outputs_ = checked_forward(batch_);
  }

  const Tensor& outputs() const override { return outputs_; }
  bool worth_keeping() const override { return false; }

  void add_hessian_products(const Tensor& V, const Tensor& out, double scale) override {
    const Excursion excursion(network_);
    for (int64_t k = 0; k < V.size(0); ++k) {
      const auto [change, factor] = excursion.difference(V[k], [&] { return gradient(); });
      out[k].add_(change, scale * factor);
    }
  }

  Tensor jacobian_products(const Tensor& V) override {
    const Excursion excursion(network_);
    std::vector<Tensor> columns;
    for (int64_t k = 0; k < V.size(0); ++k) {
      const auto [change, factor] = excursion.difference(V[k], [&] {
        torch::NoGradGuard no_grad;
        return network_.forward(batch_.inputs).clone();
      });
      columns.push_back(change * factor);
    }
    return at::stack(columns);
  }

  void add_output_products(const Tensor& W, const Tensor& out, double scale) override {
    const torch::AutoGradMode grad_mode(true);
    const Tensor z = checked_forward(batch_);
    for (int64_t k = 0; k < W.size(0); ++k) {
      add_flat(out[k], parameter_gradients(network_, {z}, {W[k]}, true, false),
               network_.parameter_values(), scale);
    }
  }

 private:
  Tensor gradient() const {
    const torch::AutoGradMode grad_mode(true);
    const Tensor total = loss_.per_sample(checked_forward(batch_), batch_.targets).sum();
    Tensor flat = at::zeros({network_.parameter_count()}, network_.options());
    add_flat(flat, parameter_gradients(network_, {total}, {}, false, false),
             network_.parameter_values(), 1);
    return flat;
  }

  const Network network_;
  const Loss loss_;
  const Batch batch_;  // refers to the two members above
  Tensor outputs_;
};

}  // namespace

std::unique_ptr<BatchDerivatives> difference_derivatives(const Batch& batch) {
  return std::make_unique<DifferenceDerivatives>(batch);
}

}  // namespace ritz::nn::detail
