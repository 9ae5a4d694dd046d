#include "ritz/koopman/dictionary.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <numbers>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace ritz::koopman {
namespace {

Tensor normal(at::IntArrayRef shape, uint64_t stream, c10::ScalarType type = torch::kFloat64) {
  return RandomStream(5, stream).normal(shape, type);
}

double difference(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

Tensor direct(const Kernel& k, const Tensor& a, const Tensor& b) {
  const Tensor gap = a.unsqueeze(1) - b.unsqueeze(0);
  const Tensor r2 = gap.abs().square().sum(2);
  const Tensor dot = (a.unsqueeze(1) * b.unsqueeze(0).conj()).sum(2);
  const double s2 = k.scale * k.scale;
  switch (k.kind) {
    case KernelKind::gaussian:
      return (-r2 / s2).exp();
    case KernelKind::laplacian:
      return (-r2.sqrt() / k.scale).exp();
    case KernelKind::lorentzian:
      return 1 / (1 + r2 / s2);
    case KernelKind::polynomial:
      return (dot / s2 + 1).pow(k.degree);
    default:
      return dot;
  }
}

constexpr KernelKind kKinds[] = {KernelKind::gaussian, KernelKind::laplacian,
                                 KernelKind::lorentzian, KernelKind::polynomial,
                                 KernelKind::linear};

TEST(Kernel, EveryKindIsItsFormulaOnRealAndComplexStates) {
  for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kComplexDouble}) {
    // More rows than a block has, far from the origin.
    const Tensor a = normal({2100, 3}, 1, type) + 5, b = normal({7, 3}, 2, type) + 5;
    const Tensor wide_a = a.to(a.is_complex() ? torch::kComplexDouble : torch::kFloat64);
    const Tensor wide_b = b.to(wide_a.dtype());
    for (const auto kind : kKinds) {
      const Kernel k{kind, 1.7, 3};
      const Tensor expected = direct(k, wide_a, wide_b);
      EXPECT_LT(difference(k(a, b), expected), 1e-9 * expected.abs().max().item<double>())
          << kernel_name(kind);
    }
  }
}

TEST(Kernel, GramMatricesAreHermitianToTheLastBitAndEqualTheProductForm) {
  for (const auto type : {torch::kFloat64, torch::kComplexDouble}) {
    const Tensor a = normal({1030, 2}, 3, type);
    for (const auto kind : kKinds) {
      const Kernel k{kind, 0.8, 2};
      const Tensor G = k.gram(a);
      EXPECT_TRUE(G.equal(G.mH().resolve_conj())) << kernel_name(kind);
      EXPECT_LT(difference(G, k(a, a)), 1e-9 * G.abs().max().item<double>());
    }
  }
}

TEST(Kernel, DistancesOfNearlyEqualStatesKeepTheirDigits) {
  const Tensor a = normal({20, 4}, 4) + 100;
  Tensor b = a.clone();
  b.add_(1e-7);
  const Tensor squares = squared_distances(a, b).diagonal();
  // The difference of the coordinates is itself rounded at 100 eps / 1e-7 = 2e-7.
  EXPECT_LT(difference(squares / 4e-14, torch::ones({20}, torch::kFloat64)), 1e-6);
  EXPECT_EQ(squared_distances(a, a).diagonal().abs().max().item<double>(), 0);
}

TEST(Kernel, ConstantDataHaveNoScale) {
  const Tensor constant = torch::full({5, 2}, 3., torch::kFloat64);
  EXPECT_THROW(make_kernel(KernelKind::gaussian, constant), InvalidArgument);
  EXPECT_THROW(make_kernel(KernelKind::polynomial, constant * 0), InvalidArgument);
  EXPECT_THROW(make_kernel(KernelKind::gaussian, constant, -1), InvalidArgument);
  EXPECT_THROW(parse_kernel("cauchy"), InvalidArgument);
  EXPECT_EQ(make_kernel(KernelKind::lorentzian, constant, 2).scale, 2);
  EXPECT_EQ(parse_kernel("laplacian"), KernelKind::laplacian);
}

TEST(Kernel, PrincipalSectionsAreOrthonormalInTheKernelsSpace) {
  const Kernel k{KernelKind::gaussian, 1.3};
  const Tensor G = k.gram(normal({40, 2}, 5));
  const Tensor T = principal_sections(G, 12);
  ASSERT_EQ(T.size(1), 12);
  EXPECT_LT(difference(T.t().matmul(G).matmul(T), torch::eye(12, torch::kFloat64)), 1e-10);
  const Tensor low = normal({40, 3}, 6);
  EXPECT_EQ(principal_sections(Kernel{KernelKind::linear}.gram(low)).size(1), 3);
}

TEST(Dictionary, PolynomialsAreTheFirstMonomialsInGradedOrder) {
  const Tensor x = normal({9, 3}, 7);
  const Tensor p = (*polynomial_dictionary(3, 12))(x);
  const Tensor a = x.select(1, 0), b = x.select(1, 1), c = x.select(1, 2);
  const Tensor expected = torch::stack({torch::ones_like(a), a, b, c, a * a, a * b, a * c, b * b,
                                        b * c, c * c, a * a * a, a * a * b},
                                       1);
  EXPECT_LT(difference(p, expected), 1e-14);
}

