// Kernels of diagonal and DPLR systems beside each other and beside dense oracles.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/sequence/cauchy.h"
#include "ritz/sequence/discretise.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/vandermonde.h"
#include "tests/sequence/gradient_check.h"

namespace ritz::sequence {
namespace {

using test::expect_gradients;
using test::largest_difference;
using test::random_complex;
using test::random_real;

TEST(Phi1, IsExactEverywhereAndSmoothAtZero) {
  const auto z = torch::complex(torch::tensor({0., -1e-9, -1e-5, -.1, -.499, -.501, -3., -40., 0.}),
                                torch::tensor({0., 1e-9, 2e-5, .1, .01, .01, 50., .5, 2e-3}))
                     .to(torch::kComplexDouble);
  const auto found = phi1(z);
  // In extended precision by the series' integral: phi1(z) = int_0^1 exp(t z) dt, Gauss on 40
  // points.
  for (int64_t i = 0; i < z.size(0); ++i) {
    const std::complex<double> at(z[i].item<c10::complex<double>>());
    std::complex<double> sum = 0;
    const int pieces = 4000;  // Boole's rule, error below 1e-13 for |z| = 50
    for (int k = 0; k < pieces; ++k) {
      const double h = 1.0 / pieces, x = k * h;
      const auto e = [&](double t) { return std::exp(at * t); };
      sum += h / 90 *
             (7.0 * e(x) + 32.0 * e(x + h / 4) + 12.0 * e(x + h / 2) + 32.0 * e(x + 3 * h / 4) +
              7.0 * e(x + h));
    }
    const std::complex<double> value(found[i].item<c10::complex<double>>());
    EXPECT_LE(std::abs(value - sum), 3e-13) << at;  // of 4000 terms summed
  }
  expect_gradients([](const auto& x) { return phi1(x[0]); }, {z});
}

TEST(Discretise, RulesAgreeWithTheirFormulasAndWithEachOtherForSmallSteps) {
  const Tensor m = random_complex({3, 4}, 1) - 2,
               dt = torch::tensor({.3, .01, 1e-4}).to(torch::kFloat64);
  const Tensor z = m * dt.unsqueeze(1);
  const auto zoh = discretise(m, dt.unsqueeze(1)),
             bilinear = discretise(m, dt.unsqueeze(1), Discretisation::bilinear);
  EXPECT_LE(largest_difference(zoh.a, z.exp()), 1e-15);
  EXPECT_LE(largest_difference(zoh.gain * m, z.exp() - 1), 1e-15);
  EXPECT_LE(largest_difference(bilinear.a, (1 + z / 2) / (1 - z / 2)), 1e-15);
  EXPECT_LE(largest_difference(bilinear.log_a.exp(), bilinear.a), 1e-15);
  EXPECT_LE(largest_difference(bilinear.gain, dt.unsqueeze(1) / (1 - z / 2)), 1e-15);
  EXPECT_TRUE(
      discretise(m, dt.unsqueeze(1), Discretisation::dirac).gain.equal(torch::ones_like(m)));
  // Third order apart in a: |z|^3 / 12 per step.
  const Tensor apart = (zoh.a - bilinear.a)[2].abs() / z[2].abs().pow(3);
  EXPECT_NEAR(apart.max().item<double>(), 1.0 / 12, 1e-3);
  for (const auto kind : {Discretisation::zoh, Discretisation::bilinear, Discretisation::dirac}) {
    EXPECT_EQ(parse_discretisation(name_of(kind)), kind);
    expect_gradients(
        [&](const auto& x) {
          const auto made = discretise(torch::complex(x[0], x[1]), x[2].exp().unsqueeze(1), kind);
          return torch::cat({made.log_a, made.gain, made.a});
        },
        {torch::real(m).contiguous(), torch::imag(m).contiguous(), dt.log()});
  }
}

TEST(Discretise, RefusesStepsThatAreNotPositive) {
  const Tensor m = random_complex({2}, 1);
  for (const double bad : {0.0, -1.0, double(NAN), double(INFINITY)})
    EXPECT_THROW(discretise(m, torch::tensor({.1, bad}, torch::kFloat64)), InvalidArgument) << bad;
  EXPECT_THROW(discretise(random_real({2}, 1), torch::ones({2})), InvalidArgument);
  EXPECT_THROW(parse_discretisation("euler"), InvalidArgument);
}

TEST(Vandermonde, ScalarSystemUnderZohIsAnExponential) {
  // K_l = (exp(-d) - 1) / (-1) exp(-d l) for m = -1, B = C = 1.
  const double d = 0.03;
  const Tensor m = torch::complex(torch::tensor({{-1.}}), torch::tensor({{0.}}));
  const auto made = discretise(m, torch::tensor({{d}}, torch::kFloat64));
  const Tensor K = vandermonde_kernel(made.log_a, made.gain, 100, torch::kFloat64);
  const Tensor l = torch::arange(100, torch::kFloat64);
  EXPECT_LE(largest_difference(K[0], -std::expm1(-d) * (-d * l).exp()), 1e-15);
}

TEST(Vandermonde, BlocksGiveWhatAllPowersGive) {
  for (const int64_t L : {1, 2, 31, 32, 33, 257, 1000, 4097})
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      const int64_t H = 3, N = 5;
      const Tensor log_a =
          torch::complex(-random_real({H, N}, 3).abs() / 50, random_real({H, N}, 4));
      const Tensor c = random_complex({H, N}, 5);
      const Tensor K = vandermonde_kernel(log_a, c, L, type);
      EXPECT_EQ(K.scalar_type(), type);
      const Tensor expected = detail::vandermonde_by_tensors(log_a, c, L, torch::kFloat64);
      // A phase of l radians carries an error of l eps; each entry sums 10 products in `type`.
      const double eps = type == torch::kFloat32 ? 6e-8 : 1.1e-16;
      EXPECT_LE(largest_difference(K, expected.to(type)),
                40 * eps * c.abs().sum().item<double>() + 2e-16 * double(L))
          << L;
    }
}

TEST(Vandermonde, GradientsOfTheCustomBackward) {
  for (const int64_t L : {1, 5, 33, 100}) {
    const Tensor log_a = torch::complex(-random_real({2, 3}, 3).abs() / 10, random_real({2, 3}, 4));
    expect_gradients(
        [&](const auto& x) { return vandermonde_kernel(x[0], x[1], L, torch::kFloat64); },
        {log_a, random_complex({2, 3}, 5)});
  }
  // Float32 from float64's.
  Tensor log_a = torch::complex(-random_real({4, 8}, 3).abs() / 50, random_real({4, 8}, 4)),
         c = random_complex({4, 8}, 5);
  log_a.requires_grad_(true);
  c.requires_grad_(true);
  const Tensor g = random_real({4, 700}, 6);
  const auto gradients = [&](c10::ScalarType type) {
    const Tensor K = vandermonde_kernel(log_a, c, 700, type);
    return torch::autograd::grad({(K * g.to(type)).sum()}, {log_a, c});
  };
  const auto low = gradients(torch::kFloat32), high = gradients(torch::kFloat64);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_LE(largest_difference(low[i], high[i]), 2e-5 * high[i].abs().max().item<double>());
}

TEST(Vandermonde, GradientsThroughTheWholeParametrisation) {
  // C, log dt, Re m, Im m and B, as a layer trains them.
  const auto system = diagonal_hippo(6);
  const int64_t H = 2;
  const Tensor m = system.eigenvalues.expand({H, -1});
  for (const auto kind : {Discretisation::zoh, Discretisation::bilinear, Discretisation::dirac})
    expect_gradients(
        [&](const auto& x) {
          const auto made = discretise(torch::complex(x[1], x[2]), x[3].exp().unsqueeze(1), kind);
          return vandermonde_kernel(made.log_a, system.weights * x[0] * made.gain * x[4], 40,
                                    torch::kFloat64);
        },
        {random_complex({H, 3}, 1), torch::real(m).contiguous(), torch::imag(m).contiguous(),
         torch::tensor({-3., -4.}, torch::kFloat64), random_complex({H, 3}, 2)},
        2e-6);
}

TEST(Vandermonde, IsTheKernelOfTheMatrixExponential) {
  // A dense oracle for S4D-LegS: x' = A_n x + (1/2) B_H u held over a step.
  const int64_t n = 9, L = 60;
  const double dt = 0.02;
  const auto system = diagonal_hippo(n);
  const Tensor C = random_real({n}, 8);
  const auto made = discretise(system.eigenvalues, torch::tensor(dt, torch::kFloat64));
  const Tensor c =
      system.weights * C.to(torch::kComplexDouble).matmul(system.W) * made.gain * system.B;
  const Tensor K =
      vandermonde_kernel(made.log_a.unsqueeze(0), c.unsqueeze(0), L, torch::kFloat64)[0];
  const Tensor B = hippo_input(n), A = hippo_matrix(n) + B.outer(B) / 2;
  const Tensor Abar = at::linalg_matrix_exp(A * dt);
  Tensor x = at::linalg_solve(A, (Abar - torch::eye(n, A.options())).matmul(B / 2));
  for (int64_t l = 0; l < L; ++l, x = Abar.matmul(x))
    EXPECT_NEAR(K[l].item<double>(), C.dot(x).item<double>(), 1e-12) << l;
}

TEST(Vandermonde, RefusesWhatOverflows) {
  const Tensor growing = torch::complex(torch::tensor({{.1}}), torch::tensor({{1.}}));
  EXPECT_NO_THROW(vandermonde_kernel(growing, torch::ones_like(growing), 700));
  EXPECT_THROW(vandermonde_kernel(growing, torch::ones_like(growing), 1000), InvalidArgument);
  EXPECT_THROW(vandermonde_kernel(growing, torch::ones_like(growing), 0), InvalidArgument);
  EXPECT_THROW(vandermonde_kernel(growing, random_complex({1, 2}, 1), 5), InvalidArgument);
  EXPECT_THROW(vandermonde_kernel(growing * NAN, torch::ones_like(growing), 5), InvalidArgument);
}

struct Dplr {
  DplrParameters system;
  Tensor C;
};
Dplr two_channels(int64_t n, Storage storage = Storage::conjugate) {
  const auto s4 = dplr_hippo(n, storage);
  const auto both = [](const Tensor& z) { return torch::stack({z, z}); };
  const Tensor C = random_real({2, n}, 21).to(torch::kComplexDouble).matmul(s4.V);
  return {{both(s4.eigenvalues), both(s4.P), both(s4.B), s4.weights,
           torch::tensor({.1, .004}, torch::kFloat64)},
          C};
}
/// C Abar^l Bbar of HiPPO itself, dense, bilinear.
Tensor dense_bilinear(int64_t n, const Tensor& C, double dt, int64_t L) {
  const Tensor A = hippo_matrix(n), B = hippo_input(n), I = torch::eye(n, A.options());
  const Tensor Abar = at::linalg_solve(I - dt / 2 * A, I + dt / 2 * A);
  Tensor x = at::linalg_solve(I - dt / 2 * A, dt * B);
  Tensor K = torch::empty({L}, torch::kFloat64);
  for (int64_t l = 0; l < L; ++l, x = Abar.matmul(x)) K[l] = C.dot(x);
  return K;
}

TEST(Cauchy, GeneratingFunctionGivesTheDenseBilinearKernel) {
  for (const int64_t n : {1, 4, 7, 16})
    for (const int64_t L : {1, 2, 17, 64})
      for (const auto storage : {Storage::full, Storage::conjugate}) {
        const auto [system, C] = two_channels(n, storage);
        const Tensor K = dplr_kernel(system, C, L, torch::kFloat64);
        const Tensor rows = random_real({2, n}, 21);
        for (int64_t h = 0; h < 2; ++h) {
          const Tensor expected = dense_bilinear(n, rows[h], system.dt[h].item<double>(), L);
          EXPECT_LE(largest_difference(K[h], expected), 1e-10 * expected.abs().max().item<double>())
              << n << " " << L;
        }
      }
}

TEST(Cauchy, KernelIsThatOfItsOwnDenseSystemForAnyParameters) {
  // Not HiPPO: as training leaves them. n odd: a real eigenvalue, with real P and B.
  auto [system, C] = two_channels(7);
  const auto moved = [](const Tensor& z, uint64_t index) {
    Tensor change = random_complex(z.sizes(), index, 0.2);
    change.select(1, 0) = torch::real(change.select(1, 0)).to(torch::kComplexDouble);
    return z + change;
  };
  system.eigenvalues = moved(system.eigenvalues, 31);
  system.P = moved(system.P, 32);
  system.B = moved(system.B, 33);
  C = moved(C, 34);
  const int64_t L = 50;
  const auto dense = dplr_dense(system, C);
  const Tensor K = dplr_kernel(system, C, L, torch::kFloat64);
  Tensor x = dense.B.unsqueeze(2), expected = torch::empty({2, L}, torch::kFloat64);
  for (int64_t l = 0; l < L; ++l, x = dense.A.matmul(x))
    expected.select(1, l) = torch::real(dense.C.unsqueeze(1).matmul(x)).flatten();
  EXPECT_LE(largest_difference(K, expected), 1e-11 * expected.abs().max().item<double>());
  // And of the recurrence in O(N).
  DplrStepper stepper(system, C, torch::ones({2}));
  for (int64_t l = 0; l < L; ++l) {
    const Tensor y = stepper.step(l == 0 ? torch::ones({2}, torch::kFloat64)
                                         : torch::zeros({2}, torch::kFloat64));
    EXPECT_LE(largest_difference(y - (l == 0 ? 1 : 0), expected.select(1, l)),
              1e-11 * expected.abs().max().item<double>())
        << l;
  }
}

TEST(Cauchy, TruncationIsUndoneAndMayBeGiven) {
  const auto [system, C] = two_channels(8);
  const Tensor Ct = dplr_truncate(system, C, 30);
  EXPECT_LE(largest_difference(dplr_untruncate(system, Ct, 30), C), 1e-10);
  EXPECT_TRUE(dplr_kernel(system, Ct, 30, torch::kFloat64, true)
                  .equal(dplr_kernel(system, C, 30, torch::kFloat64)));
}

TEST(Cauchy, RawSumsAreTheTensors) {
  for (const int64_t F : {1, 8, 300, 517}) {
    const Tensor w = random_complex({2, 3}, 1) - 2, v = random_complex({4, 2, 3}, 2);
    const Tensor weights = torch::tensor({1., 2., 2.}, torch::kFloat64);
    const Tensor angle = torch::linspace(0, M_PI / 2, F, torch::kFloat64);
    const auto sums = [&](const auto& f) {
      return [&](const std::vector<Tensor>& x) {
        return f(x[0], x[1], weights, angle.sin(), angle.cos());
      };
    };
    EXPECT_LE(largest_difference(sums(detail::cauchy_sums)({w, v}),
                                 sums(detail::cauchy_sums_by_tensors)({w, v})),
              1e-13);
    expect_gradients(sums(detail::cauchy_sums), {w, v});
  }
}

TEST(Cauchy, GradientsOfEveryParameter) {
  const auto [system, C] = two_channels(5);
  expect_gradients(
      [&, weights = system.weights](const auto& x) {
        return dplr_kernel({x[0], x[1], x[2], weights, x[3].exp()}, x[4], 12, torch::kFloat64);
      },
      {system.eigenvalues, system.P, system.B, system.dt.log(), C}, 2e-6);
}

TEST(Cauchy, RefusesShapesThatDoNotFit) {
  auto [system, C] = two_channels(4);
  EXPECT_THROW(dplr_kernel(system, C, 0), InvalidArgument);
  EXPECT_THROW(dplr_kernel(system, C.slice(1, 1), 4), InvalidArgument);
  EXPECT_THROW(dplr_kernel(system, torch::real(C), 4), InvalidArgument);
  system.dt = torch::zeros({2});
  EXPECT_THROW(dplr_kernel(system, C, 4), InvalidArgument);
}

TEST(Discretise, KernelsConvergeToTheImpulseResponseAtTheirOrders) {
  // Halving the step: a step response of zoh is exact at the samples, so its kernel / dt is the
  // mean of the impulse response over a step, off by O(dt); bilinear filters of a smooth input by
  // O(dt^2).
  const auto system = diagonal_hippo(4);
  const Tensor C = random_real({4}, 8).to(torch::kComplexDouble).matmul(system.W);
  const auto filtered = [&](double dt, Discretisation kind) {
    const auto made = discretise(system.eigenvalues, torch::tensor(dt, torch::kFloat64), kind);
    const int64_t L = std::llround(2 / dt);
    const Tensor c = system.weights * C * made.gain * system.B;
    const Tensor K =
        vandermonde_kernel(made.log_a.unsqueeze(0), c.unsqueeze(0), L, torch::kFloat64)[0];
    const Tensor s =
        (torch::arange(L, torch::kFloat64) + (kind == Discretisation::zoh ? 0 : 0.5)) * dt;
    return K.dot((s.flip(0) * 3).sin().pow(2)).item<double>();  // y at time 2 of a smooth input
  };
  // An input's sample stands for its step: taken at the step's beginning for zoh, in its middle for
  // bilinear.
  const double truth = filtered(2.0 / (1 << 15), Discretisation::bilinear);
  for (const auto& [kind, order] :
       {std::pair{Discretisation::zoh, 1.0}, std::pair{Discretisation::bilinear, 2.0}}) {
    const double coarse = std::abs(filtered(2.0 / 256, kind) - truth);
    const double fine = std::abs(filtered(2.0 / 512, kind) - truth);
    EXPECT_NEAR(std::log2(coarse / fine), order, 0.15) << name_of(kind);
  }
}

}  // namespace
}  // namespace ritz::sequence
