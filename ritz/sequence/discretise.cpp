#include "ritz/sequence/discretise.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {

std::string_view name_of(Discretisation kind) {
  switch (kind) {
    case Discretisation::zoh:
      return "zoh";
    case Discretisation::bilinear:
      return "bilinear";
    case Discretisation::dirac:
      return "dirac";
  }
  return "";
}

Discretisation parse_discretisation(std::string_view name) {
  for (const auto kind : {Discretisation::zoh, Discretisation::bilinear, Discretisation::dirac})
    if (name == name_of(kind)) return kind;
  throw InvalidArgument("discretisation", "zoh, bilinear or dirac", name);
}

Tensor phi1(const Tensor& z) {
  const Tensor small = z.abs() < 0.5;
  // Each branch sees only arguments that suit it: where() multiplies the other's gradient by zero,
  // and zero times infinity is no number.
  const Tensor near = torch::where(small, z, torch::zeros_like(z));
  const Tensor far = torch::where(small, torch::ones_like(z), z);
  Tensor series = torch::full_like(near, 1.0 / 17);
  for (int k = 16; k >= 2; --k) series = (1 + near * series) / k;
  series = 1 + near * series;
  const Tensor x = torch::real(far), y = torch::imag(far);
  const Tensor growth = x.expm1(), half = (y / 2).sin();
  const Tensor expm1 = torch::complex(growth * y.cos() - 2 * half * half, (growth + 1) * y.sin());
  return torch::where(small, series, expm1 / far);
}

DiscreteSystem discretise(const Tensor& eigenvalues, const Tensor& dt, Discretisation kind) {
  if (!eigenvalues.defined() || !eigenvalues.is_complex())
    throw InvalidArgument("eigenvalues", "a complex tensor",
                          eigenvalues.defined() ? describe(eigenvalues) : "nothing");
  check_floating("dt", dt);
  const Tensor step = dt.to(torch::kFloat64);
  if (!(step.detach() > 0).logical_and(step.detach().isfinite()).all().item<bool>())
    throw InvalidArgument("dt", "positive and finite steps",
                          number_text(step.detach().nan_to_num(-INFINITY).min().item<double>()));
  const Tensor z = eigenvalues.to(torch::kComplexDouble) * step;
  if (kind == Discretisation::bilinear) {
    const Tensor below = 1 / (1 - z / 2);
    // a = 1 + z below; log1p keeps what log would lose where z is small.
    const Tensor a = 1 + z * below;
    const Tensor ratio = z * below, x = torch::real(ratio), y = torch::imag(ratio);
    const Tensor log_a =
        torch::complex(0.5 * (2 * x + x * x + y * y).log1p(), torch::atan2(y, 1 + x));
    return {log_a, a, (step * below).expand_as(z)};
  }
  if (kind == Discretisation::dirac) return {z, z.exp(), torch::ones_like(z)};
  return {z, z.exp(), step * phi1(z)};
}

double largest_phase(const Tensor& eigenvalues, const Tensor& dt) {
  return (torch::imag(eigenvalues.detach().to(torch::kComplexDouble)) *
          dt.detach().to(torch::kFloat64))
      .abs()
      .max()
      .item<double>();
}

}  // namespace ritz::sequence
