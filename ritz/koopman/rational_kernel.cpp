#include "ritz/koopman/rational_kernel.h"

#include <torch/types.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <string>
#include <vector>

#include "ritz/base/check.h"

namespace ritz::koopman {
namespace {

using Complex = std::complex<double>;
constexpr Complex kI(0, 1);

std::vector<Complex> place(int64_t order, Poles poles) {
  std::vector<Complex> a;
  const auto m = static_cast<double>(order);
  for (int64_t k = 1; k <= order; ++k) {
    const auto j = static_cast<double>(k);
    switch (poles) {
      case Poles::equispaced:
        a.push_back(2 * j / (m + 1) - 1 + kI);
        break;
      case Poles::chebyshev:
        a.push_back(std::cos((2 * j - 1) * std::numbers::pi / (2 * m)) + kI);
        break;
      case Poles::roots:
        a.push_back(std::polar(1.0, std::numbers::pi * (j - 0.5) / m));
        break;
      case Poles::extrapolation:
        a.push_back(kI * std::ldexp(1.0, static_cast<int>(1 - k)));
        break;
    }
  }
  return a;
}

Tensor as_tensor(const std::vector<Complex>& values) {
  const Tensor out = torch::empty({static_cast<int64_t>(values.size())}, torch::kComplexDouble);
  auto* to = out.data_ptr<c10::complex<double>>();
  for (size_t k = 0; k < values.size(); ++k) to[k] = values[k];
  return out;
}

}  // namespace

Poles parse_poles(std::string_view name) {
  if (name == "equispaced") return Poles::equispaced;
  if (name == "chebyshev") return Poles::chebyshev;
  if (name == "roots") return Poles::roots;
  if (name == "extrapolation") return Poles::extrapolation;
  throw InvalidArgument("poles", "equispaced, chebyshev, roots or extrapolation", name);
}

RationalKernel rational_kernel(int64_t order, Poles poles) {
  check_range("kernel order", order, 1, 10);
  const auto a = place(order, poles);
  // sum_j r_j p(a_j) = p(0) for all p of degree < m: Lagrange's polynomials at zero. The transposed
  // Vandermonde system in closed form, each residue to full relative accuracy.
  std::vector<Complex> r(a.size(), 1);
  for (size_t j = 0; j < a.size(); ++j)
    for (size_t i = 0; i < a.size(); ++i)
      if (i != j) r[j] *= a[i] / (a[i] - a[j]);
  return {as_tensor(a), as_tensor(r)};
}

int64_t RationalKernel::order() const {
  return poles.size(0);
}

Tensor RationalKernel::smooth(const Tensor& delta, double epsilon) const {
  check_positive("epsilon", epsilon);
  Tensor sum = torch::zeros_like(delta);
  for (int64_t j = 0; j < order(); ++j) {
    const auto a = poles[j].item<c10::complex<double>>(),
               r = residues[j].item<c10::complex<double>>();
    // i cot(x / 2) = (1 + w) / (1 - w) with w = e^{ix}, |w| < 1; the half angle keeps the digits of
    // 1 - w where eps is small.
    const Tensor half = (delta + c10::complex<double>(epsilon) * a) / 2;
    sum += torch::real(torch::reciprocal(torch::tan(half)) * (r * c10::complex<double>(0, 1)));
  }
  return sum / (2 * std::numbers::pi);
}

}  // namespace ritz::koopman
