#include "ritz/sequence/scan.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/sequence/detail/scan_kernels.h"

namespace ritz::sequence {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class Work>
void by_type(const Tensor& like, const Work& work) {
  if (like.scalar_type() == torch::kFloat64)
    work(double{});
  else
    work(float{});
}

void check_lengths(const Tensor& lengths, int64_t B, int64_t L) {
  if (!lengths.defined()) return;
  check_shape("lengths", lengths, {B});
  if (lengths.scalar_type() != torch::kInt64)
    throw InvalidArgument("lengths", "int64", dtype_name(lengths.scalar_type()));
  if (B == 0) return;
  const int64_t low = lengths.min().item<int64_t>(), high = lengths.max().item<int64_t>();
  if (low < 1 || high > L)
    throw InvalidArgument("lengths", "numbers from 1 to " + std::to_string(L),
                          std::to_string(low < 1 ? low : high));
}

// Real and imaginary parts as two double rows.
Tensor rows_of(const Tensor& complex) {
  const Tensor wide = complex.to(torch::kComplexDouble);
  return torch::stack({torch::real(wide), torch::imag(wide)}).contiguous();
}

// Functions of autograd take no undefined tensors: an empty one stands for "none".
Tensor or_empty(const Tensor& tensor, const TensorOptions& options) {
  return tensor.defined() ? tensor.contiguous() : torch::empty({0}, options);
}
const int64_t* lengths_data(const Tensor& lengths) {
  return lengths.numel() > 0 ? lengths.const_data_ptr<int64_t>() : nullptr;
}
template <class Scalar>
const Scalar* data_or_none(const Tensor& tensor) {
  return tensor.numel() > 0 ? tensor.const_data_ptr<Scalar>() : nullptr;
}

struct Scan : torch::autograd::Function<Scan> {
  template <class Scalar>
  static detail::ScanProblem<Scalar> problem(const Tensor& rows, const Tensor& x,
                                             const Tensor& lengths, bool reverse) {
    const int64_t P = rows.size(1);
    const auto* a = rows.const_data_ptr<double>();
    return {.B = x.size(0),
            .L = x.size(1),
            .P = P,
            .lengths = lengths_data(lengths),
            .reverse = reverse,
            .a_re = a,
            .a_im = a + P};
  }

  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& v,
                        const Tensor& lengths, const Tensor& initial, bool reverse, int64_t chunk) {
    const Tensor rows = rows_of(a), in = v.contiguous();
    const Tensor start = initial.contiguous();
    Tensor x = torch::empty(in.sizes(), in.options());
    by_type(in, [&](auto scalar) {
      using Scalar = decltype(scalar);
      auto p = problem<Scalar>(rows, x, lengths, reverse);
      p.v = in.const_data_ptr<Scalar>();
      p.initial = data_or_none<Scalar>(start);
      p.x = x.data_ptr<Scalar>();
      detail::scan_forward(p, chunk);
    });
    context->saved_data["reverse"] = reverse;
    context->saved_data["chunk"] = chunk;
    context->saved_data["complex"] = static_cast<int64_t>(a.scalar_type());
    context->save_for_backward({rows, x, lengths, start});
    return x;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &rows = saved[0], &x = saved[1], &lengths = saved[2], &start = saved[3];
    const Tensor g = gradients[0].contiguous();
    Tensor dv = torch::empty_like(x), d_rows = torch::empty_like(rows);
    Tensor d_initial = torch::empty_like(start);
    by_type(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      auto p = problem<Scalar>(rows, x, lengths, context->saved_data["reverse"].toBool());
      p.x = x.data_ptr<Scalar>();
      p.initial = data_or_none<Scalar>(start);
      auto* d = d_rows.data_ptr<double>();
      detail::scan_backward(p, context->saved_data["chunk"].toInt(), g.const_data_ptr<Scalar>(),
                            dv.data_ptr<Scalar>(), d, d + p.P,
                            d_initial.numel() > 0 ? d_initial.data_ptr<Scalar>() : nullptr);
    });
    const auto type = static_cast<c10::ScalarType>(context->saved_data["complex"].toInt());
    return {
        torch::complex(d_rows[0], d_rows[1]).to(type), dv, Tensor(), d_initial, Tensor(), Tensor()};
  }
};

