#include "ritz/koopman/spectral_measure.h"

#include <torch/types.h>

#include <algorithm>
#include <numbers>
#include <string>

#include "ritz/base/check.h"
#include "ritz/base/check_tensor.h"
#include "ritz/krylov/arnoldi.h"
#include "ritz/linop/dense.h"

namespace ritz::koopman {
namespace {

using torch::indexing::Slice;
constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr int64_t kBlock = 1 << 20;  // elements of a temporary: 16 MB complex

// [theta, N]-shaped work in slabs of thetas, so that memory stays a few blocks.
template <typename Slab>
Tensor by_slabs(const Tensor& theta, int64_t width, const Slab& slab) {
  const int64_t step = std::max<int64_t>(1, kBlock / std::max<int64_t>(1, width));
  std::vector<Tensor> parts;
  for (const Tensor& part : theta.split(step)) parts.push_back(slab(part));
  return torch::cat(parts);
}

Tensor checked_angles(const Tensor& theta, const char* name) {
  check_dim(name, theta, 1);
  check_floating(name, theta);
  check_finite(name, theta);
  return theta.to(torch::kFloat64);
}

// e_1^T (z I - H)^{-1} e_1 for every z [Z]: rotations of columns from the last row up make
// z I - H = R Q with R upper triangular; then (R Q)^{-1} e_1 = Q^* e_1 / r_11, and only the last
// rotation reaches the first coordinate. Invariant: `column` is column k of (z I - H) after the
// rotations of rows k + 1.., rows 0..k of it. N^2 / 2 times 2 complex multiplications a z.
Tensor resolvent_corner(const Tensor& H, const Tensor& z) {
  const int64_t n = H.size(0);
  Tensor column = -H.index({Slice(), n - 1}).unsqueeze(0).repeat({z.size(0), 1});  // [Z, n]
  column.select(1, n - 1).add_(z);
  Tensor cosine = torch::ones_like(z);
  for (int64_t k = n - 1; k > 0; --k) {
    const Tensor p = -H[k][k - 1], q = column.select(1, k);
    const Tensor norm = torch::sqrt(p.abs().square() + q.abs().square());
    cosine = q / norm;
    const Tensor sine = p / norm;
    Tensor next = column.slice(1, 0, k) * (-sine).unsqueeze(1);
    next.sub_(cosine.unsqueeze(1) * H.index({Slice(0, k), k - 1}).unsqueeze(0));
    next.select(1, k - 1).add_(cosine * z);
    column = next;
  }
  return cosine / column.select(1, 0);
}

// sum_{n = 0}^{N} f_n a_n e^{-i n theta}, its real part with the negative half added: f_0 a_0 + 2
// Re sum_{n >= 1}.
Tensor hermitian_series(const Tensor& moments, const Tensor& factor, const Tensor& theta) {
  const Tensor a = (moments.to(torch::kComplexDouble) * factor).contiguous();
  const Tensor n = torch::arange(a.size(0), factor.options());
  const Tensor tail = by_slabs(theta, a.size(0), [&](const Tensor& part) {
    const Tensor phase = part.unsqueeze(1) * n.unsqueeze(0);
    return torch::real(torch::polar(torch::ones_like(phase), -phase).mv(a));
  });
  return 2 * tail - torch::real(a[0]);
}

void check_moments(const Tensor& moments) {
  check_dim("moments", moments, 1);
  check_at_least("moments", moments.size(0), 2);
  check_finite("moments", moments);
}

}  // namespace

Tensor circle_grid(int64_t n) {
  check_at_least("points", n, 1);
  return torch::arange(n, torch::kFloat64) * (kTwoPi / static_cast<double>(n)) - std::numbers::pi;
}

double circle_integral(const Tensor& density) {
  return density.mean().item<double>() * kTwoPi;
}

Tensor smoothed_measure(const RationalKernel& kernel, double epsilon, const Tensor& angles,
                        const Tensor& weights, const Tensor& theta) {
  const Tensor at = checked_angles(theta, "theta"), phi = checked_angles(angles, "angles");
  check_shape("weights", weights, {phi.size(0)});
  const Tensor w = weights.to(torch::kFloat64);
  return by_slabs(at, phi.size(0), [&](const Tensor& part) {
    return kernel.smooth(phi.unsqueeze(0) - part.unsqueeze(1), epsilon).mv(w);
  });
}

Tensor wave_packets(const RationalKernel& kernel, double epsilon, const Tensor& angles,
                    const Tensor& vectors, const Tensor& coefficients, const Tensor& theta) {
  const Tensor at = checked_angles(theta, "theta"), phi = checked_angles(angles, "angles");
  check_shape("vectors", vectors, {-1, phi.size(0)});
  check_shape("coefficients", coefficients, {phi.size(0)});
  const Tensor V =
      vectors.to(torch::kComplexDouble) * coefficients.to(torch::kComplexDouble).unsqueeze(0);
  const Tensor packets = by_slabs(at, phi.size(0), [&](const Tensor& part) {
    return kernel.smooth(phi.unsqueeze(0) - part.unsqueeze(1), epsilon)
        .to(torch::kComplexDouble)
        .mm(V.t());
  });
  return packets.t().contiguous();
}

Tensor isometry_measure(const RationalKernel& kernel, double epsilon, const Tensor& K,
                        const Tensor& g, const Tensor& theta) {
  check_positive("epsilon", epsilon);
  const Tensor at = checked_angles(theta, "theta");
  check_dim("K", K, 2);
  check_shape("K", K, {K.size(0), K.size(0)});
  check_shape("g", g, {K.size(0)});
  check_finite("K", K);
  check_finite("g", g);
  const auto type = torch::kComplexDouble;
  const double energy = g.abs().to(torch::kFloat64).square().sum().item<double>();
  if (energy == 0) return torch::zeros_like(at);
  // Rows of the basis are orthonormal in z^H y; A Q^T = Q^T H.
  const auto run = arnoldi(DenseOperator(K.to(type).contiguous()),
                           {.steps = K.size(0), .start = g.to(type).contiguous()});
  const int64_t m = run.hessenberg.size(1);
  const Tensor H = run.hessenberg.slice(0, 0, m).to(at.device(), type);
  const c10::complex<double> i(0, 1);
  return by_slabs(at, m, [&](const Tensor& part) {
    Tensor sum = torch::zeros_like(part);
    for (int64_t j = 0; j < kernel.order(); ++j) {
      const auto a = kernel.poles[j].item<c10::complex<double>>();
      const auto r = kernel.residues[j].item<c10::complex<double>>();
      const Tensor e = torch::exp((part - c10::complex<double>(epsilon) * a) * i);
      sum += torch::real((2 * e * resolvent_corner(H, e) - 1) * r);
    }
    return sum * (energy / kTwoPi);
  });
}

Filter parse_filter(std::string_view name) {
  if (name == "fejer") return Filter::fejer;
  if (name == "cosine") return Filter::cosine;
  if (name == "fourth") return Filter::fourth;
  if (name == "sharpened") return Filter::sharpened;
  if (name == "bump") return Filter::bump;
  throw InvalidArgument("filter", "fejer, cosine, fourth, sharpened or bump", name);
}

Tensor filter_value(Filter filter, const Tensor& x) {
  const Tensor u = x.to(torch::kFloat64).abs().clamp_max(1);
  const Tensor p = (1 + torch::cos(u * std::numbers::pi)) / 2;
  switch (filter) {
    case Filter::fejer:
      return 1 - u;
    case Filter::cosine:
      return p;
    case Filter::fourth:
      return 1 - u.pow(4) * (((-20 * u + 70) * u - 84) * u + 35);
    case Filter::sharpened:
      return p.pow(4) * (((-20 * p + 70) * p - 84) * p + 35);
    case Filter::bump:
      // At 0 the inner exponential is 0, at 1 the outer one.
      return torch::exp(-2 / (1 - u) * torch::exp(-0.109550455106347 / u.pow(4)));
  }
  throw InvalidArgument("filter", "one of the five", "another number");
}

Tensor ergodic_moments(const Tensor& values, int64_t count) {
  check_finite("values", values);
  const Tensor rows = (values.dim() == 1 ? values.unsqueeze(0) : values).to(torch::kComplexDouble);
  check_dim("values", rows, 2);
  const int64_t T = rows.size(1);
  check_range("moments", count, 1, T - 1);
  // Zero-padded, so that the circular correlation is the plain one.
  const Tensor F = torch::fft_fft(rows, T + count);
  const Tensor sums =
      torch::fft_ifft(F.abs().square().to(torch::kComplexDouble)).slice(1, 0, count + 1).sum(0);
  const Tensor pairs =
      (T - torch::arange(count + 1, rows.options().dtype(torch::kFloat64))) * rows.size(0);
  return sums / pairs;
}

Tensor moment_measure(const Tensor& moments, Filter filter, const Tensor& theta) {
  check_moments(moments);
  const Tensor at = checked_angles(theta, "theta");
  const int64_t N = moments.size(0) - 1;
  const Tensor x = torch::arange(N + 1, at.options()) / static_cast<double>(N);
  return hermitian_series(moments, filter_value(filter, x), at) / kTwoPi;
}

Tensor point_masses(const Tensor& moments, const Tensor& theta) {
  check_moments(moments);
  const Tensor at = checked_angles(theta, "theta");
  const int64_t N = moments.size(0) - 1;
  const Tensor x = torch::arange(N + 1, at.options()) / static_cast<double>(N);
  // sum_{|n| <= N} (1 - |n| / N) = N.
  return hermitian_series(moments, filter_value(Filter::fejer, x), at) / static_cast<double>(N);
}

}  // namespace ritz::koopman
