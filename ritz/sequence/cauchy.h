#pragma once
// S4's convolution kernel: HiPPO as diagonal plus low rank, A = diag(l) - P P^*, discretised
// bilinearly, through its generating function at the roots of unity z = exp(-2 pi i f / L):
//
//   Khat(z) = Delta [ r(CtB) - (1+z) Delta/2 r(CtP) r(P^*B) / (1 + (1+z) Delta/2 r(P^*P)) ],
//   r(v)(z) = sum_n v_n / ((1 - z) - (1 + z) Delta l_n / 2),    Ct = C (I - Abar^L),
//
// and K is its inverse FFT (Gu, Goel, Re, ICLR 2022; there with (1-z)/(1+z), which has a pole at
// z = -1 that this form has not). On the circle 1 - z and 1 + z are i sin and cos of half the angle
// times one factor, so that each term is the reciprocal of one complex number with a positive real
// part.
//
// Conjugate storage (ritz/sequence/diagonal_system.h): each pair of states is one entry of weight
// 2, and the sums run over both; P P^* acts on the pair.
//
// Cost a channel: about 40 N L flops forward, 100 N L backward; Ct takes Abar^L: 8 n^3 log2 L.
//
//     #include "ritz/sequence/cauchy.h"
//     #include <torch/types.h>
//     #include "ritz/sequence/hippo.h"
//     int main() {
//       const auto s4 = ritz::sequence::dplr_hippo(4);
//       const auto row = [](const auto& z) { return z.unsqueeze(0); };  // one channel
//       const auto K = ritz::sequence::dplr_kernel({row(s4.eigenvalues), row(s4.P), row(s4.B), s4.weights,
//                                                   torch::tensor({0.1})}, row(s4.V[0]), 50);
//       return K.size(1) == 50 && K[0][0].item<float>() > 0 ? 0 : 1;
//     }
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// H systems of one input and output. All differentiable but the weights.
struct DplrParameters {
  Tensor eigenvalues, P, B;  // complex [H, N]
  Tensor weights;            // [N]: 2 for one of a conjugate pair, 1 else
  Tensor dt;                 // real [H]
};

/// K of dtype `dtype` [H, L]; C complex [H, N], without weights. Where `truncated`, C is Ct already
/// (S4's public code trains that).
Tensor dplr_kernel(const DplrParameters& system, const Tensor& C, int64_t L,
                   c10::ScalarType dtype = c10::ScalarType::Float, bool truncated = false);

/// Ct = C (I - Abar^L), complex128 [H, N]; differentiable.
Tensor dplr_truncate(const DplrParameters& system, const Tensor& C, int64_t L);
/// C of a Ct.
Tensor dplr_untruncate(const DplrParameters& system, const Tensor& Ct, int64_t L);

/// The dense discrete system, states of a pair one after the other: Abar [H, n, n], Bbar [H, n],
/// C [H, n] with y = Re(C x), n = sum of weights. For n small: oracle, recurrences.
struct DenseSystem {
  Tensor A, B, C;
};
DenseSystem dplr_dense(const DplrParameters& system, const Tensor& C);

/// Step mode: x <- Abar x + Bbar u in O(N) a channel, as A - and so (I - Delta A / 2)^-1 - is
/// diagonal plus rank one. State complex128.
class DplrStepper {
 public:
  /// C without weights, not truncated; D [H] or undefined.
  DplrStepper(const DplrParameters& system, const Tensor& C, const Tensor& D);
  void reset();
  /// u [H] to y [H], of u's dtype.
  Tensor step(const Tensor& u);
  Tensor state() const;
  void set_state(const Tensor& state);

 private:
  Tensor forward_, inverse_, left_, right_, P_, Bbar_, C_, D_, weights_, state_;
};

namespace detail {
/// r[k, h, f] = sum_n weight_n / 2 (v_kn / (i s_f - c_f w_n) + conj(v_kn) / (i s_f - c_f
/// conj(w_n))) for w [H, N], v [K, H, N] complex128; s, c float64 [F]. Differentiable in w and v.
Tensor cauchy_sums(const Tensor& w, const Tensor& v, const Tensor& weights, const Tensor& s,
                   const Tensor& c);
Tensor cauchy_sums_by_tensors(const Tensor& w, const Tensor& v, const Tensor& weights,
                              const Tensor& s, const Tensor& c);
}  // namespace detail

}  // namespace ritz::sequence
