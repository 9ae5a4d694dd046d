// Scans, convolutions and steps: three ways through one system.
#include "ritz/sequence/scan.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/threads.h"
#include "ritz/sequence/convolution.h"
#include "ritz/sequence/discretise.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/step.h"
#include "ritz/sequence/vandermonde.h"
#include "tests/sequence/gradient_check.h"

namespace ritz::sequence {
namespace {

using test::expect_gradients;
using test::largest_difference;
using test::random_complex;
using test::random_real;

Tensor decaying(int64_t P) {
  return torch::complex(-random_real({P}, 1).abs() / 10, random_real({P}, 2)).exp();
}
Tensor integers(std::vector<int64_t> values) {
  return torch::tensor(values, torch::kInt64);
}

/// The recurrence, one step after the other.
Tensor sequential(const Tensor& a, const Tensor& v, const ScanOptions& options) {
  const int64_t B = v.size(0), L = v.size(1);
  const Tensor u = from_planar(v.to(torch::kFloat64));
  Tensor x = torch::zeros_like(u);
  for (int64_t b = 0; b < B; ++b) {
    const int64_t n = options.lengths.defined() ? options.lengths[b].item<int64_t>() : L;
    Tensor state = options.initial.defined() ? from_planar(options.initial[b].to(torch::kFloat64))
                                             : torch::zeros({a.size(0)}, torch::kComplexDouble);
    for (int64_t t = 0; t < n; ++t) {
      const int64_t l = options.reverse ? n - 1 - t : t;
      state = a.to(torch::kComplexDouble) * state + u[b][l];
      x[b][l] = state;
    }
  }
  return to_planar(x);
}

TEST(Scan, IsTheRecurrenceForAnyChunksLengthsAndDirection) {
  for (const auto& [B, L, P] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 37, 5}, {2, 64, 130}, {1, 100, 33}})
    for (const bool reverse : {false, true})
      for (const bool ragged : {false, true})
        for (const int64_t chunk : {0, 1, 7, 64}) {
          ScanOptions options{
              .reverse = reverse, .initial = random_real({B, 2 * P}, 4), .chunk = chunk};
          if (ragged) {
            options.lengths = (torch::arange(1, B + 1, torch::kInt64) * L).floor_divide(B);
            options.lengths = options.lengths.clamp_min(1);
          }
          const Tensor a = decaying(P), v = random_real({B, L, 2 * P}, 3);
          const Tensor expected = sequential(a, v, options);
          EXPECT_LE(largest_difference(diagonal_scan(a, v, options), expected), 1e-13);
          EXPECT_LE(largest_difference(detail::scan_by_tensors(a, v, options), expected), 1e-13);
          options.initial = options.initial.to(torch::kFloat32);
          const Tensor low = diagonal_scan(a, v.to(torch::kFloat32), options);
          EXPECT_EQ(low.scalar_type(), torch::kFloat32);
          // Inputs rounded to float, arithmetic in double, output rounded: no growth with L.
          EXPECT_LE(largest_difference(low, expected),
                    1.2e-7 * (1 + 10 * expected.abs().max().item<double>()));
        }
}

TEST(Scan, SameBitsOnOneThreadAndTwo) {
  const Tensor a = decaying(48), v = random_real({1, 5000, 96}, 3).to(torch::kFloat32);
  const int before = threads();
  set_threads(1);
  const Tensor one = diagonal_scan(a, v);
  set_threads(2);
  EXPECT_TRUE(diagonal_scan(a, v).equal(one));
  set_threads(before);
}

TEST(Scan, RowsBeyondTheCachesAreThoseOfShortChunks) {
  // 9 MB of states go past the caches, by a kernel of their own; chunks of 1000 rows do not.
  const Tensor a = decaying(256), v = random_real({1, 4501, 512}, 3).to(torch::kFloat32);
  for (const bool reverse : {false, true}) {
    const Tensor whole = diagonal_scan(a, v, {.reverse = reverse});
    const Tensor parts = diagonal_scan(a, v, {.reverse = reverse, .chunk = 1000});
    EXPECT_LE(largest_difference(whole, parts), 1e-6 * parts.abs().max().item<double>());
  }
}

TEST(Scan, GradientsOfPolesInputsAndInitialState) {
  for (const bool reverse : {false, true})
    for (const int64_t chunk : {0, 3}) {
      ScanOptions options{.reverse = reverse, .lengths = integers({11, 4}), .chunk = chunk};
      expect_gradients(
          [&](const auto& x) {
            options.initial = x[2];
            return diagonal_scan(x[0], x[1], options);
          },
          {decaying(5), random_real({2, 11, 10}, 3), random_real({2, 10}, 4)});
    }
}

