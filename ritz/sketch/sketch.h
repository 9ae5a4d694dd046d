#pragma once
// Random maps S [d, n] with E|S x|^2 = |x|^2 that nearly keep the geometry of any fixed subspace of
// dimension well below d. All are linear operators with adjoints; real dtypes.
//
//     | sketch      | memory | S x per vector | d for distortion 1/2 of a k-dimensional subspace  |
//     | ----------- | ------ | -------------- | ------------------------------------------------- |
//     | Gaussian    | d n    | 2 d n flops    | about 8 k                                         |
//     | sparse sign | s n    | 2 s n flops    | about 8 k in practice (s = 8); k log k proven     |
//     | SRTT        | n      | O(n log n)     | about 8 k in practice; k log k proven and needed  |
//
//     #include "ritz/sketch/sketch.h"
//     #include <torch/types.h>
//     #include "ritz/base/random.h"
//     int main() {  // 3 columns of 5000 numbers, kept as 200: their inner products stay
//       const auto A = ritz::RandomStream(1).normal({5000, 3}, torch::kFloat64);
//       const auto S = ritz::sparse_sign_sketch(200, 5000, A.options(), {.seed = 7});
//       const auto small = S->apply(A);  // [200, 3]
//       const auto error = (small.t().mm(small) - A.t().mm(A)).norm() / A.t().mm(A).norm();
//       return error.item<double>() < 0.5 ? 0 : 1;
//     }
//
// Martinsson & Tropp 2020, sections 8 and 9.
#include "ritz/linop/linear_operator.h"

namespace ritz {

struct SketchOptions {
  uint64_t seed = 0;
  int64_t nonzeros = 8;  // sparse sign only: a column's, clipped to d
};

/// Independent entries from N(0, 1/d).
LinearOperatorPtr gaussian_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                  const SketchOptions& options = {});

/// Each column has `nonzeros` entries +-1/sqrt(nonzeros) in distinct random rows (Achlioptas 2003;
/// Kane & Nelson 2014; Tropp et al. 2019).
LinearOperatorPtr sparse_sign_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                     const SketchOptions& options = {});

/// S = sqrt(n/d) R F D: random signs D, an orthogonal trigonometric transform F, d <= n distinct
/// random rows R. F is Hartley's, F_kj = (cos + sin)(2 pi k j / n) / sqrt(n): real, its own
/// inverse, one real FFT.
LinearOperatorPtr trigonometric_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                       const SketchOptions& options = {});

}  // namespace ritz
