#include "ritz/sequence/convolution.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::sequence {
namespace {

void check_input(const Tensor& u, const Tensor& K, const Tensor& R, const Tensor& D) {
  check_dim("u", u, 3);
  check_floating("u", u);
  check_at_least("L", u.size(2), 1);
  for (const auto& [name, filter] : {std::pair{"K", K}, std::pair{"R", R}}) {
    if (!filter.defined() && name[0] == 'R') continue;
    check_shape(name, filter, {u.size(1), -1});
    check_options(name, filter, u.options());
    check_at_least("taps of the filter", filter.size(1), 1);
  }
  if (D.defined()) {
    check_shape("D", D, {u.size(1)});
    check_options("D", D, u.options());
  }
}

/// Spectrum [H, size/2 + 1] of K and R as one circular filter for sequences of length L.
Tensor filter_spectrum(const Tensor& K, const Tensor& R, int64_t L, int64_t size) {
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

int64_t fast_fft_size(int64_t n) {
  for (int64_t size = std::max<int64_t>(n, 1);; ++size) {
    int64_t rest = size;
    for (const int64_t p : {2, 3, 5})
      while (rest % p == 0) rest /= p;
    if (rest == 1) return size;
  }
}

Tensor bidirectional_convolution(const Tensor& u, const Tensor& K, const Tensor& R,
                                 const Tensor& D) {
  check_input(u, K, R, D);
  const int64_t L = u.size(2), size = fast_fft_size(2 * L - 1);
  const Tensor y = convolve(u, filter_spectrum(K, R, L, size), size);
  return D.defined() ? y + u * D.unsqueeze(1) : y;
}

Tensor causal_convolution(const Tensor& u, const Tensor& K, const Tensor& D) {
  return bidirectional_convolution(u, K, {}, D);
}

CachedConvolution::CachedConvolution(const Tensor& K, const Tensor& R, const Tensor& D, int64_t L)
    : length_(L), size_(fast_fft_size(2 * L - 1)) {
  check_at_least("L", L, 1);
  check_dim("K", K, 2);
  const at::NoGradGuard guard;
  spectrum_ = filter_spectrum(K, R, L, size_).detach();
  D_ = D.defined() ? D.detach() : D;
}

Tensor CachedConvolution::operator()(const Tensor& u) const {
  const at::NoGradGuard guard;
  check_shape("u", u, {-1, spectrum_.size(0), -1});
  check_range("L", u.size(2), 1, length_);
  const Tensor y = convolve(u, spectrum_, size_);
  return D_.defined() ? y + u * D_.unsqueeze(1) : y;
}

}  // namespace ritz::sequence
