#pragma once
// What M pairs of snapshots leave of themselves in a dictionary of N functions. With PX_mj =
// psi_j(x_m), PY_mj = psi_j(y_m) and W = diag(w), everything below depends on the data through
//
//     G = PX^* W PX,   A = PX^* W PY,   L = PY^* W PY
//
// alone (Colbrook & Townsend, CPAM 2024), or, without squaring anything, through the triangle of
//
//     sqrt(W) [PX PY] = [Q1 Q2] [R C; 0 F]        (2N columns).
//
// In the orthonormal basis psi R^{-1} the Koopman operator's compression is A' = C R^{-1}, and
// S = F R^{-1} is what leaves the span: ||sqrt(W)(PY - z PX) v|| = ||[A' - z; S] R v|| for every z
// and v, the residual to all digits. M disappears after one pass.
//
//     #include "ritz/koopman/reduction.h"
//     #include <torch/types.h>
//     int main() {  // a rotation by one radian: linear functions are invariant
//       const auto t = torch::arange(50., torch::kFloat64);
//       const auto s = ritz::koopman::trajectories(torch::stack({t.cos(), t.sin()}, 1));
//       const auto r = ritz::koopman::reduce(*ritz::koopman::linear_dictionary(2), s);
//       return r.rank() == 2 && r.S.abs().max().item<double>() < 1e-13 ? 0 : 1;
//     }
#include "ritz/dist/process_group.h"
#include "ritz/koopman/dictionary.h"

namespace ritz::koopman {

/// psi at both ends of the pairs [begin, end): [end - begin, N] each. A state that ends one pair
/// and begins the next is evaluated once.
struct PairValues {
  Tensor x, y;
};
PairValues evaluate(const Dictionary& dictionary, const Snapshots& snapshots, int64_t begin,
                    int64_t end);

struct GramMatrices {
  Tensor G, A, L;  // [N, N], float64, or complex128 where psi or the data are complex
  int64_t pairs = 0;
};

struct ReductionOptions {
  enum class Route {
    qr,   // TSQR of [PX PY]: residuals to all digits. 8 M N^2 flops
    gram  // G, A, L by matrix products: half the digits (residual floor 1e-8). 6 M N^2 flops
  };
  Route route = Route::qr;
  int64_t block = 4096;  // rows at a time; at least 8 N for qr
  /// A function is dropped where less than this part of it is new beside those kept (columns scaled
  /// to length 1). 0: 1e-10 for qr, 1e-7 for gram.
  double rank_tolerance = 0;
  /// Ranks that each pass over their share of the pairs; all get the same result. Null: this
  /// process passes over all.
  dist::ProcessGroup* group = nullptr;
};

/// One pass over the data in blocks; real data stay real.
GramMatrices gram_matrices(const Dictionary& dictionary, const Snapshots& snapshots,
                           const ReductionOptions& options = {});

struct Reduction {
  Tensor R;               // [n, n] upper triangular, positive diagonal: sqrt(W) PX = Q R
  Tensor A;               // [n, n]: Q^* sqrt(W) PY R^{-1}, the compression in the orthonormal basis
  Tensor S;               // [n, n] upper triangular: what leaves the span
  Tensor kept;            // int64 [n], rising: the functions that R's columns stand for
  int64_t functions = 0;  // N, before any was dropped
  int64_t pairs = 0;      // M
  double floor = 0;       // residuals below it are rounding

  int64_t rank() const { return R.size(0); }
  /// From as many functions as pairs on the span holds every y, and every residual on the same data
  /// is 0 whatever the dynamics: such residuals say nothing.
  bool residuals_are_empty() const { return rank() >= pairs; }
  /// Coefficients in the functions kept, [n, k], of u [n, k] in the orthonormal basis: R^{-1} u.
  Tensor coefficients(const Tensor& u) const;
  /// And back: R v.
  Tensor orthonormal(const Tensor& v) const;
  GramMatrices gram() const;
};

/// InvalidArgument where all functions vanish on the data.
Reduction reduce(const Dictionary& dictionary, const Snapshots& snapshots,
                 const ReductionOptions& options = {});
/// From Gram matrices (the route `gram`), which may be exact ones.
Reduction reduce(const GramMatrices& gram, double rank_tolerance = 0);

/// ||L' - I||_2 with L' = A'^* A' + S^* S: 0 for functions whose norm the dynamics keeps. It tends
/// to 0 like sqrt(N/M) where the map preserves the measure that the data are drawn from.
double isometry_defect(const Reduction& reduction);
/// What sampling alone may do to it: 3 sqrt(n/M) (derived from random data on an invariant set,
/// where it is about 2 sqrt(n/M)). Above it the map does not preserve the data's measure.
double isometry_threshold(const Reduction& reduction);

}  // namespace ritz::koopman