TEST(Scan, ReversedIsTheFlippedOne) {
  const Tensor a = decaying(9), v = random_real({2, 30, 18}, 3);
  EXPECT_LE(largest_difference(diagonal_scan(a, v, {.reverse = true}),
                               diagonal_scan(a, v.flip(1)).flip(1)),
            1e-14);
}

TEST(Scan, RefusesLengthsOutsideTheSequence) {
  const Tensor a = decaying(2), v = random_real({2, 5, 4}, 3);
  EXPECT_THROW(diagonal_scan(a, v, {.lengths = integers({0, 5})}), InvalidArgument);
  EXPECT_THROW(diagonal_scan(a, v, {.lengths = integers({1, 6})}), InvalidArgument);
  EXPECT_THROW(diagonal_scan(a, v, {.lengths = integers({1})}), InvalidArgument);
  EXPECT_THROW(diagonal_scan(a, v.slice(2, 1)), InvalidArgument);
  EXPECT_THROW(diagonal_scan(a, v.slice(1, 0, 0)), InvalidArgument);
}

TEST(MimoScan, IsTheDenseSystemBothWays) {
  const int64_t B = 2, L = 23, H = 3, P = 5;
  const Tensor a = decaying(P), Bbar = random_complex({P, H}, 2), C = random_complex({H, 2 * P}, 3);
  const Tensor u = random_real({B, L, H}, 4), D = random_real({H}, 5);
  const Tensor lengths = integers({23, 9});
  const Tensor y = mimo_scan(u, a, Bbar, C, D, {.bidirectional = true, .lengths = lengths});
  const Tensor v = to_planar(u.to(torch::kComplexDouble).matmul(Bbar.t()));
  const auto x = [&](bool reverse) {
    return from_planar(sequential(a, v, {.reverse = reverse, .lengths = lengths}));
  };
  const Tensor expected = torch::real(torch::cat({x(false), x(true)}, 2).matmul(C.t())) + u * D;
  EXPECT_LE(largest_difference(y[0], expected[0]), 1e-13);
  EXPECT_LE(largest_difference(y[1].slice(0, 0, 9), expected[1].slice(0, 0, 9)), 1e-13);
  EXPECT_EQ(y[1].slice(0, 9).abs().max().item<double>(), 0);
  expect_gradients(
      [&](const auto& z) {
        return mimo_scan(z[0], z[1], z[2], z[3], z[4], {.bidirectional = true, .lengths = lengths});
      },
      {u, a, Bbar, C, D});
}

TEST(MimoScan, StepsAreTheScan) {
  const int64_t L = 40, H = 3, P = 7;
  const Tensor a = decaying(P), Bbar = random_complex({P, H}, 2), C = random_complex({H, P}, 3);
  const Tensor u = random_real({1, L, H}, 4), D = random_real({H}, 5);
  const Tensor y = mimo_scan(u, a, Bbar, C, D)[0];
  MimoStepper stepper(a, Bbar, C, D);
  for (int64_t l = 0; l < L; ++l) {
    if (l == 20) {
      const Tensor kept = stepper.state();
      stepper.reset();
      stepper.set_state(kept);
    }
    EXPECT_LE(largest_difference(stepper.step(u[0][l]), y[l]), 1e-13);
  }
}

struct Layer {
  Tensor log_a, a, Bbar, C, D;
};
Layer s4d(int64_t H, int64_t n) {
  const auto system = diagonal_hippo(n);
  const Tensor dt = torch::logspace(-3, -1, H, 10, torch::kFloat64).unsqueeze(1);
  const auto made = discretise(system.eigenvalues.expand({H, -1}), dt);
  const Tensor C =
      random_real({H, n}, 6).to(torch::kComplexDouble).matmul(system.W) * system.weights;
  return {made.log_a, made.a, made.gain * system.B, C, random_real({H}, 7)};
}

TEST(Modes, ConvolutionScanAndStepAgree) {
  const int64_t B = 2, H = 5, n = 13, L = 3000;
  const auto layer = s4d(H, n);
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    const Tensor u = random_real({B, H, L}, 9).to(type), D = layer.D.to(type);
    const Tensor K = vandermonde_kernel(layer.log_a, layer.Bbar * layer.C, L, type);
    const Tensor convolved = causal_convolution(u, K, D);
    const Tensor scanned = siso_scan(u, layer.a, layer.Bbar, layer.C, D);
    const double size = convolved.abs().max().item<double>();
    const double tolerance = (type == torch::kFloat32 ? 1e-5 : 1e-11) * size;
    EXPECT_EQ(scanned.scalar_type(), type);
    EXPECT_LE(largest_difference(scanned, convolved), tolerance);
    EXPECT_LE(largest_difference(CachedConvolution(K, {}, D, L)(u), convolved), tolerance);
    EXPECT_LE(largest_difference(CachedConvolution(K, {}, D, L)(u.slice(2, 0, 100)),
                                 convolved.slice(2, 0, 100)),
              tolerance);
    SisoStepper stepper(layer.a, layer.Bbar, layer.C, D);
    Tensor stepped = torch::empty_like(u[0]);
    for (int64_t l = 0; l < L; ++l) {
      if (l == 1000) {
        const Tensor kept = stepper.state();
        stepper.reset();
        stepper.set_state(kept);
      }
      stepped.select(1, l) = stepper.step(u[0].select(1, l));
    }
    EXPECT_LE(largest_difference(stepped, convolved[0]), tolerance);
  }
}

