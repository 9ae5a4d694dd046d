#pragma once
// Dictionaries: functions psi_1, ..., psi_N of a state, in whose span the Koopman operator is
// looked at.
//
//     #include "ritz/koopman/dictionary.h"
//     #include <torch/types.h>
//     int main() {
//       const auto data = torch::rand({50, 2}, torch::kFloat64);
//       const auto s = ritz::koopman::trajectories(data);
//       const auto lift = ritz::koopman::make_lift({.name = "polynomial", .size = 6}, s);
//       const auto PX = (*lift.functions)(lift.prepare(s).x());  // 1, x1, x2, x1^2, x1 x2, x2^2
//       return PX.sizes() == at::IntArrayRef{49, 6} ? 0 : 1;
//     }
#include <memory>
#include <string>

#include "ritz/koopman/kernel.h"
#include "ritz/koopman/snapshots.h"

namespace ritz::koopman {

/// N functions of a state of d features.
class Dictionary {
 public:
  virtual ~Dictionary() = default;
  virtual int64_t size() const = 0;
  virtual int64_t dimension() const = 0;
  /// [m, N] for states [m, d]: float64 or complex128.
  virtual Tensor operator()(const Tensor& states) const = 0;
};
using DictionaryPtr = std::shared_ptr<const Dictionary>;

/// The features themselves, or A x: `map` [N, d], undefined for the identity.
DictionaryPtr linear_dictionary(int64_t d, const Tensor& map = {});
/// The first `size` monomials in graded order, 1 included: 1, x1, x2, x1^2, x1 x2, x2^2, ...
DictionaryPtr polynomial_dictionary(int64_t d, int64_t size);
/// The coefficients in the first `size` POD modes of x (fewer where their rank is less): left
/// singular vectors of the weighted snapshots, by SVD; nothing is centred. 0: all of the rank.
DictionaryPtr pod_dictionary(const Snapshots& snapshots, int64_t size);
/// psi_j(x) = exp(-2 |x - c_j| / scale) (code), centres [N, d].
DictionaryPtr rbf_dictionary(const Tensor& centres, double scale);
/// exp(2 pi i k.x / period), the first `size` multi-indices k in Z^d by |k|_1, each beside its
/// negative: 0, k, -k, ... Real states only.
DictionaryPtr fourier_dictionary(int64_t d, int64_t size, double period);
/// The functions sum_i k(x, x_i) T_ij: combinations of kernel sections at `states` [M, d], T [M,
/// N].
DictionaryPtr kernel_dictionary(const Kernel& kernel, const Tensor& states, const Tensor& T);

struct KMeansOptions {
  int64_t max_iterations = 50;
  int64_t max_rows = 20000;  // of a larger sample so many are drawn
  uint64_t seed = 0;
};
/// Centres [count, d] of the rows of `sample` (float64): k-means++ (Arthur & Vassilvitskii 2007),
/// then Lloyd's steps; a centre that loses all its rows moves to the row farthest from its own.
Tensor k_means(const Tensor& sample, int64_t count, const KMeansOptions& options = {});

struct DictionaryOptions {
  /// linear, polynomial, delay, pod, rbf, fourier or kernel:KIND
  std::string name = "linear";
  /// N; delays a feature for delay; 0: linear d, polynomial all monomials up to degree 2, delay 10,
  /// pod all of the rank up to M/2, fourier 25, rbf and kernel 100 or M/4.
  int64_t size = 0;
  double period = 6.283185307179586;  // of fourier
  double scale = 0;                   // of rbf and the kernels; 0: from the data
  int64_t degree = 2;                 // of kernel:polynomial
  int64_t spacing = 1;                // steps between delays
  /// Where the centres of rbf come from, [n, d]: best a sample of its own. Undefined: x and y of
  /// the training pairs.
  Tensor centres = {};
  uint64_t seed = 0;
};

/// A dictionary and what has to be done to snapshots before it.
struct Lift {
  std::string name;
  DictionaryPtr functions;
  int64_t delays = 1, spacing = 1;
  double scale = 0;  // that was taken, of rbf and the kernels

  int64_t size() const { return functions->size(); }
  /// Delays are taken; anything else is left as it is.
  Snapshots prepare(const Snapshots& snapshots) const;
};

/// The dictionary of that name for these training data (not yet prepared).
Lift make_lift(const DictionaryOptions& options, const Snapshots& train);

}  // namespace ritz::koopman
