// Spectral measures: signs by a rotation first, then mass, orders, and the three forms agreeing.
#include "ritz/koopman/spectral_measure.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::koopman {
namespace {

using torch::kComplexDouble;
using torch::kFloat32;
using torch::kFloat64;
constexpr double kPi = std::numbers::pi;
constexpr Poles kAllPoles[] = {Poles::equispaced, Poles::chebyshev, Poles::roots,
                               Poles::extrapolation};
constexpr Filter kAllFilters[] = {Filter::fejer, Filter::cosine, Filter::fourth, Filter::sharpened,
                                  Filter::bump};

Tensor vector(std::vector<double> values) {
  return torch::tensor(values, kFloat64);
}

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

/// int e^{i n theta} xi, by the trapezoidal rule on circle_grid.
c10::complex<double> fourier(const Tensor& xi, const Tensor& theta, int64_t n) {
  const auto phase = theta * static_cast<double>(n);
  const Tensor sum = (torch::polar(xi.abs(), phase) * torch::sgn(xi)).mean() * (2 * kPi);
  return sum.item<c10::complex<double>>();
}

/// A unitary matrix with these angles in a random orthonormal basis, and g's coordinates.
struct Unitary {
  Tensor K, g, angles, weights;
};
Unitary unitary(int64_t n, uint64_t index = 0) {
  RandomStream random(4, stream_id("tests/measure", index));
  const Tensor Q = std::get<0>(torch::linalg_qr(random.normal({n, n}, kComplexDouble)));
  const Tensor angles = random.uniform({n}, kFloat64, -kPi, kPi);
  const Tensor g = random.normal({n}, kComplexDouble);
  const Tensor D = torch::diag(torch::polar(torch::ones({n}, kFloat64), angles));
  return {Q.mm(D).mm(Q.mH()), g, angles, Q.mH().mv(g).abs().square()};
}

TEST(SpectralMeasure, RotationHasPoissonsKernelAtItsAngle) {
  // K g = e^{i phi} g: density (1 / 2 pi) sinh(eps) / (cosh(eps) - cos(theta - phi)).
  const Tensor theta = circle_grid(400);
  for (const double phi : {0.7, -2.1}) {
    const double eps = 0.2;
    const Tensor exact = std::sinh(eps) / (std::cosh(eps) - torch::cos(theta - phi)) / (2 * kPi);
    const Tensor xi = smoothed_measure(rational_kernel(1), eps, vector({phi}), vector({1}), theta);
    EXPECT_LT(largest(xi - exact), 1e-13);
    const Tensor K = torch::polar(vector({1}), vector({phi})).view({1, 1});
    EXPECT_LT(largest(isometry_measure(rational_kernel(1), eps, K, vector({1}), theta) - exact),
              1e-13);
    // And the data themselves: g(x_t) = e^{i phi t}.
    const Tensor orbit =
        torch::polar(torch::ones({500}, kFloat64), torch::arange(500, kFloat64) * phi);
    const Tensor moments = ergodic_moments(orbit, 100);
    const Tensor smooth = moment_measure(moments, Filter::bump, theta);
    EXPECT_NEAR(theta[smooth.argmax()].item<double>(), phi, 2 * kPi / 400);
    const std::complex<double> third(moments[3].item<c10::complex<double>>());
    EXPECT_NEAR(std::abs(third - std::polar(1.0, 3 * phi)), 0, 1e-12);
    EXPECT_NEAR(point_masses(moments, vector({phi})).item<double>(), 1, 1e-12);
  }
}

TEST(SpectralMeasure, IntegralIsTheSquaredNormAndOrderOneIsPositive) {
  const auto one = unitary(23);
  const double energy = one.g.abs().square().sum().item<double>();
  const Tensor theta = circle_grid(4000);
  for (const auto poles : kAllPoles) {
    for (const int64_t m : {1, 2, 5, 10}) {
      // The kernel is analytic in a strip of the nearest pole's height: the trapezoid's error is
      // e^{-4000 * eps * height}, and extrapolation's tenth pole is too low for it.
      if (poles == Poles::extrapolation && m == 10) continue;
      const double eps = poles == Poles::extrapolation ? 3.0 : 0.1;
      const auto kernel = rational_kernel(m, poles);
      const Tensor xi = smoothed_measure(kernel, eps, one.angles, one.weights, theta);
      // Residues grow with the order: rounding by their sum.
      const double scale = kernel.residues.abs().sum().item<double>() * energy;
      EXPECT_NEAR(circle_integral(xi), energy, 1e-12 * scale) << m;
      if (m == 1) {
        EXPECT_GT(xi.min().item<double>(), 0);
      }
    }
  }
}

TEST(SpectralMeasure, FourierCoefficientsAreTheMomentsWithOrderM) {
  // One eigenvalue: int e^{i n theta} xi = e^{i n phi} Re-symmetric sum_j r_j e^{i eps n a_j},
  // which is 1 + C (eps n)^m; halving eps divides the error by 2^m.
  const double phi = 0.9;
  const Tensor theta = circle_grid(6000);
  for (const auto poles : kAllPoles) {
    for (const int64_t m : {1, 2, 3, 4, 6}) {
      const auto error = [&](double eps) {
        const auto kernel = rational_kernel(m, poles);
        const Tensor xi = smoothed_measure(kernel, eps, vector({phi}), vector({1}), theta);
        return std::abs(static_cast<std::complex<double>>(fourier(xi, theta, 2)) -
                        std::polar(1.0, 2 * phi));
      };
      // Extrapolation's product of six poles is so small that the error would drown in rounding.
      const double eps = poles == Poles::extrapolation && m == 6 ? 0.8 : 0.2;
      const double order = std::log2(error(eps) / error(eps / 2));
      // The series' next term is of relative size eps n sum_j a_j / (m + 1).
      EXPECT_GT(order, static_cast<double>(m) - 0.35) << m;
    }
  }
}

TEST(RationalKernel, ResiduesSolveTheTransposedVandermondeSystem) {
  for (const auto poles : kAllPoles) {
    for (int64_t m = 1; m <= 10; ++m) {
      const auto kernel = rational_kernel(m, poles);
      const double size = kernel.residues.abs().sum().item<double>();
      for (int64_t p = 0; p < m; ++p) {
        const Tensor sum = (kernel.residues * kernel.poles.pow(p)).sum();
        EXPECT_LT(largest(sum - (p == 0 ? 1.0 : 0.0)), 1e-13 * size * 30) << m << ' ' << p;
      }
    }
  }
  const auto two = rational_kernel(2), three = rational_kernel(3), four = rational_kernel(4);
  using C = c10::complex<double>;
  const auto expect = [](const Tensor& value, C exact) {
    EXPECT_LT(largest(value - exact), 1e-13);
  };
  expect(two.residues[0], C(.5, 1.5));
  expect(two.residues[1], C(.5, -1.5));
  expect(three.residues[0], C(-2, 1));
  expect(three.residues[1], C(5, 0));
  expect(three.residues[2], C(-2, -1));
  expect(four.residues[0], C(-39, -65) / 24.);
  expect(four.residues[1], C(17, 85) / 8.);
}

TEST(SpectralMeasure, IsometryFormEqualsTheUnitaryOne) {
  const auto one = unitary(37, 1);
  const Tensor theta = circle_grid(101);
  for (const int64_t m : {1, 3, 4}) {
    const auto kernel = rational_kernel(m);
    const Tensor a = smoothed_measure(kernel, 0.1, one.angles, one.weights, theta);
    const Tensor b = isometry_measure(kernel, 0.1, one.K, one.g, theta);
    // Resolvents of norm 1 / eps.
    EXPECT_LT(largest(a - b), 1e-11 * largest(a) * 10) << m;
  }
}

TEST(SpectralMeasure, IsometryFormIsTheDenseResolvent) {
  // A truncated shift with a perturbation: far from normal.
  const int64_t n = 9;
  RandomStream random(8, stream_id("tests/measure/shift"));
  const Tensor K =
      torch::diag(torch::ones({n - 1}, kFloat64), -1) + 0.1 * random.normal({n, n}, kFloat64);
  const Tensor g = random.normal({n}, kFloat64), theta = circle_grid(7);
  const double eps = 0.4;
  const auto kernel = rational_kernel(3);
  const Tensor xi = isometry_measure(kernel, eps, K, g, theta);
  const Tensor gc = g.to(kComplexDouble);
  for (int64_t t = 0; t < 7; ++t) {
    double exact = 0;
    for (int64_t j = 0; j < 3; ++j) {
      const auto a = kernel.poles[j].item<c10::complex<double>>();
      const std::complex<double> i(0, 1);
      const auto e =
          std::exp(i * theta[t].item<double>() - i * eps * static_cast<std::complex<double>>(a));
      const Tensor inverse = torch::linalg_solve(
          torch::eye(n, kComplexDouble) - K.to(kComplexDouble) / c10::complex<double>(e), gc);
      const Tensor term = 2 * torch::vdot(gc, inverse) - torch::vdot(gc, gc);
      exact += torch::real(kernel.residues[j] * term).item<double>() / (2 * kPi);
    }
    EXPECT_NEAR(xi[t].item<double>(), exact, 1e-10 * std::max(1.0, std::abs(exact)));
  }
}

TEST(SpectralMeasure, IsometryFormTakesAnObservableInAnInvariantSubspace) {
  // g is one of the eigenvectors: Arnoldi ends after one step.
  const Tensor K = torch::diag(torch::polar(torch::ones({5}, kFloat64), vector({0, 1, 2, 3, -1})));
  const Tensor g = torch::zeros({5}, kFloat64);
  g[2] = 3;
  const Tensor theta = circle_grid(50);
  const auto kernel = rational_kernel(2);
  EXPECT_LT(largest(isometry_measure(kernel, 0.3, K, g, theta) -
                    smoothed_measure(kernel, 0.3, vector({2}), vector({9}), theta)),
            1e-12);
  EXPECT_EQ(largest(isometry_measure(kernel, 0.3, K, torch::zeros({5}, kFloat64), theta)), 0);
}

TEST(SpectralMeasure, WavePacketsIntegrateToTheObservable) {
  const auto one = unitary(11, 2);
  const auto [values, V] = torch::linalg_eig(one.K);
  const Tensor c = torch::linalg_solve(V, one.g), angles = values.angle();
  const Tensor theta = circle_grid(1500);
  for (const int64_t m : {1, 4}) {
    const Tensor packets = wave_packets(rational_kernel(m), 0.1, angles, V, c, theta);
    EXPECT_LT(largest(packets.mean(1) * (2 * kPi) - one.g), 1e-10) << m;
    // <g_theta, g> is the measure's density.
    const Tensor xi =
        smoothed_measure(rational_kernel(m), 0.1, angles, (V.mH().mv(one.g)).abs().square(), theta);
    EXPECT_LT(largest(packets.t().mv(one.g.conj()) - xi), 1e-9 * largest(xi)) << m;
  }
}

TEST(SpectralMeasure, FiltersAreOneAtZeroNoughtAtOneAndEven) {
  const Tensor x = torch::linspace(0, 1.5, 31, kFloat64);
  for (const auto filter : kAllFilters) {
    const Tensor phi = filter_value(filter, x);
    EXPECT_NEAR(phi[0].item<double>(), 1, 1e-15);
    EXPECT_LT(largest(phi.slice(0, 20)), 1e-14);
    EXPECT_LT(largest(phi - filter_value(filter, -x)), 1e-15);
    EXPECT_GE(phi.min().item<double>(), -1e-14);
    EXPECT_LE(phi.max().item<double>(), 1 + 1e-14);
  }
  // How fast they leave 1: |x|, x^2, x^4, x^8 (p = 1 - x^2..., and 1 - q(p) ~ (1 - p)^4), beyond
  // all orders.
  const double orders[] = {1, 2, 4, 8};
  for (size_t k = 0; k < 4; ++k) {
    const auto left = [&](double at) {
      return 1 - filter_value(kAllFilters[k], vector({at})).item<double>();
    };
    EXPECT_NEAR(std::log2(left(0.08) / left(0.04)), orders[k], 0.35) << k;
  }
  EXPECT_EQ(filter_value(Filter::bump, vector({0.05})).item<double>(), 1);
}

TEST(SpectralMeasure, MomentsOfSeveralTrajectoriesArePooled) {
  RandomStream random(3, stream_id("tests/measure/moments"));
  const Tensor g = random.normal({3, 40}, kComplexDouble);
  const Tensor a = ergodic_moments(g, 7);
  for (int64_t n = 0; n <= 7; ++n) {
    const Tensor exact = (g.slice(1, n) * g.slice(1, 0, 40 - n).conj()).mean();
    EXPECT_LT(largest(a[n] - exact), 1e-14) << n;
  }
  EXPECT_LT(largest(ergodic_moments(g[0].to(torch::kComplexFloat), 7)[2] -
                    (g[0].slice(0, 2) * g[0].slice(0, 0, 38).conj()).mean()),
            1e-5);  // float32 values
}

TEST(SpectralMeasure, MomentFormKeepsMassAndFejerIsPositive) {
  RandomStream random(5, stream_id("tests/measure/mass"));
  const Tensor g = random.normal({900}, kFloat64);
  // Divided by T, not T - n, the autocorrelation would be positive definite; of a unitary operator
  // it is: moments sum_k w_k e^{i n phi_k}.
  const Tensor phi = random.uniform({6}, kFloat64, -kPi, kPi), w = random.uniform({6}, kFloat64);
  const Tensor n = torch::arange(65, kFloat64);
  const Tensor phase = n.unsqueeze(1) * phi;
  const Tensor a = torch::polar(torch::ones_like(phase), phase).mv(w.to(kComplexDouble));
  const Tensor theta = circle_grid(333);
  for (const auto filter : kAllFilters)
    EXPECT_NEAR(circle_integral(moment_measure(a, filter, theta)), w.sum().item<double>(), 1e-12);
  EXPECT_GE(moment_measure(a, Filter::fejer, theta).min().item<double>(), -1e-12);
  EXPECT_NEAR(circle_integral(moment_measure(ergodic_moments(g, 50), Filter::fourth, theta)),
              g.square().mean().item<double>(), 1e-12);
}

TEST(SpectralMeasure, PointMassesSeparateAtomsFromTheRest) {
  // Half the mass in an atom at 1, half spread evenly: moments w e^{i n} + (n = 0) / 2.
  const Tensor n = torch::arange(401, kFloat64);
  Tensor a = torch::polar(torch::full_like(n, 0.5), n);
  a[0] = 1;
  const Tensor mass = point_masses(a, vector({1, -1}));
  EXPECT_NEAR(mass[0].item<double>(), 0.5, 0.5 / 400 + 1e-12);
  EXPECT_NEAR(mass[1].item<double>(), 0, 0.01);
}

TEST(SpectralMeasure, RefusesWhatDoesNotFit) {
  const Tensor theta = circle_grid(5), one = vector({1});
  EXPECT_THROW(rational_kernel(0), InvalidArgument);
  EXPECT_THROW(rational_kernel(11), InvalidArgument);
  EXPECT_THROW(parse_poles("chebychev"), InvalidArgument);
  EXPECT_THROW(parse_filter("hann"), InvalidArgument);
  EXPECT_THROW(smoothed_measure(rational_kernel(1), 0, one, one, theta), InvalidArgument);
  EXPECT_THROW(smoothed_measure(rational_kernel(1), -1, one, one, theta), InvalidArgument);
  EXPECT_THROW(
      isometry_measure(rational_kernel(1), 0, torch::eye(2, kFloat64), vector({1, 1}), theta),
      InvalidArgument);
  EXPECT_THROW(isometry_measure(rational_kernel(1), 1, torch::eye(2, kFloat64), one, theta),
               InvalidArgument);
  EXPECT_THROW(ergodic_moments(torch::ones({10}, kFloat64), 10), InvalidArgument);
  EXPECT_THROW(ergodic_moments(torch::full({10}, std::nan(""), kFloat64), 3), InvalidArgument);
}

TEST(SpectralMeasure, CatMapErrorFallsWithTheOrderOfTheKernel) {
  // <K^n g, g> of the specification; unitary Toeplitz moments a_n, so the exact smoothed density is
  // the series itself: errors of orders 1, 2, 4 at eps = .2 and .1.
  const Tensor theta = circle_grid(400);
  using C = std::complex<double>;
  const C a[] = {{.65625, 0}, {.25, -.0625}, {0, -.125}};
  const auto density = [&](auto factor) {
    Tensor sum = torch::full({400}, a[0].real(), kFloat64);
    for (int n = 1; n <= 2; ++n) {
      const C c = a[n] * factor(n);
      sum += 2 * (c.real() * torch::cos(theta * n) + c.imag() * torch::sin(theta * n));
    }
    return sum / (2 * kPi);
  };
  const Tensor exact = density([](int) { return C(1); });
  const double least[] = {.8, 1.6, 3.2};
  const int64_t ms[] = {1, 2, 4};
  for (int k = 0; k < 3; ++k) {
    const auto kernel = rational_kernel(ms[k]);
    const auto error = [&](double eps) {
      return largest(density([&](int n) {
                       C sum = 0;
                       for (int64_t j = 0; j < ms[k]; ++j)
                         sum += C(kernel.residues[j].item<c10::complex<double>>()) *
                                std::exp(C(0, eps * n) *
                                         C(kernel.poles[j].item<c10::complex<double>>()));
                       return sum;
                     }) -
                     exact);
    };
    EXPECT_GT(std::log2(error(.2) / error(.1)), least[k]);
  }
}

}  // namespace
}  // namespace ritz::koopman