TEST(SisoScan, LengthsAndDirectionAreThoseOfTheWideScan) {
  const auto layer = s4d(3, 6);
  const Tensor u = random_real({2, 3, 150}, 9), lengths = integers({150, 70});
  for (const bool reverse : {false, true}) {
    const Tensor y = siso_scan(u, layer.a, layer.Bbar, layer.C, layer.D,
                               {.reverse = reverse, .lengths = lengths});
    const Tensor v = to_planar((u.transpose(1, 2).unsqueeze(3) * layer.Bbar).flatten(2));
    const Tensor x =
        from_planar(sequential(layer.a.flatten(), v, {.reverse = reverse, .lengths = lengths}));
    Tensor expected = torch::real((x.unflatten(2, {3, 3}) * layer.C).sum(3)).transpose(1, 2) +
                      u * layer.D.unsqueeze(1);
    expected[1].slice(1, 70).zero_();
    EXPECT_LE(largest_difference(y, expected), 1e-12);
  }
}

TEST(SisoScan, GradientsOfEveryArgument) {
  const auto layer = s4d(2, 5);
  for (const bool reverse : {false, true})
    expect_gradients(
        [&](const auto& x) {
          return siso_scan(x[0], x[1], x[2], x[3], x[4],
                           {.reverse = reverse, .lengths = integers({140, 65})});
        },
        {random_real({2, 2, 140}, 9), layer.a, layer.Bbar, layer.C, layer.D}, 1e-6);
}

TEST(Convolution, IsTheSumForOddSizesAndShortFilters) {
  for (const auto& [B, H, L, taps] : {std::array<int64_t, 4>{1, 1, 1, 1},
                                      {3, 2, 17, 17},
                                      {2, 3, 50, 20},
                                      {1, 2, 30, 80},
                                      {2, 1, 1000, 1000}})
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      const Tensor u = random_real({B, H, L}, 1).to(type), K = random_real({H, taps}, 2).to(type),
                   R = random_real({H, taps}, 3).to(type), D = random_real({H}, 4).to(type);
      Tensor causal = u * D.unsqueeze(1), both = causal.clone();
      for (int64_t l = 0; l < std::min(L, taps); ++l) {
        const auto delayed = u.slice(2, 0, L - l) * K.select(1, l).unsqueeze(1);
        causal.slice(2, l) += delayed;
        both.slice(2, l) += delayed;
        both.slice(2, 0, L - l) += u.slice(2, l) * R.select(1, l).unsqueeze(1);
      }
      const double tolerance =
          (type == torch::kFloat32 ? 2e-6 : 4e-15) * both.abs().max().item<double>();
      EXPECT_LE(largest_difference(causal_convolution(u, K, D), causal), tolerance) << L;
      EXPECT_LE(largest_difference(bidirectional_convolution(u, K, R, D), both), tolerance) << L;
      EXPECT_LE(largest_difference(CachedConvolution(K, R, D, L + 3)(u), both), tolerance) << L;
    }
}

TEST(Convolution, GradientsOfEveryArgument) {
  for (const int64_t B : {1, 2, 3})
    expect_gradients(
        [](const auto& x) { return bidirectional_convolution(x[0], x[1], x[2], x[3]); },
        {random_real({B, 2, 13}, 1), random_real({2, 13}, 2), random_real({2, 9}, 3),
         random_real({2}, 4)});
}

TEST(Convolution, RefusesWhatDoesNotFit) {
  const Tensor u = random_real({1, 2, 5}, 1), K = random_real({2, 5}, 2);
  EXPECT_THROW(causal_convolution(u, K.slice(0, 1)), InvalidArgument);
  EXPECT_THROW(causal_convolution(u, K.to(torch::kFloat32)), InvalidArgument);
  EXPECT_THROW(causal_convolution(u.slice(2, 0, 0), K), InvalidArgument);
  EXPECT_THROW(causal_convolution(u, K, random_real({3}, 1)), InvalidArgument);
  EXPECT_THROW(CachedConvolution(K, {}, {}, 4)(u), InvalidArgument);
}

}  // namespace
}  // namespace ritz::sequence
