#pragma once
// The one door for hot dense products. libtorch's float32 `mm` is MKL, which takes AVX2 kernels on
// AMD's processors; oneDNN inside the same libtorch takes AVX-512: a tenth faster where the
// processor runs that at half width (Zen 4), twice where at full width (Zen 5). oneDNN copies
// operands into an order of its own, which small, thin and transposed ones do not repay: for them,
// and for products in place, there is a kernel of ritz's (detail/gemm_kernel.h). The door measures
// all three once per process and then chooses for each product by a model of what each costs.
//
//     #include "ritz/base/gemm.h"
//     #include <torch/types.h>
//     int main() {
//       const auto x = torch::arange(600.).view({20, 30}) / 600, w = x.flip(0);
//       const ritz::Tensor y = ritz::gemm(x, w.t());  // x.mm(w.t()) to rounding
//       return torch::allclose(y, x.mm(w.t())) ? 0 : 1;
//     }
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz {

/// a b for matrices [m, k] x [k, n] of one dtype and device; any strides. Equal to `a.mm(b)` to
/// rounding, never slower beyond noise. oneDNN and the kernel serve float32 on the CPU where no
/// gradient is recorded; everything else is `mm`.
Tensor gemm(const Tensor& a, const Tensor& b);

/// a b^T for [m, k] x [n, k], the form in which oneDNN is fastest; plus `bias` [n] in each row,
/// where it is defined, at no cost of its own.
Tensor gemm_nt(const Tensor& a, const Tensor& b, const Tensor& bias = {});

/// out <- a b, or out + a b, in place: out [m, n] with unit column stride; a, b of any strides, so
/// that nothing is transposed or copied first. No gradient is recorded. By the kernel wherever it
/// runs (float32 and float64, AVX-512): there the bits do not depend on the number of threads.
void gemm_into(const Tensor& out, const Tensor& a, const Tensor& b, bool accumulate = false);
/// out <- a b + bias, bias [n] in each row.
void gemm_into(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias);

/// Who multiplies. Outside tests and benchmarks `automatic` is right.
enum class GemmBackend { automatic, mm, onednn, kernel };

/// gemm by a named backend; `onednn` and `kernel` throw Unsupported where they cannot take the
/// operands.
Tensor gemm_by(GemmBackend backend, const Tensor& a, const Tensor& b);

/// What the probe found for one class of shapes. The numbers are rounded to a few levels, so that
/// noise seldom changes a choice between two runs of a program, and with it the last bits of its
/// results.
struct GemmRates {
  static constexpr double kNever = 1.25;
  double mm = 0;  // seconds per multiply-add, a power of two
  // Times over mm's: 0.5, 0.75, 0.9, or kNever: not chosen.
  double onednn = kNever, kernel = kNever;
};
/// The measurement behind the choice, made at the first call (about 20 ms). `available` is false
/// where there is neither oneDNN's product nor the kernel, or one failed its check against `mm`.
struct GemmProbe {
  bool available = false;
  GemmRates square, tall, wide;  // all of m, n large; n small; m small
};
const GemmProbe& gemm_probe();

}  // namespace ritz
