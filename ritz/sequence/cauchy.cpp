#include "ritz/sequence/cauchy.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/sequence/detail/cauchy_kernels.h"

namespace ritz::sequence {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// w [H, N] and v [4, H, N] complex as the kernels take them: [H, 2, N] and [H, 4, 2, N].
Tensor split_parts(const Tensor& z) {
  const Tensor parts = torch::stack({torch::real(z), torch::imag(z)}, -2);
  return (parts.dim() == 4 ? parts.transpose(0, 1) : parts).contiguous();
}
Tensor join_parts(const Tensor& parts) {
  const Tensor z =
      torch::complex(parts.select(-2, 0).contiguous(), parts.select(-2, 1).contiguous());
  return z.dim() == 3 ? z.transpose(0, 1).contiguous() : z;
}

struct Cauchy : torch::autograd::Function<Cauchy> {
  static Tensor forward(AutogradContext* context, const Tensor& w, const Tensor& v,
                        const Tensor& weights, const Tensor& s, const Tensor& c) {
    const Tensor half = weights / 2, rows_w = split_parts(w), rows_v = split_parts(v * half);
    const int64_t H = w.size(0), N = w.size(1), F = s.size(0);
    Tensor r = torch::empty({H, 4, 2, F}, s.options());
    const auto *ws = rows_w.const_data_ptr<double>(), *vs = rows_v.const_data_ptr<double>(),
               *ss = s.const_data_ptr<double>(), *cs = c.const_data_ptr<double>();
    auto* out = r.data_ptr<double>();
    parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
      for (int64_t h = first; h < last; ++h)
        detail::cauchy_forward(N, F, ws + h * 2 * N, vs + h * 8 * N, ss, cs, out + h * 8 * F);
    });
    context->save_for_backward({rows_w, rows_v, half, s, c});
    return join_parts(r);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &rows_w = saved[0], &rows_v = saved[1], &s = saved[3], &c = saved[4];
    const Tensor g = split_parts(gradients[0]);
    const int64_t H = rows_w.size(0), N = rows_w.size(2), F = s.size(0);
    Tensor dw = torch::empty_like(rows_w), dv = torch::empty_like(rows_v);
    const auto *ws = rows_w.const_data_ptr<double>(), *vs = rows_v.const_data_ptr<double>(),
               *ss = s.const_data_ptr<double>(), *cs = c.const_data_ptr<double>(),
               *gs = g.const_data_ptr<double>();
    auto *to_w = dw.data_ptr<double>(), *to_v = dv.data_ptr<double>();
    parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
      for (int64_t h = first; h < last; ++h)
        detail::cauchy_backward(N, F, ws + h * 2 * N, vs + h * 8 * N, ss, cs, gs + h * 8 * F,
                                to_w + h * 2 * N, to_v + h * 8 * N);
    });
    return {join_parts(dw), join_parts(dv) * saved[2], Tensor(), Tensor(), Tensor()};
  }
};

Tensor wide(const Tensor& z) {
  return z.to(torch::kComplexDouble);
}

// Which of the stored states have a partner that is not stored.
Tensor paired(const Tensor& weights) {
  return (weights > 1.5).nonzero().squeeze(1);
}
// [H, N] to [H, n]: the partners after the stored ones.
Tensor with_partners(const Tensor& z, const Tensor& pairs) {
  return torch::cat({z, z.index_select(1, pairs).conj()}, 1);
}

struct Continuous {
  Tensor A, B, half_step;  // [H, n, n], [H, n], [H, 1, 1]
};
Continuous continuous(const DplrParameters& system) {
  const Tensor pairs = paired(system.weights);
  const Tensor l = with_partners(wide(system.eigenvalues), pairs);
  const Tensor P = with_partners(wide(system.P), pairs);
  const Tensor A = torch::diag_embed(l) - P.unsqueeze(2) * P.conj().unsqueeze(1);
  return {A, with_partners(wide(system.B), pairs),
          (system.dt.to(torch::kFloat64) / 2).view({-1, 1, 1})};
}
Tensor identity_like(const Tensor& A) {
  return torch::eye(A.size(-1), A.options());
}
Tensor discrete_matrix(const Continuous& system) {
  const Tensor I = identity_like(system.A), step = system.half_step * system.A;
  return at::linalg_solve(I - step, I + step);
}