struct SisoScan : torch::autograd::Function<SisoScan> {
  template <class Scalar>
  static detail::SisoProblem<Scalar> problem(const Tensor& u, const Tensor& a, const Tensor& b,
                                             const Tensor& c, const Tensor& lengths, bool reverse) {
    return {.B = u.size(0),
            .H = u.size(1),
            .L = u.size(2),
            .N = a.size(1) / 2,
            .lengths = lengths_data(lengths),
            .reverse = reverse,
            .a = a.const_data_ptr<double>(),
            .b = b.const_data_ptr<double>(),
            .c = c.const_data_ptr<double>(),
            .u = u.const_data_ptr<Scalar>()};
  }
  static Tensor forward(AutogradContext* context, const Tensor& u, const Tensor& a, const Tensor& b,
                        const Tensor& c, const Tensor& lengths, bool reverse) {
    Tensor y = torch::empty_like(u);
    by_type(u, [&](auto scalar) {
      using Scalar = decltype(scalar);
      auto p = problem<Scalar>(u, a, b, c, lengths, reverse);
      p.y = y.data_ptr<Scalar>();
      detail::siso_forward(p);
    });
    context->saved_data["reverse"] = reverse;
    context->save_for_backward({u, a, b, c, lengths});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto s = context->get_saved_variables();
    const Tensor g = gradients[0].contiguous();
    Tensor du = torch::empty_like(s[0]), da = torch::empty_like(s[1]), db = torch::empty_like(s[2]),
           dc = torch::empty_like(s[3]);
    by_type(g, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const auto p =
          problem<Scalar>(s[0], s[1], s[2], s[3], s[4], context->saved_data["reverse"].toBool());
      detail::siso_backward(p, g.const_data_ptr<Scalar>(), du.data_ptr<Scalar>(),
                            da.data_ptr<double>(), db.data_ptr<double>(), dc.data_ptr<double>());
    });
    return {du, da, db, dc, Tensor(), Tensor()};
  }
};

// Steps from a sequence's length on become 0.
Tensor masked(const Tensor& x, const Tensor& lengths) {  // x [B, L, ...]
  if (!lengths.defined()) return x;
  const auto l = torch::arange(x.size(1), lengths.options());
  const Tensor inside = l.unsqueeze(0) < lengths.unsqueeze(1);
  return torch::where(inside.unsqueeze(2), x, torch::zeros({}, x.options()));
}

}  // namespace

Tensor to_planar(const Tensor& complex) {
  return torch::cat({torch::real(complex), torch::imag(complex)}, -1);
}

Tensor from_planar(const Tensor& planar) {
  const auto parts = planar.chunk(2, -1);
  return torch::complex(parts[0].contiguous(), parts[1].contiguous());
}

Tensor detail::scan_by_tensors(const Tensor& a, const Tensor& v, const ScanOptions& options) {
  const int64_t L = v.size(1);
  // Zeros after the end leave a reversed scan's start alone: its state is still zero there. One
  // that starts from somewhere is not reversed here but by its rows.
  Tensor x = from_planar(masked(v, options.lengths).to(torch::kFloat64));
  const Tensor factor = a.to(torch::kComplexDouble);
  if (options.reverse) x = x.flip(1);
  if (options.initial.defined()) {
    const Tensor start = from_planar(options.initial.to(torch::kFloat64)) * factor;
    Tensor first = torch::zeros_like(x.slice(1, 0, 1)) + start.unsqueeze(1);
    if (options.reverse && options.lengths.defined()) {
      const Tensor at = L - options.lengths;  // the row where a flipped sequence begins
      const auto l = torch::arange(L, options.lengths.options());
      x = x + first * (l.unsqueeze(0) == at.unsqueeze(1)).unsqueeze(2);
    } else {
      x = torch::cat({x.slice(1, 0, 1) + first, x.slice(1, 1)}, 1);
    }
  }
  Tensor power = factor;
  for (int64_t done = 1; done < L; done *= 2) {
    x = torch::cat({x.slice(1, 0, done), x.slice(1, done) + power * x.slice(1, 0, L - done)}, 1);
    power = power * power;
  }
  if (options.reverse) x = x.flip(1);
  return masked(to_planar(x), options.lengths).to(v.scalar_type());
}

