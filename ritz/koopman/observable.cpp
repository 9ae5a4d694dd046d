#include "ritz/koopman/observable.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {

double Observable::captured() const {
  return coordinates.abs().square().sum().item<double>() / energy;
}

Observable project(const Dictionary& dictionary, const Snapshots& snapshots,
                   const Reduction& reduction, const Tensor& values) {
  constexpr int64_t kBlock = 4096;
  check_floating("observable", values, true);
  check_shape("observable", values, {snapshots.pairs()});
  check_finite("observable", values);
  const auto device = snapshots.states.device();
  const Tensor g = detail::float64(values.to(device));
  const Tensor weights = snapshots.pair_weights().to(device), kept = reduction.kept.to(device);
  Observable out;
  out.energy = (g.abs().square() * weights).sum().item<double>();
  if (!(out.energy > 0))
    throw InvalidArgument("observable", "a function that is not zero on the data", "zero");
  Tensor product;
  for (int64_t begin = 0; begin < snapshots.pairs(); begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, snapshots.pairs());
    const Tensor psi = dictionary(snapshots.x(begin, end)).index_select(1, kept);
    const Tensor part = g.slice(0, begin, end) * weights.slice(0, begin, end);
    const bool complex = psi.is_complex() || part.is_complex();
    const auto type = complex ? torch::kComplexDouble : torch::kFloat64;
    const Tensor sum = psi.to(type).mH().mv(part.to(type));
    product = product.defined() ? product + sum : sum;
  }
  const Tensor R = reduction.R.to(product.scalar_type());
  out.coordinates = at::linalg_solve_triangular(R.mH().contiguous(), product.unsqueeze(1),
                                                /*upper=*/false)
                        .squeeze(1);
  return out;
}

}  // namespace ritz::koopman
