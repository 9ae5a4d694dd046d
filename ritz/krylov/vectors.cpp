#include "ritz/krylov/detail/vectors.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"

namespace ritz::detail {
namespace {

constexpr int64_t kColumns = 8192;  // of a slab: a product of k x m with m x 8192 stays in cache

}  // namespace

void check_square(std::string_view name, const LinearOperator& op) {
  if (op.rows() != op.cols() || op.rows() < 1) {
    throw InvalidArgument(name, "a square operator with at least one row",
                          std::to_string(op.rows()) + " x " + std::to_string(op.cols()));
  }
  check_floating(name, torch::empty({0}, op.options()), true);
}

double epsilon(const TensorOptions& options) {
  const auto type = c10::typeMetaToScalarType(options.dtype());
  return c10::toRealValueType(type) == torch::kFloat ? std::numeric_limits<float>::epsilon()
                                                     : std::numeric_limits<double>::epsilon();
}

void fill_start(const Tensor& out, uint64_t seed, uint64_t stream, StartVector start) {
  RandomStream random(seed, stream);
  if (start == StartVector::rademacher) {
    if (!out.is_complex()) return random.fill_rademacher(out);
    const auto parts = at::view_as_real(out);
    parts.select(1, 1).zero_();
    random.fill_rademacher(parts.select(1, 0));
  } else {
    random.fill_normal(out.is_complex() ? at::view_as_real(out) : out);
  }
}

void normalise(std::string_view name, const Tensor& v) {
  const auto wide = v.is_complex() ? torch::kComplexDouble : torch::kDouble;
  const auto norm = at::linalg_vector_norm(v, 2, c10::nullopt, false, wide).item<double>();
  if (!(norm > 0) || !std::isfinite(norm)) {
    throw InvalidArgument(name, "a finite vector that is not zero", "norm " + number_text(norm));
  }
  v.div_(norm);
}

Tensor combine_rows(const Tensor& S, const Tensor& Q, const TensorOptions& options) {
  auto out = torch::empty({S.size(0), Q.size(1)}, options);
  const auto weights = S.to(options);
  for (int64_t at = 0; at < Q.size(1); at += kColumns) {
    const auto slab = Q.slice(1, at, at + kColumns).to(options);
    out.slice(1, at, at + kColumns).copy_(weights.mm(slab));
  }
  return out;
}

void combine_rows_in_place(const Tensor& S, const Tensor& Q) {
  const auto weights = S.to(Q.options());
  for (int64_t at = 0; at < Q.size(1); at += kColumns) {
    const auto slab = Q.slice(1, at, at + kColumns);
    slab.slice(0, 0, S.size(0)).copy_(weights.mm(slab));
  }
}

std::vector<double> true_residuals(const LinearOperator& op, const Tensor& values,
                                   const Tensor& vectors) {
  if (vectors.size(0) == 0) return {};
  auto left = op.apply(vectors.t()) - vectors.t() * values.to(vectors.options());
  const auto norms = at::linalg_vector_norm(left, 2, at::IntArrayRef{0}).to(torch::kDouble).cpu();
  const double* data = norms.const_data_ptr<double>();
  return {data, data + norms.size(0)};
}

bool pair_converged(double bound, double theta, double tolerance, double eps, double scale) {
  return bound <= tolerance * std::max(std::abs(theta), std::pow(eps, 2.0 / 3) * scale);
}

}  // namespace ritz::detail
