#pragma once
// Step mode: one row in, one row out, for inference on a stream. The state is in double, so that a
// million steps stay on the convolution's answer.
//
//     #include "ritz/sequence/step.h"
//     #include <torch/types.h>
//     int main() {
//       const auto one = torch::ones({1, 1}, torch::kComplexDouble);
//       ritz::sequence::SisoStepper sum(one, one, one, {});  // x <- x + u, y = x
//       sum.step(torch::tensor({2.f}));
//       return sum.step(torch::tensor({3.f})).item<float>() == 5 ? 0 : 1;
//     }
#include <cstdint>
#include <vector>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// H systems of N states with one input and one output each: arguments as siso_scan's.
/// Cost of a step: 10 H N flops, 56 H N bytes read and written.
class SisoStepper {
 public:
  SisoStepper(const Tensor& a, const Tensor& Bbar, const Tensor& C, const Tensor& D);
  void reset();
  /// u [H] to y [H], of u's dtype.
  Tensor step(const Tensor& u);
  /// The same on raw arrays of H numbers; u and y may be one.
  void step(const float* u, float* y);
  void step(const double* u, double* y);
  int64_t channels() const { return H_; }
  /// The state, complex128 [H, N]: it may be kept and set again.
  Tensor state() const;
  void set_state(const Tensor& state);

 private:
  int64_t H_ = 0, N_ = 0;  // N_ is padded to whole vectors
  int64_t states_ = 0;     // as given
  std::vector<double> coefficients_, state_, D_;
};

/// One system of P states with many inputs and outputs: arguments as mimo_scan's, one direction.
class MimoStepper {
 public:
  MimoStepper(const Tensor& a, const Tensor& Bbar, const Tensor& C, const Tensor& D);
  void reset();
  /// u [H_in] to y [H_out].
  Tensor step(const Tensor& u);
  Tensor state() const;  // complex128 [P]
  void set_state(const Tensor& state);

 private:
  Tensor a_, B_, C_, D_, state_;  // float64; a_ and state_ complex128
};

}  // namespace ritz::sequence
