#pragma once
// The optimal brain surgeon on a damped empirical Fisher matrix F: which weights to drop, and how
// to move the others.
//
// Dropping weight q and moving the rest to the minimum of 1/2 dw^T F dw costs (paper)
//   rho_q = w_q^2 / (2 [F^-1]_qq),   dw = -(w_q / [F^-1]_qq) F^-1 e_q,   (w + dw)_q = 0.
// Many at once, Q:
//   independent  dw = F^-1 t, t_q = -w_q / [F^-1]_qq on Q, else 0; then w_Q = 0       (code)
//   joint        dw = -F^-1[:,Q] (F^-1[Q,Q])^-1 w_Q: the exact minimiser              (derived)
// The joint one needs no |Q| x |Q| solve (derived): with S the weights that stay, a = G_Q w_Q and
// K_S = G_S G_S^T, all m x m or smaller,
//   dw_S = G_S^T (m lambda I + K_S)^-1 a,
//   1/2 dw^T F dw = (lambda |w_Q|^2 + lambda a^T (m lambda I + K_S)^-1 a) / 2.
//
// F. Frantar, E. Kurtic, D. Alistarh: M-FAC, NeurIPS 2021; B. Hassibi, D. Stork: Second Order
// Derivatives for Network Pruning, NIPS 1992.
#include <vector>

#include "ritz/optim/inverse_fisher.h"

namespace ritz::compress {

/// rho [d] of weights w [d] and the diagonal of F^-1 [d].
Tensor saliencies(const Tensor& w, const Tensor& inverse_diagonal);

/// The `count` indices of smallest score, int64.
Tensor smallest(const Tensor& scores, int64_t count);

struct ObsUpdate {
  Tensor change;         // dw [d]: exactly -w on Q
  double predicted = 0;  // rise of the loss: the sum of rho over Q, or the joint quadratic's value
};

/// Drops Q (int64 indices) from w by the independent sum; `inverse_diagonal` is that of `inverse`.
ObsUpdate independent_update(const optim::InverseFisher& inverse, const Tensor& inverse_diagonal,
                             const Tensor& w, const Tensor& Q);

/// Drops Q from w jointly, for gradients G [m, d]; of `options` damping, block, segments and
/// compute count. Cost: m^2 d flops (two Gram matrices) whatever |Q|.
ObsUpdate joint_update(const Tensor& G, const optim::InverseFisherOptions& options, const Tensor& w,
                       const Tensor& Q);

/// floor(sparsity d)
int64_t zeros_at(double sparsity, int64_t d);

/// Zeros after each of R sub-steps from `zeros` to floor(sparsity d): densities fall geometrically,
/// (1 - s_prev) ((1 - s) / (1 - s_prev))^(j/R).
std::vector<int64_t> recomputation_zeros(int64_t zeros, double sparsity, int64_t d, int64_t R);

/// s_t = s_f + (s_0 - s_f) (1 - t/n)^3 for t = 1, ..., n (Zhu and Gupta 2017).
std::vector<double> zhu_gupta_targets(double from, double to, int64_t n);

}  // namespace ritz::compress
