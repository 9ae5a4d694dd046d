#pragma once
// Convolution mode: long filters applied to long sequences.
//
//   y_t = sum_{s <= t} K_{t-s} u_s + D u_t           causal
//       + sum_{s >= t} R_{s-t} u_s                   and, bidirectional, of the reversed sequence
//
// By FFTs of a size that holds both without wrapping around. On the CPU one channel after the other
// goes through transforms of ritz's own (detail/fft_kernels.h): two sequences of a batch at a time,
// as the parts of one complex row that stays in the second cache from its input to its output;
// nothing but u and the filters is kept for backward. Elsewhere by libtorch's FFT.
//
// Where lengths differ, put zeros behind the shorter rows: then both directions are right.
//
// Cost a channel, with N the size, at least 2L - 1: (B + 1) transforms of 2.5 N log2 N flops
// forward for B sequences (two share one of 5 N log2 N), 3 B / 2 + 2 of 5 N log2 N backward.
//
//     #include "ritz/sequence/convolution.h"
//     #include <torch/types.h>
//     int main() {
//       const auto u = torch::arange(6.).view({1, 2, 3}), K = torch::tensor({{1., 0., 0.}, {0., 1., 0.}});
//       const auto y = ritz::sequence::causal_convolution(u, K);
//       return torch::allclose(y, torch::tensor({{{0., 1., 2.}, {0., 3., 4.}}}), 1e-5, 1e-6) ? 0 : 1;
//     }
#include <cstdint>
#include <memory>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// u [B, H, L], K [H, Lk] with Lk >= 1 (taps beyond L are not used), D [H] or undefined; y [B, H,
/// L]. float32 or float64, one dtype; differentiable in all of them.
Tensor causal_convolution(const Tensor& u, const Tensor& K, const Tensor& D = {});

/// The same plus R [H, Lk] on the reversed sequence, at the cost of the causal one: both filters
/// are one, wrapped around.
Tensor bidirectional_convolution(const Tensor& u, const Tensor& K, const Tensor& R,
                                 const Tensor& D = {});

/// For inference: the filters' spectra are kept (2 N numbers a channel). Sequences up to `L`; no
/// gradient. Copies share the spectra.
class CachedConvolution {
 public:
  /// R may be undefined (causal), D too.
  CachedConvolution(const Tensor& K, const Tensor& R, const Tensor& D, int64_t L);
  /// u [B, H, l], l <= L.
  Tensor operator()(const Tensor& u) const;

 private:
  struct Spectra;
  std::shared_ptr<const Spectra> spectra_;
};

namespace detail {
/// The same by libtorch's FFT, differentiable by autograd: the twin for tests and other devices.
Tensor convolution_by_tensors(const Tensor& u, const Tensor& K, const Tensor& R, const Tensor& D);
/// The least 2^a 3^b 5^c that is >= n.
int64_t fast_fft_size(int64_t n);
}  // namespace detail

}  // namespace ritz::sequence
