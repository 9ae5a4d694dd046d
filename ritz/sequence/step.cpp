#include "ritz/sequence/step.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/sequence/detail/scan_kernels.h"

namespace ritz::sequence {
namespace {

Tensor wide(const Tensor& z) {
  return z.detach().to(torch::kCPU, torch::kComplexDouble).resolve_conj().contiguous();
}
Tensor direct(const Tensor& D, int64_t H) {
  return D.defined() ? D.detach().to(torch::kCPU, torch::kFloat64).contiguous()
                     : torch::zeros({H}, torch::kFloat64);
}

}  // namespace

SisoStepper::SisoStepper(const Tensor& a, const Tensor& Bbar, const Tensor& C, const Tensor& D) {
  check_dim("a", a, 2);
  H_ = a.size(0);
  states_ = a.size(1);
  N_ = (states_ + 7) / 8 * 8;
  coefficients_.assign(static_cast<size_t>(6 * H_ * N_), 0.0);
  state_.assign(static_cast<size_t>(2 * H_ * N_), 0.0);
  int64_t part = 0;
  for (const auto& [name, given] :
       {std::pair{"a", a}, std::pair{"Bbar", Bbar}, std::pair{"C", C}}) {
    check_shape(name, given, {H_, states_});
    const Tensor z = wide(given);
    const auto* from = z.const_data_ptr<c10::complex<double>>();
    for (int64_t h = 0; h < H_; ++h)
      for (int64_t n = 0; n < states_; ++n) {
        double* to = coefficients_.data() + (h * 6 + part) * N_ + n;
        to[0] = from[h * states_ + n].real();
        to[N_] = from[h * states_ + n].imag();
      }
    part += 2;
  }
  if (D.defined()) check_shape("D", D, {H_});
  const Tensor d = direct(D, H_);
  D_.assign(d.const_data_ptr<double>(), d.const_data_ptr<double>() + H_);
}

void SisoStepper::reset() {
  std::fill(state_.begin(), state_.end(), 0.0);
}

void SisoStepper::step(const float* u, float* y) {
  detail::siso_step(H_, N_, coefficients_.data(), D_.data(), state_.data(), u, y);
}
void SisoStepper::step(const double* u, double* y) {
  detail::siso_step(H_, N_, coefficients_.data(), D_.data(), state_.data(), u, y);
}

Tensor SisoStepper::step(const Tensor& u) {
  check_floating("u", u);
  check_shape("u", u, {H_});
  const Tensor in = u.detach().to(torch::kCPU).contiguous();
  Tensor y = torch::empty_like(in);
  if (in.scalar_type() == torch::kFloat64)
    step(in.const_data_ptr<double>(), y.data_ptr<double>());
  else
    step(in.const_data_ptr<float>(), y.data_ptr<float>());
  return y.to(u.device());
}

Tensor SisoStepper::state() const {
  const Tensor all =
      torch::from_blob(const_cast<double*>(state_.data()), {H_, 2, N_}, torch::kFloat64)
          .slice(2, 0, states_);
  return torch::complex(all.select(1, 0).contiguous(), all.select(1, 1).contiguous());
}

void SisoStepper::set_state(const Tensor& state) {
  check_shape("state", state, {H_, states_});
  const Tensor z = wide(state);
  torch::from_blob(state_.data(), {H_, 2, N_}, torch::kFloat64)
      .slice(2, 0, states_)
      .copy_(torch::stack({torch::real(z), torch::imag(z)}, 1));
}

MimoStepper::MimoStepper(const Tensor& a, const Tensor& Bbar, const Tensor& C, const Tensor& D) {
  check_dim("a", a, 1);
  const int64_t P = a.size(0);
  check_shape("Bbar", Bbar, {P, -1});
  check_shape("C", C, {-1, P});
  if (D.defined()) {
    check_shape("D", D, {C.size(0)});
    if (Bbar.size(1) != C.size(0))
      throw InvalidArgument("D", "as many outputs as inputs beside it", describe(D));
  }
  a_ = wide(a);
  const Tensor b = wide(Bbar), c = wide(C);
  B_ = torch::cat({torch::real(b), torch::imag(b)}, 0).contiguous();   // [2P, H]
  C_ = torch::cat({torch::real(c), -torch::imag(c)}, 1).contiguous();  // [H, 2P]
  D_ = direct(D, C.size(0));
  state_ = torch::zeros({P}, torch::kComplexDouble);
}

void MimoStepper::reset() {
  state_.zero_();
}

Tensor MimoStepper::step(const Tensor& u) {
  check_floating("u", u);
  check_shape("u", u, {B_.size(1)});
  const at::NoGradGuard guard;
  const Tensor in = u.to(torch::kCPU, torch::kFloat64), v = B_.mv(in);
  const int64_t P = a_.size(0);
  auto* x = state_.data_ptr<c10::complex<double>>();
  const auto* a = a_.const_data_ptr<c10::complex<double>>();
  Tensor planar = torch::empty({2 * P}, torch::kFloat64);
  const auto* add = v.const_data_ptr<double>();
  auto* out = planar.data_ptr<double>();
  for (int64_t p = 0; p < P; ++p) {
    x[p] = c10::complex<double>(a[p].real() * x[p].real() - a[p].imag() * x[p].imag() + add[p],
                                a[p].real() * x[p].imag() + a[p].imag() * x[p].real() + add[P + p]);
    out[p] = x[p].real();
    out[P + p] = x[p].imag();
  }
  Tensor y = C_.mv(planar);
  if (y.size(0) == in.size(0)) y += D_ * in;
  return y.to(u.options());
}

Tensor MimoStepper::state() const {
  return state_.clone();
}
void MimoStepper::set_state(const Tensor& state) {
  check_shape("state", state, {a_.size(0)});
  state_ = wide(state).clone();
}

}  // namespace ritz::sequence
