#pragma once
// A diagonal system in continuous time, sampled with step Delta:
//
//   x_t = a x_{t-1} + gain B u_t,   y_t = sum_n weight_n Re(C_n x_{t,n}) + D u_t
//
//   zoh        a = exp(z), gain = Delta phi1(z), z = Delta m, phi1(z) = (exp(z) - 1) / z: the input
//              is held over a step; exact at the samples
//   bilinear   a = (1 + z/2) / (1 - z/2), gain = Delta / (1 - z/2): second order in Delta
//   dirac      a = exp(z), gain = 1: the input is a train of impulses
//
// All arithmetic is in double, whatever the parameters are kept in: a float's rounding of a, raised
// to the power 16384, would be three wrong digits, and kernels and recurrences would disagree.
//
//     #include "ritz/sequence/discretise.h"
//     #include <torch/types.h>
//     int main() {
//       const auto m = torch::complex(torch::tensor({-1.0}), torch::tensor({0.0}));
//       const auto made = ritz::sequence::discretise(m, torch::tensor({0.1}), {});
//       const double a = torch::real(made.a).item<double>(), gain = torch::real(made.gain).item<double>();
//       return std::abs(a - std::exp(-0.1)) < 1e-7 && std::abs(gain - (1 - a)) < 1e-7 ? 0 : 1;
//     }
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

enum class Discretisation { zoh, bilinear, dirac };
std::string_view name_of(Discretisation kind);
/// Throws InvalidArgument where there is none of that name.
Discretisation parse_discretisation(std::string_view name);

struct DiscreteSystem {
  Tensor log_a;  // complex128, of the broadcast shape: log a (of the branch that kernels need)
  Tensor a;      // complex128: exp(log_a)
  Tensor gain;   // complex128: what B is multiplied with
};

/// m complex [..., N] and dt real > 0, broadcast against each other: dt.unsqueeze(-1) where a
/// channel has one step for all of its states. Differentiable in both; any device.
/// InvalidArgument where a dt is not positive and finite.
DiscreteSystem discretise(const Tensor& eigenvalues, const Tensor& dt,
                          Discretisation kind = Discretisation::zoh);

/// phi1(z) = (exp(z) - 1) / z, complex, to full precision everywhere with its derivative: a series
/// of 16 terms for |z| < 1/2, else through expm1. (The series of four terms below |z| = 1e-4 that
/// is often used leaves relative errors of 1e-12, in float 1e-3, just above that border.)
Tensor phi1(const Tensor& z);

/// How fast the fastest state turns within a step: max |Im(dt m)|. Above pi it is aliased: sampled
/// at this step, a resonance there is heard at another frequency.
double largest_phase(const Tensor& eigenvalues, const Tensor& dt);

}  // namespace ritz::sequence
