#pragma once
// Scan and step mode: the recurrence x_l = a x_{l-1} + v_l itself, with its gradient.
//
// Complex states travel as planar real tensors [..., 2P]: P real parts, then P imaginary ones, so
// that the products around a scan are plain real GEMMs (`planar_input`, `planar_output`).
//
// Invariant of every kernel: the state lives in double registers or in the first cache while L
// passes by; the only memory traffic is v in and x out. Backward, for the gradient g of x:
//   G_l = g_l + conj(a) G_{l+1},   dv_l = G_l,   da = sum_l conj(x_{l-1}) G_l,
// a scan in the other direction that reads g and x once.
//
//     #include "ritz/sequence/scan.h"
//     #include <torch/types.h>
//     int main() {
//       const auto a = torch::complex(torch::tensor({0.5}), torch::tensor({0.0}));
//       const auto v = torch::tensor({1., 0., 1., 0., 1., 0.}).view({1, 3, 2});  // one state, 3 steps
//       const auto x = ritz::sequence::diagonal_scan(a, v);
//       return torch::allclose(x.select(2, 0).view({3}), torch::tensor({1., 1.5, 1.75})) ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

struct ScanOptions {
  bool reverse = false;  // from the last step to the first: x_l = a x_{l+1} + v_l
  Tensor lengths = {};   // int64 [B], 1..L: steps from there on are 0 and are not read
  Tensor initial = {};   // [B, 2P] (planar), the state before the first step
  int64_t chunk = 0;     // steps that threads share out where sequences are few; 0: by itself
};

/// x [B, L, 2P] of v [B, L, 2P] (planar) and a complex [P]; float32 or float64 with arithmetic in
/// double. Differentiable in a, v and the initial state. Cost: 8 B L P flops.
Tensor diagonal_scan(const Tensor& a, const Tensor& v, const ScanOptions& options = {});

/// complex [..., P] to real [..., 2P], and back.
Tensor to_planar(const Tensor& complex);
Tensor from_planar(const Tensor& planar);

/// One system of P states with many inputs and outputs (S5): x_l = a x_{l-1} + Bbar u_l, y_l =
/// sum_p weight_p Re(C_p x_lp) + D u_l. u [B, L, H]; a complex [P]; Bbar complex [P, H], gain
/// included; C complex [H, P], weights included (bidirectional: [H, 2P], the reversed scan's last);
/// D [H] or undefined; y [B, L, H].
struct MimoOptions {
  bool bidirectional = false;
  Tensor lengths = {};  // as in ScanOptions
};
Tensor mimo_scan(const Tensor& u, const Tensor& a, const Tensor& Bbar, const Tensor& C,
                 const Tensor& D = {}, const MimoOptions& options = {});

/// H systems of N states with one input and one output each (S4D), without storing states: u [B, H,
/// L]; a, Bbar (gain included), C (weights included) complex [H, N]; D [H] or undefined; y [B, H,
/// L]. Equal to the convolution with its kernel. Differentiable in all; backward keeps one state in
/// 64 and repeats the steps between.
Tensor siso_scan(const Tensor& u, const Tensor& a, const Tensor& Bbar, const Tensor& C,
                 const Tensor& D = {}, const ScanOptions& options = {});

namespace detail {
/// Twins in tensor operations (log2 L passes of doubling), differentiable by autograd.
Tensor scan_by_tensors(const Tensor& a, const Tensor& v, const ScanOptions& options);
}  // namespace detail

}  // namespace ritz::sequence
