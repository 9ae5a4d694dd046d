#include "ritz/sequence/convolution.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/sequence/detail/fft_kernels.h"

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

void check_filters(const Tensor& K, const Tensor& R, const Tensor& D, int64_t H) {
  for (const auto& [name, filter] : {std::pair{"K", K}, std::pair{"R", R}}) {
    if (!filter.defined() && name[0] == 'R') continue;
    check_floating(name, filter);
    check_shape(name, filter, {H, -1});
    check_options(name, filter, K.options());
    check_at_least("taps of the filter", filter.size(1), 1);
  }
  if (D.defined()) {
    check_shape("D", D, {H});
    check_options("D", D, K.options());
  }
}

/// Filters as raw rows; R and D may be empty.
template <class Scalar>
struct Filters {
  const Scalar *K, *R = nullptr, *D = nullptr;
  int64_t taps, taps_R = 0;
  Filters(const Tensor& k, const Tensor& r, const Tensor& d)
      : K(k.const_data_ptr<Scalar>()), taps(k.size(1)) {
    if (r.numel() > 0) {
      R = r.const_data_ptr<Scalar>();
      taps_R = r.size(1);
    }
    if (d.numel() > 0) D = d.const_data_ptr<Scalar>();
  }
};

/// The spectrum of channel h's filters, divided by N: K_l at l and R_l at -l of one circle.
template <class Scalar>
void filter_spectrum(const detail::FftPlan<Scalar>& plan, const Filters<Scalar>& filters, int64_t h,
                     int64_t L, Scalar* row) {
  const Scalar scale = Scalar(1) / static_cast<Scalar>(plan.size());
  const Scalar* none = nullptr;
  const int64_t taps = std::min(L, filters.taps), taps_R = std::min(L, filters.taps_R);
  const Scalar* K = filters.K + h * filters.taps;
  if (filters.R == nullptr) {
    fft_pack(plan, taps, K, none, scale, row);
  } else {
    const int64_t N = plan.size();
    std::vector<Scalar> circle(static_cast<size_t>(N), Scalar(0));
    std::copy(K, K + taps, circle.begin());
    for (int64_t l = 0; l < taps_R; ++l)
      circle[static_cast<size_t>(l == 0 ? 0 : N - l)] += filters.R[h * filters.taps_R + l];
    fft_pack(plan, N, circle.data(), none, scale, row);
  }
  fft_forward(plan, row);
}

/// y of channel h for all sequences, two at a time.
template <class Scalar>
void filter_channel(const detail::FftPlan<Scalar>& plan, const Scalar* spectrum, Scalar direct,
                    int64_t B, int64_t stride, int64_t L, const Scalar* u, Scalar* y, Scalar* row) {
  for (int64_t b = 0; b < B; b += 2) {
    const Scalar *first = u + b * stride, *second = b + 1 < B ? first + stride : nullptr;
    fft_pack(plan, L, first, second, Scalar(1), row);
    fft_filter(plan, spectrum, row);
    Scalar* out = y + b * stride;
    fft_unpack(plan, L, row, direct, first, second, out,
               second != nullptr ? out + stride : nullptr);
  }
}

