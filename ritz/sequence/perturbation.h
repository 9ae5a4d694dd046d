#pragma once
// Perturb, then diagonalise: A + E = W diag(m) W^-1 with E small and W well conditioned.
//
// HiPPO's matrix has eigenvectors of condition 5e18 at n = 32; dropping its low-rank part (S4D, S5)
// makes them unitary, but moves the transfer function by as much as itself. A perturbation of 4 %
// of its norm that is *chosen* leaves condition numbers of 7 and moves the transfer function by 3 %
// (random ones of that norm: 80).
//
//   minimise over X:  log kappa(W) + penalty mean(max(0, Re m - abscissa)^2)
//   subject to        E = X min(1, rho ||A||_2 / ||X||_2),   A + E = W diag(m) W^-1
//
// by Adam under a cosine, from several starts; the gradient is analytic (eigensystem.h). Of the
// starts that are stable the one with the least kappa times error of the transfer function is
// taken (HiPPO), or the one with the least kappa.
//
// Sources: Yu, Nigmetov, Morozov, Mahoney, Erichson, ICLR 2024 (arXiv 2310.01698). The paper states
// kappa + gamma ||E||; the authors' code minimises kappa^2 + lambda ||E||_F over complex E, and
// reflects unstable eigenvalues to the left after the fact, which changes the system. Here the norm
// is held by a ball, the real parts by a hinge, and an eigenvalue that is left unstable is an
// error. With the hinge at HiPPO's own abscissa, -1, the error of the transfer function is 3 %; at
// -0.1, where eigenvalues come to lie near the axis and resonate, 10 to 60 %.
//
//     #include "ritz/sequence/perturbation.h"
//     int main() {
//       const auto made = ritz::sequence::perturb_hippo(8, {.rho = 0.1, .steps = 100, .restarts = 1});
//       return made.kappa < 20 && made.max_real < 0 && made.rho <= 0.1 + 1e-12 ? 0 : 1;
//     }
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "ritz/sequence/diagonal_system.h"
#include "ritz/sequence/eigensystem.h"

namespace ritz::sequence {

/// optimised: the above. ginibre: Gaussian entries, scaled to the norm. path (HiPPO only): E = t
/// B_H B_H^T / 2, t in (0, 1] as the norm allows. none (HiPPO only): S4D, E = B_H B_H^T / 2 and B
/// halved.
enum class Generator { optimised, ginibre, path, none };
std::string_view name_of(Generator generator);

struct PerturbationOptions {
  Generator generator = Generator::optimised;
  double rho = 0.04;  // ||E||_2 <= rho ||A||_2
  /// The hinge on real parts. perturb_hippo: -1 unless set; ptd_diagonalize: none unless set.
  std::optional<double> abscissa = {};
  double penalty = 10;  // of the hinge, per square of `unit`
  double unit = 0;      // 0: 1 for HiPPO, else |abscissa|, or rho ||A||_2 where that is 0
  Conditioning conditioning = Conditioning::two_norm;
  int64_t steps = 600, restarts = 4;
  double learning_rate = 0.2;  // of Adam, in units of rho ||A||_2 / (2 sqrt n), a typical entry
  bool real = true;            // E real where A is: eigenvalues stay in pairs
  bool allow_unstable =
      true;              // else NotConverged where a hinge was asked for and Re m >= 0 is left
  double b_scale = 0.5;  // of `none`
  uint64_t seed = 0;
  /// Called after each step with the number of steps done, of all starts together, and their total;
  /// from several threads.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// One start of the optimiser.
struct PerturbationStart {
  double loss = 0, kappa = 0, max_real = 0, sup_error = 0;  // sup_error: HiPPO only, else 0
};

struct Perturbation {
  Tensor E;            // float64 or complex128 [n, n]
  Tensor eigenvalues;  // complex128 [n]
  Tensor W, W_inv;     // complex128 [n, n], columns of W of unit length
  double kappa = 0;    // kappa_2(W)
  double rho = 0;      // ||E||_2 / ||A||_2, achieved
  double norm = 0;     // ||A||_2
  double max_real = 0;
  double residual = 0;  // ||W diag(m) W^-1 - A - E||_2 / ||A||_2; about kappa eps
  /// HiPPO only: hippo_sup_error, and where.
  std::optional<double> sup_error = {}, sup_omega = {};
  double b_scale = 1;  // what B_H is multiplied with: 1, or that of `none`
  std::vector<PerturbationStart> starts = {};
  int64_t chosen = 0;
  int64_t jitters = 0;  // how often coincident eigenvalues were moved apart
};

/// Any square matrix, real or complex: so that powers, exponentials and resolvents can be taken in
/// a diagonal basis. About 120 n^3 flops a step and start; the starts share the threads.
/// InvalidArgument for A not square, not finite or beyond n = 2048 (optimised), rho <= 0;
/// generators path and none.
Perturbation ptd_diagonalize(const Tensor& A, const PerturbationOptions& options = {});

/// A + E for an E from elsewhere: its diagonal form with the same figures.
Perturbation diagonalize_with(const Tensor& A, const Tensor& E);

/// HiPPO-LegS of n states; sup_error is measured. n = 64 with all defaults takes about 3 s on two
/// cores.
Perturbation perturb_hippo(int64_t n, const PerturbationOptions& options = {});
/// HiPPO with an E from elsewhere.
Perturbation perturb_hippo_with(const Tensor& E);

/// The same out of a file in $XDG_CACHE_HOME/ritz (or ~/.cache/ritz) where an equal call has left
/// one: E by n, rho, seed, every option and the library's version; it is diagonalised again, so
/// that the bits are those of perturb_hippo. Nothing but the optimiser is worth a file. A cache
/// that can not be read or written costs time, not an error. `found` tells whether it was there.
Perturbation cached_hippo(int64_t n, const PerturbationOptions& options = {},
                          bool* found = nullptr);

/// The state-space system: B = W^-1 (b_scale B_H), stored in full or, for real E, one of each pair.
DiagonalSystem hippo_system(const Perturbation& perturbation, Storage storage);

/// Throws NotConverged naming max Re m, and what to do, where the system is not stable.
void require_stable(const Perturbation& perturbation);

}  // namespace ritz::sequence