/// (I - Abar^L) for all channels.
Tensor truncation(const DplrParameters& system, int64_t L) {
  const Tensor A = discrete_matrix(continuous(system));
  return identity_like(A) - at::linalg_matrix_power(A, L);
}

// The half of a row over all states; of a row that is not quite that of a real system, its real
// part.
Tensor stored(const Tensor& row, const Tensor& weights) {
  const Tensor pairs = paired(weights);
  const int64_t N = weights.size(0);
  const Tensor half = row.slice(1, 0, N);
  return half.index_copy(1, pairs, (half.index_select(1, pairs) + row.slice(1, N).conj()) / 2);
}

void check_system(const DplrParameters& system, const Tensor& C) {
  check_dim("eigenvalues", system.eigenvalues, 2);
  const auto shape = system.eigenvalues.sizes();
  for (const auto& [name, tensor] :
       {std::pair{"eigenvalues", system.eigenvalues}, std::pair{"P", system.P},
        std::pair{"B", system.B}, std::pair{"C", C}}) {
    check_shape(name, tensor, shape);
    if (!tensor.is_complex()) throw InvalidArgument(name, "a complex tensor", describe(tensor));
  }
  check_shape("weights", system.weights, {shape[1]});
  check_shape("dt", system.dt, {shape[0]});
  if (!(system.dt.detach() > 0).all().item<bool>())
    throw InvalidArgument("dt", "positive steps",
                          number_text(system.dt.detach().min().to(torch::kFloat64).item<double>()));
}

}  // namespace

Tensor detail::cauchy_sums_by_tensors(const Tensor& w, const Tensor& v, const Tensor& weights,
                                      const Tensor& s, const Tensor& c) {
  const auto terms = [&](const Tensor& at, const Tensor& numerators) {
    const Tensor below = torch::complex(torch::zeros_like(s), s) - c * at.unsqueeze(-1);
    return (numerators.unsqueeze(-1) / below).sum(-2);
  };
  const Tensor half = v * (weights / 2);
  return terms(w, half) + terms(w.conj(), half.conj());
}

Tensor detail::cauchy_sums(const Tensor& w, const Tensor& v, const Tensor& weights, const Tensor& s,
                           const Tensor& c) {
  if (!w.device().is_cpu()) return cauchy_sums_by_tensors(w, v, weights, s, c);
  return Cauchy::apply(w, v, weights, s, c);
}

Tensor dplr_truncate(const DplrParameters& system, const Tensor& C, int64_t L) {
  check_system(system, C);
  check_at_least("L", L, 1);
  const Tensor row = with_partners(wide(C), paired(system.weights)).unsqueeze(1);
  return stored(row.matmul(truncation(system, L)).squeeze(1), system.weights);
}

Tensor dplr_untruncate(const DplrParameters& system, const Tensor& Ct, int64_t L) {
  check_system(system, Ct);
  check_at_least("L", L, 1);
  const Tensor row = with_partners(wide(Ct), paired(system.weights)).unsqueeze(1);
  const Tensor C = at::linalg_solve(truncation(system, L), row, /*left=*/false);
  return stored(C.squeeze(1), system.weights);
}

DenseSystem dplr_dense(const DplrParameters& system, const Tensor& C) {
  check_system(system, C);
  const auto made = continuous(system);
  const Tensor I = identity_like(made.A);
  const Tensor B =
      at::linalg_solve(I - made.half_step * made.A, 2 * made.half_step * made.B.unsqueeze(2));
  return {discrete_matrix(made), B.squeeze(2), with_partners(wide(C), paired(system.weights))};
}