struct Convolution : torch::autograd::Function<Convolution> {
  static Tensor forward(AutogradContext* context, const Tensor& u, const Tensor& K, const Tensor& R,
                        const Tensor& D) {
    const int64_t B = u.size(0), H = u.size(1), L = u.size(2);
    Tensor y = torch::empty_like(u);
    by_type(u, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const detail::FftPlan<Scalar> plan(2 * L - 1);
      const Filters<Scalar> filters(K, R, D);
      const auto* in = u.const_data_ptr<Scalar>();
      auto* out = y.data_ptr<Scalar>();
      parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
        detail::FftBuffer<Scalar> spectrum(plan.numbers()), row(plan.numbers());
        for (int64_t h = first; h < last; ++h) {
          filter_spectrum(plan, filters, h, L, spectrum.data());
          filter_channel(plan, spectrum.data(), filters.D == nullptr ? Scalar(0) : filters.D[h], B,
                         H * L, L, in + h * L, out + h * L, row.data());
        }
      });
    });
    context->save_for_backward({u, K, R, D});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &u = saved[0], &K = saved[1], &R = saved[2], &D = saved[3];
    const Tensor g = gradients[0].contiguous();
    const int64_t B = u.size(0), H = u.size(1), L = u.size(2);
    Tensor du = torch::empty_like(u), dK = torch::zeros_like(K), dR = torch::zeros_like(R),
           dD = torch::zeros_like(D);
    by_type(u, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const detail::FftPlan<Scalar> plan(2 * L - 1);
      const Filters<Scalar> filters(K, R, D);
      const auto *us = u.const_data_ptr<Scalar>(), *gs = g.const_data_ptr<Scalar>();
      auto *to_u = du.data_ptr<Scalar>(), *to_K = dK.data_ptr<Scalar>();
      auto* to_R = filters.R != nullptr ? dR.data_ptr<Scalar>() : nullptr;
      auto* to_D = filters.D != nullptr ? dD.data_ptr<Scalar>() : nullptr;
      parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
        detail::FftBuffer<Scalar> spectrum(plan.numbers()), in(plan.numbers()), row(plan.numbers()),
            sum(plan.numbers());
        for (int64_t h = first; h < last; ++h) {
          filter_spectrum(plan, filters, h, L, spectrum.data());
          std::fill_n(sum.data(), plan.numbers(), Scalar(0));
          const Scalar direct = filters.D == nullptr ? Scalar(0) : filters.D[h];
          for (int64_t b = 0; b < B; b += 2) {
            const int64_t at = (b * H + h) * L, next = b + 1 < B ? H * L : 0;
            const auto second = [&](auto* rows) { return next > 0 ? rows + at + next : nullptr; };
            fft_pack(plan, L, us + at, second(us), Scalar(1), in.data());
            fft_forward(plan, in.data());
            fft_pack(plan, L, gs + at, second(gs), Scalar(1), row.data());
            fft_correlate(plan, spectrum.data(), in.data(), sum.data(), row.data());
            fft_unpack(plan, L, row.data(), direct, gs + at, second(gs), to_u + at, second(to_u));
            if (to_D != nullptr) {
              to_D[h] += detail::dot(L, us + at, gs + at);
              if (next > 0) to_D[h] += detail::dot(L, us + at + next, gs + at + next);
            }
          }
          // The real part of sum conj(u1 + i u2) (g1 + i g2) is both correlations.
          fft_inverse(plan, sum.data());
          filter_gradient(plan, filters, h, L, sum.data(), to_K, to_R);
        }
      });
    });
    return {du, dK, dR, dD};
  }

  template <class Scalar>
  static void filter_gradient(const detail::FftPlan<Scalar>& plan, const Filters<Scalar>& filters,
                              int64_t h, int64_t L, const Scalar* sum, Scalar* dK, Scalar* dR) {
    const int64_t N = plan.size(), lanes = detail::kFftLanes;
    const Scalar scale = Scalar(1) / static_cast<Scalar>(N);
    const auto at = [&](int64_t l) { return scale * sum[l / lanes * 2 * lanes + l % lanes]; };
    for (int64_t l = 0; l < std::min(L, filters.taps); ++l) dK[h * filters.taps + l] = at(l);
    if (dR == nullptr) return;
    for (int64_t l = 0; l < std::min(L, filters.taps_R); ++l)
      dR[h * filters.taps_R + l] = at(l == 0 ? 0 : N - l);
  }
};

Tensor or_empty(const Tensor& tensor, const Tensor& like) {
  return tensor.defined() ? tensor.contiguous() : torch::empty({0}, like.options());
}

/// Spectrum [H, size/2 + 1] by libtorch.
Tensor half_spectrum(const Tensor& K, const Tensor& R, int64_t L, int64_t size) {
  const auto taps = [&](const Tensor& filter) {
    return filter.slice(1, 0, std::min(L, filter.size(1)));
  };
  Tensor spectrum = at::fft_rfft(taps(K), size);
  // A real filter run backwards has the conjugate spectrum.
  if (R.defined()) spectrum = spectrum + at::fft_rfft(taps(R), size).conj();
  return spectrum;
}
Tensor convolve(const Tensor& u, const Tensor& spectrum, int64_t size) {
  return at::fft_irfft(at::fft_rfft(u, size) * spectrum, size).slice(2, 0, u.size(2));
}

}  // namespace