Tensor diagonal_scan(const Tensor& a, const Tensor& v, const ScanOptions& options) {
  check_dim("a", a, 1);
  if (!a.is_complex()) throw InvalidArgument("a", "a complex tensor", describe(a));
  check_floating("v", v);
  check_shape("v", v, {-1, -1, 2 * a.size(0)});
  check_at_least("L", v.size(1), 1);
  check_lengths(options.lengths, v.size(0), v.size(1));
  check_at_least("chunk", options.chunk, 0);
  if (options.initial.defined()) {
    check_shape("initial", options.initial, {v.size(0), v.size(2)});
    check_options("initial", options.initial, v.options());
  }
  if (!v.device().is_cpu()) return detail::scan_by_tensors(a, v, options);
  return Scan::apply(a, v, or_empty(options.lengths, torch::kInt64),
                     or_empty(options.initial, v.options()), options.reverse, options.chunk);
}

Tensor mimo_scan(const Tensor& u, const Tensor& a, const Tensor& Bbar, const Tensor& C,
                 const Tensor& D, const MimoOptions& options) {
  check_floating("u", u);
  check_shape("u", u, {-1, -1, Bbar.size(1)});
  const int64_t P = a.size(0);
  check_shape("Bbar", Bbar, {P, -1});
  check_shape("C", C, {-1, options.bidirectional ? 2 * P : P});
  const auto type = u.scalar_type();
  // [H, 2P]: both parts of all states in one real product.
  const Tensor in = torch::cat({torch::real(Bbar), torch::imag(Bbar)}, 0).to(type);
  const Tensor v = u.matmul(in.t());
  const auto read = [&](const Tensor& x, const Tensor& c) {
    const Tensor out = torch::cat({torch::real(c), -torch::imag(c)}, 1).to(type);
    return x.matmul(out.t());
  };
  Tensor y = read(diagonal_scan(a, v, {.lengths = options.lengths}), C.slice(1, 0, P));
  if (options.bidirectional)
    y = y + read(diagonal_scan(a, v, {.reverse = true, .lengths = options.lengths}), C.slice(1, P));
  if (D.defined()) {
    check_shape("D", D, {u.size(2)});
    y = y + masked(u, options.lengths) * D.to(type);
  }
  return y;
}

Tensor siso_scan(const Tensor& u, const Tensor& a, const Tensor& Bbar, const Tensor& C,
                 const Tensor& D, const ScanOptions& options) {
  check_dim("u", u, 3);
  check_floating("u", u);
  const int64_t H = u.size(1), N = a.dim() == 2 ? a.size(1) : 0;
  check_at_least("L", u.size(2), 1);
  for (const auto& [name, tensor] :
       {std::pair{"a", a}, std::pair{"Bbar", Bbar}, std::pair{"C", C}}) {
    check_shape(name, tensor, {H, N});
    if (!tensor.is_complex()) throw InvalidArgument(name, "a complex tensor", describe(tensor));
  }
  check_lengths(options.lengths, u.size(0), u.size(2));
  if (options.initial.defined() || options.chunk != 0)
    throw InvalidArgument("initial, chunk", "neither: this scan begins with zero", "one of them");
  Tensor y;
  if (u.device().is_cpu()) {
    const auto wide = [](const Tensor& z) {
      return to_planar(z.to(torch::kComplexDouble)).contiguous();
    };
    const Tensor lengths = or_empty(options.lengths, torch::kInt64);
    y = SisoScan::apply(u.contiguous(), wide(a), wide(Bbar), wide(C), lengths, options.reverse);
  } else {
    // All H N states as one system, each driven by its channel.
    const Tensor v = (u.transpose(1, 2).unsqueeze(3) * Bbar).flatten(2);
    const Tensor x = from_planar(detail::scan_by_tensors(a.flatten(), to_planar(v), options));
    y = torch::real((x.unflatten(2, {H, N}) * C).sum(3)).transpose(1, 2).to(u.scalar_type());
  }
  if (!D.defined()) return y;
  check_shape("D", D, {H});
  const Tensor own = u * D.unsqueeze(1).to(u.scalar_type());
  return y + masked(own.transpose(1, 2), options.lengths).transpose(1, 2);
}

}  // namespace ritz::sequence