Tensor dplr_kernel(const DplrParameters& system, const Tensor& C, int64_t L, c10::ScalarType dtype,
                   bool truncated) {
  check_system(system, C);
  check_at_least("L", L, 1);
  const Tensor Ct = truncated ? wide(C) : dplr_truncate(system, C, L);
  const Tensor P = wide(system.P), B = wide(system.B);
  const Tensor half_step = system.dt.to(torch::kFloat64).unsqueeze(1) / 2;  // [H, 1]
  const int64_t F = L / 2 + 1;
  const Tensor angle = torch::arange(F, half_step.options()) * (M_PI / static_cast<double>(L));
  const Tensor s = angle.sin(), c = angle.cos();
  // 1 - z = 2 i s e, 1 + z = 2 c e with e = exp(-i angle).
  const Tensor e = torch::polar(torch::ones_like(angle), -angle);
  const Tensor w = wide(system.eigenvalues) * half_step;
  const Tensor v = torch::stack({Ct * B, Ct * P, P.conj() * B, P.conj() * P});
  const Tensor r = detail::cauchy_sums(w, v, system.weights.to(torch::kFloat64), s, c) / (2 * e);
  const Tensor q = 2 * c * e * half_step;  // [H, F]
  const Tensor K_hat = 2 * half_step * (r[0] - q * r[1] * r[2] / (1 + q * r[3]));
  return at::fft_irfft(K_hat, L).to(dtype);
}

DplrStepper::DplrStepper(const DplrParameters& system, const Tensor& C, const Tensor& D) {
  check_system(system, C);
  const at::NoGradGuard guard;
  const Tensor half = (system.dt.to(torch::kFloat64) / 2).unsqueeze(1);
  const Tensor l = wide(system.eigenvalues);
  P_ = wide(system.P);
  C_ = wide(C);
  weights_ = system.weights.to(torch::kFloat64);
  D_ = D.defined() ? D.to(torch::kFloat64) : D;
  // (I - h A)^-1 = R - R P (1/h + P^* R P)^-1 P^* R with R = 1 / (1 - h l), h = Delta / 2; P^* R P
  // runs over both states of a pair.
  inverse_ = 1 / (1 - half * l);
  const Tensor coupling = torch::real(P_.conj() * inverse_ * P_ * weights_).sum(1, true);
  left_ = inverse_ * P_ * (half / (1 + half * coupling));
  right_ = P_.conj() * inverse_ * weights_;
  forward_ = 1 + half * l;
  P_ = half * P_;
  const Tensor Bh = 2 * half * wide(system.B);
  Bbar_ = inverse_ * Bh - left_ * torch::real(right_ * Bh).sum(1, true);
  state_ = torch::zeros_like(Bbar_);
}

void DplrStepper::reset() {
  state_.zero_();
}

Tensor DplrStepper::step(const Tensor& u) {
  check_floating("u", u);
  check_shape("u", u, {C_.size(0)});
  const at::NoGradGuard guard;
  const Tensor in = u.to(torch::kFloat64);
  // (I + h A) x, then (I - h A)^-1 of it.
  const Tensor along = torch::real((right_ / inverse_) * state_).sum(1, true);
  const Tensor half_way = forward_ * state_ - P_ * along;
  state_ = inverse_ * half_way - left_ * torch::real(right_ * half_way).sum(1, true) +
           Bbar_ * in.unsqueeze(1);
  Tensor y = torch::real(C_ * weights_ * state_).sum(1);
  if (D_.defined()) y = y + D_ * in;
  return y.to(u.options());
}

Tensor DplrStepper::state() const {
  return state_.clone();
}
void DplrStepper::set_state(const Tensor& state) {
  check_shape("state", state, state_.sizes());
  state_ = wide(state).clone();
}

}  // namespace ritz::sequence