int64_t detail::fast_fft_size(int64_t n) {
  for (int64_t size = std::max<int64_t>(n, 1);; ++size) {
    int64_t rest = size;
    for (const int64_t p : {2, 3, 5})
      while (rest % p == 0) rest /= p;
    if (rest == 1) return size;
  }
}

Tensor detail::convolution_by_tensors(const Tensor& u, const Tensor& K, const Tensor& R,
                                      const Tensor& D) {
  const int64_t L = u.size(2), size = fast_fft_size(2 * L - 1);
  const Tensor y = convolve(u, half_spectrum(K, R, L, size), size);
  return D.defined() ? y + u * D.unsqueeze(1) : y;
}

Tensor bidirectional_convolution(const Tensor& u, const Tensor& K, const Tensor& R,
                                 const Tensor& D) {
  check_dim("u", u, 3);
  check_floating("u", u);
  check_at_least("L", u.size(2), 1);
  check_filters(K, R, D, u.size(1));
  check_options("K", K, u.options());
  if (!u.device().is_cpu()) return detail::convolution_by_tensors(u, K, R, D);
  return Convolution::apply(u.contiguous(), K.contiguous(), or_empty(R, K), or_empty(D, K));
}

Tensor causal_convolution(const Tensor& u, const Tensor& K, const Tensor& D) {
  return bidirectional_convolution(u, K, {}, D);
}

struct CachedConvolution::Spectra {
  Tensor filters;  // [H, 2 N] in the order of the plan, or [H, N/2 + 1] complex by libtorch
  Tensor D;
  int64_t length = 0, size = 0;
};

CachedConvolution::CachedConvolution(const Tensor& K, const Tensor& R, const Tensor& D, int64_t L) {
  check_at_least("L", L, 1);
  check_dim("K", K, 2);
  check_filters(K, R, D, K.size(0));
  const at::NoGradGuard guard;
  auto made = std::make_shared<Spectra>();
  made->length = L;
  made->D = or_empty(D, K).detach();
  if (!K.device().is_cpu()) {
    made->size = detail::fast_fft_size(2 * L - 1);
    made->filters = half_spectrum(K, R, L, made->size);
  } else {
    const Tensor k = K.contiguous(), r = or_empty(R, K);
    by_type(k, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const detail::FftPlan<Scalar> plan(2 * L - 1);
      made->filters = torch::empty({k.size(0), plan.numbers()}, k.options());
      auto* rows = made->filters.template data_ptr<Scalar>();
      const Filters<Scalar> filters(k, r, made->D);
      parallel_for(0, k.size(0), 1, [&](int64_t first, int64_t last) {
        for (int64_t h = first; h < last; ++h)
          filter_spectrum(plan, filters, h, L, rows + h * plan.numbers());
      });
    });
  }
  spectra_ = made;
}

Tensor CachedConvolution::operator()(const Tensor& u) const {
  const at::NoGradGuard guard;
  const auto& [filters, D, length, size] = *spectra_;
  check_shape("u", u, {-1, filters.size(0), -1});
  check_range("L", u.size(2), 1, length);
  if (!filters.device().is_cpu()) {
    const Tensor y = convolve(u, filters, size);
    return D.numel() > 0 ? y + u * D.unsqueeze(1) : y;
  }
  check_options("u", u, filters.options());
  const Tensor in = u.contiguous();
  Tensor y = torch::empty_like(in);
  by_type(in, [&, &filters = filters, &D = D, &length = length](auto scalar) {
    using Scalar = decltype(scalar);
    const detail::FftPlan<Scalar> plan(2 * length - 1);
    const int64_t B = in.size(0), H = in.size(1), L = in.size(2);
    const auto *rows = filters.const_data_ptr<Scalar>(), *us = in.const_data_ptr<Scalar>();
    const auto* direct = D.numel() > 0 ? D.const_data_ptr<Scalar>() : nullptr;
    auto* out = y.data_ptr<Scalar>();
    parallel_for(0, H, 1, [&](int64_t first, int64_t last) {
      detail::FftBuffer<Scalar> row(plan.numbers());
      for (int64_t h = first; h < last; ++h)
        filter_channel(plan, rows + h * plan.numbers(), direct == nullptr ? Scalar(0) : direct[h],
                       B, H * L, L, us + h * L, out + h * L, row.data());
    });
  });
  return y;
}

}  // namespace ritz::sequence
