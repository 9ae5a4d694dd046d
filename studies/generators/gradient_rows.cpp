#include "studies/generators/gradient_rows.h"

#include <torch/types.h>

#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {

GradientRows gradient_rows(const GradientRowsOptions& options) {
  check_at_least("rows", options.rows, 1);
  check_at_least("columns", options.columns, options.rows);
  check_positive("largest", options.largest);
  check_non_negative("decay", options.decay);
  const auto double_options = options.tensor.dtype(at::kDouble);
  const auto orthonormal = [&](const char* purpose, int64_t n) {
    RandomStream random(options.seed, stream_id(purpose));
    return std::get<0>(at::linalg_qr(random.normal({n, options.rows}, double_options)));
  };
  GradientRows made;
  made.eigenvalues =
      options.largest * at::arange(1, options.rows + 1, double_options).pow(-options.decay);
  const Tensor Q = orthonormal("gradient-rows/directions", options.columns);
  const Tensor U = orthonormal("gradient-rows/mixture", options.rows);
  const auto dtype =
      options.tensor.dtype_opt() ? c10::typeMetaToScalarType(options.tensor.dtype()) : at::kFloat;
  const double m = static_cast<double>(options.rows);
  made.rows = (U * (m * made.eigenvalues).sqrt()).mm(Q.t()).to(dtype);
  made.directions = Q.to(dtype);
  return made;
}

}  // namespace ritz::studies
