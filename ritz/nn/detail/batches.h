#pragma once
// The data of an objective in micro-batches, with what each keeps between products.
#include <functional>
#include <memory>
#include <vector>

#include "ritz/nn/detail/batch_derivatives.h"

namespace ritz::nn::detail {

/// Visits an objective's micro-batches in order. Derivatives are made at the first visit and kept
/// as long as the memory budget holds; later ones are made anew at each visit. When the network's
/// parameters or running statistics have changed since, everything is made anew: products always
/// belong to the present parameters.
class Batches {
 public:
  /// Checks the objective and the options. Names of arguments as in curvature.h.
  Batches(Objective objective, CurvatureOptions options, Product product);

  const Objective& objective() const { return objective_; }
  int64_t samples() const { return objective_.inputs.size(0); }
  int64_t parameter_count() const { return parameter_count_; }
  /// 1 / N for a mean, 1 for a sum.
  double scale() const;
  /// A number that changes whenever the parameters or running statistics do.
  int64_t generation();

  using Visit = std::function<void(BatchDerivatives&, const Tensor& targets)>;
  /// Throws InvalidArgument naming the batch where its loss is not finite.
  void for_each(const Visit& visit);
  /// Throws InvalidArgument naming the first batch for which `visit` makes `out` [k, P] not finite;
  /// nothing where `out` is finite. The check of a finite result costs one sum.
  void check_finite_product(const Tensor& out, const Visit& visit);

 private:
  Batch batch(int64_t index) const;
  std::string name_of(int64_t index) const;
  std::unique_ptr<BatchDerivatives> make(int64_t index) const;
  void choose_micro_batch();
  bool stale();

  const Objective objective_;
  const CurvatureOptions options_;
  const Product product_;
  int64_t parameter_count_ = 0;
  int64_t micro_batch_ = 0;
  int64_t budget_ = 0, kept_bytes_ = 0;
  std::vector<std::unique_ptr<BatchDerivatives>> kept_;
  std::vector<std::pair<const void*, int64_t>>
      state_;  // data and version of parameters and buffers
  int64_t generation_ = 0;
};

}  // namespace ritz::nn::detail
