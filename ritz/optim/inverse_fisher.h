#pragma once
// The inverse of a damped empirical Fisher matrix out of m gradients, never formed.
//
//   F = lambda I + (1/m) G^T G,   G [m, d]: a gradient of the mean loss over a mini-batch in each
//   row
//
// E. Frantar, E. Kurtic, D. Alistarh: M-FAC: Efficient Matrix-Free Approximations of Second-Order
// Information, NeurIPS 2021 (the static algorithm). With F_i = F_{i-1} + (1/m) g_i g_i^T, F_0 =
// lambda I, Sherman and Morrison's formula gives vectors v_i = F_{i-1}^-1 g_i and numbers q_i = m +
// g_i . v_i such that (paper)
//
//   F^-1 x = x / lambda - V^T ((V x) ./ q),    V [m, d], q [m]
//   [F^-1]_jk = delta_jk / lambda - sum_i V_ij V_ik / q_i
//
// All v_i at once (derived): S = G G^T / lambda + m I = C C^T, D = diag(C), L = C D^-1;
//   V = L^-1 G / lambda,   q = D.^2
// the same V and q as the recursion's, in products of matrices instead of m passes over memory.
//
// Blocks: the inverse of F's diagonal blocks alone. A block narrower than m is inverted as a dense
// matrix instead (Singh and Alistarh: WoodFisher, NeurIPS 2020).
//
//     #include "ritz/base/random.h"
//     #include "ritz/optim/inverse_fisher.h"
//     #include <torch/types.h>
//     int main() {
//       const auto G = ritz::RandomStream(1).normal({8, 1000}, torch::kFloat64);
//       const ritz::optim::InverseFisher inverse(G, {.damping = 1e-3});
//       const auto x = torch::ones({1000}, torch::kFloat64);
//       const auto y = inverse.apply(x);                             // F^-1 x
//       const auto back = 1e-3 * y + G.t().mv(G.mv(y)) / 8;          // F y
//       return (back - x).norm().item<double>() < 1e-8 ? 0 : 1;
//     }
#include <memory>
#include <optional>
#include <vector>

#include "ritz/linop/linear_operator.h"

namespace ritz::optim {

/// How a block is inverted.
enum class FisherForm {
  automatic,  // dense where a block is narrower than m, else vectors
  vectors,    // V and q
  dense,      // lambda I + G^T G / m by Cholesky, [width, width] a block
  recursion   // the same by WoodFisher's rank-one updates: m d width operations, for comparison
};

/// Where V is.
enum class FisherStore {
  automatic,  // vectors where the memory limit allows, else pages
  vectors,    // in memory: m d numbers
  pages       // nowhere: G stays where it is (a mapped file larger than memory, half precision) and
              // is read anew by each product; diagonals and elements solve as they read
};

struct InverseFisherOptions {
  double damping = 1e-5;  // lambda > 0 (code)
  int64_t block = 0;      // coordinates in a block; 0: none, the full matrix
  /// Lengths of the tensors that make up d, where blocks are not to cross their borders (block 0:
  /// a block a tensor). Empty: one flat vector (code).
  std::vector<int64_t> segments = {};
  FisherForm form = FisherForm::automatic;
  FisherStore store = FisherStore::automatic;
  /// float32 or float64, that of products and results; none: G's own, float32 for half precision.
  std::optional<c10::ScalarType> compute = {};
  bool overwrite = false;    // V takes the place of G, where dtypes agree
  int64_t memory_limit = 0;  // bytes for V; 0: 80 % of what is free
};

/// F^-1 as an operator: `apply` takes [d] or [d, k].
///
/// Rounding: x / lambda - ... loses about log10(|x| / (lambda |F^-1 x|)) digits. Duplicate and zero
/// rows are fine. A Cholesky factorisation that fails in float32 is repeated in float64.
class InverseFisher : public SymmetricOperator {
 public:
  /// G [m, d] in float16, bfloat16, float32 or float64; not copied where pages are used. Throws
  /// InvalidArgument: damping, sizes, a row that is not finite (it is named), V over the limit.
  explicit InverseFisher(Tensor gradients, const InverseFisherOptions& options = {});

  int64_t rows() const override;
  TensorOptions options() const override;
  /// m
  int64_t gradients() const;
  bool paged() const;

  /// [d]: all [F^-1]_jj, in (0, 1/lambda]. What rounding to 1/lambda cannot resolve is returned as
  /// eps / lambda.
  Tensor diagonal() const;
  /// [n]: [F^-1]_jk for indices j, k int64 [n]; O(m) each, whatever d.
  Tensor elements(const Tensor& j, const Tensor& k) const;
  /// [d, n]: columns F^-1 e_k for k int64 [n]; O(d m) each.
  Tensor columns(const Tensor& k) const;

  /// V [m, d] and q [m] of an unblocked inverse that stores vectors; undefined otherwise.
  Tensor vectors() const;
  Tensor pivots() const;

 private:
  Tensor do_apply(const Tensor& x) const override;

  struct State;  // immutable: copies share it
  std::shared_ptr<const State> state_;
};

/// The eigenvalues of F, from Gram matrices of the smaller side of each block.
struct FisherSpectrum {
  Tensor eigenvalues;      // float64, descending: the min(m, width) of each block that G can raise
  int64_t at_damping = 0;  // all others: exactly lambda
  double trace = 0, trace_of_inverse = 0, log_det = 0;
};
/// Reads G once; `form`, `store` and `overwrite` do not matter.
FisherSpectrum fisher_spectrum(const Tensor& gradients, const InverseFisherOptions& options = {});

}  // namespace ritz::optim