TEST(Dictionary, FourierWavesComeInPairsByDegree) {
  const Tensor x = normal({5, 1}, 8);
  const Tensor f = (*fourier_dictionary(1, 5, 3.))(x);
  const auto wave = [&](double k) {
    const Tensor phase = 2 * std::numbers::pi / 3 * k * x.select(1, 0);
    return at::complex(phase.cos(), phase.sin());
  };
  EXPECT_LT(difference(f, torch::stack({wave(0), wave(1), wave(-1), wave(2), wave(-2)}, 1)), 1e-14);
  // 1 + 4 + 8 waves of degree up to 2 in the plane, all different, closed under conjugation.
  const Tensor y = normal({60, 2}, 9);
  const Tensor g = (*fourier_dictionary(2, 13, 2 * std::numbers::pi))(y);
  EXPECT_EQ(at::linalg_matrix_rank(g).item<int64_t>(), 13);
  EXPECT_LT(difference(g.slice(1, 1, 13, 2), g.slice(1, 2, 13, 2).conj()), 1e-14);
  EXPECT_THROW((*fourier_dictionary(1, 3, 1))(x.to(torch::kComplexDouble)), InvalidArgument);
}

TEST(Dictionary, PodModesCarryTheSnapshotsAndDropWhatIsNotThere) {
  const Tensor data = normal({30, 3}, 10).matmul(normal({3, 8}, 11));
  const Snapshots s = trajectories(data);
  const auto pod = pod_dictionary(s, 0);
  ASSERT_EQ(pod->size(), 3);
  const Tensor c = (*pod)(s.x());
  EXPECT_NEAR(c.norm().item<double>(), s.x().norm().item<double>(), 1e-10);
  const Tensor gram = c.t().matmul(c);
  EXPECT_LT(difference(gram, gram.diagonal().diag()), 1e-9);
  EXPECT_EQ(pod_dictionary(s, 2)->size(), 2);
}

TEST(Dictionary, KMeansFindsSeparateClustersAndRepeatsItself) {
  const Tensor centres = torch::tensor({{0., 0.}, {10., 0.}, {0., 10.}}, torch::kFloat64);
  const Tensor rows = centres.repeat({50, 1}) + 0.1 * normal({150, 2}, 12);
  const Tensor found = k_means(rows, 3, {.seed = 3});
  EXPECT_LT(squared_distances(centres, found).amin(1).max().item<double>(), 0.01);
  EXPECT_TRUE(found.equal(k_means(rows, 3, {.seed = 3})));
  EXPECT_THROW(k_means(torch::ones({9, 2}), 3), InvalidArgument);  // one distinct state
}

TEST(Dictionary, RadialFunctionsDecayOnTheSpreadOfTheirSample) {
  const Tensor x = normal({8, 2}, 13), c = normal({3, 2}, 14);
  const Tensor expected = (-2 * (x.unsqueeze(1) - c.unsqueeze(0)).norm(2, 2) / 0.7).exp();
  EXPECT_LT(difference((*rbf_dictionary(c, 0.7))(x), expected), 1e-12);
}

TEST(Dictionary, EveryNameMakesALiftOfItsSize) {
  const Snapshots s = trajectories(normal({120, 2}, 15));
  struct Case {
    const char* name;
    int64_t size, expected;
  };
  for (const Case& c : {Case{"linear", 0, 2},
                        {"polynomial", 0, 6},
                        {"polynomial", 9, 9},
                        {"delay", 5, 10},
                        {"pod", 1, 1},
                        {"rbf", 17, 17},
                        {"fourier", 9, 9},
                        {"kernel:gaussian", 11, 11},
                        {"kernel:linear", 0, 2}}) {
    const Lift lift = make_lift({.name = c.name, .size = c.size}, s);
    EXPECT_EQ(lift.size(), c.expected) << c.name;
    const Snapshots ready = lift.prepare(s);
    EXPECT_EQ(lift.functions->dimension(), ready.dimension()) << c.name;
    EXPECT_EQ((*lift.functions)(ready.x(0, 3)).size(1), c.expected) << c.name;
  }
  EXPECT_THROW(make_lift({.name = "wavelet"}, s), InvalidArgument);
  EXPECT_THROW(make_lift({.name = "linear", .size = 3}, s), InvalidArgument);
  EXPECT_THROW(make_lift({.name = "fourier", .period = 0}, s), InvalidArgument);
}

TEST(Dictionary, KernelSectionsOfTheLinearKernelSpanTheFeatures) {
  const Snapshots s = trajectories(normal({50, 3}, 16));
  const Lift lift = make_lift({.name = "kernel:linear", .size = 10}, s);
  ASSERT_EQ(lift.size(), 3);
  const Tensor x = normal({7, 3}, 17), psi = (*lift.functions)(x);
  const Tensor fit = std::get<0>(at::linalg_lstsq(x, psi));
  EXPECT_LT(difference(x.matmul(fit), psi), 1e-10);
}

}  // namespace
}  // namespace ritz::koopman
