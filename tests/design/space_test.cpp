#include "ritz/design/space.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/design/detail/square_sampler.h"
#include "tests/design/statistics.h"

namespace ritz::design {
namespace {

using tests::Mean;

const char* const kFamilies[] = {"legendre",      "hermite",           "laguerre",
                                 "trigonometric", "jacobi:0.5,-0.5",   "jacobi:-0.5,-0.5",
                                 "jacobi:3,0",    "jacobi:0.25,12",    "laguerre:2.5",
                                 "laguerre:-0.5", "jacobi:-0.25,-0.25"};

Tensor to_tensor(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

TEST(Family, FunctionsAreOrthonormalUnderTheirMeasure) {
  for (const std::string name : kFamilies) {
    const auto family = parse_family(name);
    // Gauss's rule with 20 nodes is exact for products of degree 2 x 14; trigonometric ones of
    // frequency 2 x 7.
    const auto rule = gauss_rule(family, 20);
    const auto V = product_space({.family = name, .degree = name == "trigonometric" ? 7 : 14});
    const Tensor phi = V->basis(to_tensor(rule.nodes).unsqueeze(1));
    const Tensor gram = phi.t().mm(phi * to_tensor(rule.weights).unsqueeze(1));
    const double error = (gram - torch::eye(15, torch::kFloat64)).abs().max().item<double>();
    EXPECT_LT(error, 1e-11) << name;
  }
}

TEST(Family, GaussRuleIntegratesItsMoments) {
  // E x^4 = 3 under N(0, 1); E x^3 = 6 under e^{-x}; E x^2 = 1/3 uniform; arcsine law: 1/2.
  const auto moment = [](const char* name, double power) {
    const auto rule = gauss_rule(parse_family(name), 6);
    double sum = 0;
    for (size_t i = 0; i < rule.nodes.size(); ++i)
      sum += rule.weights[i] * std::pow(rule.nodes[i], power);
    return sum;
  };
  EXPECT_NEAR(moment("hermite", 4), 3, 1e-12);
  EXPECT_NEAR(moment("laguerre", 3), 6, 1e-11);
  EXPECT_NEAR(moment("legendre", 2), 1 / 3., 1e-14);
  EXPECT_NEAR(moment("jacobi:-0.5,-0.5", 2), 0.5, 1e-14);
  EXPECT_NEAR(moment("jacobi:1,0", 1), -1 / 3., 1e-14);  // weight 1 - x leans to the left
}

TEST(Family, QuantilesInvertTheDistribution) {
  // The median of x^2 e^{-x} / 2 and of (1 - x)^2: known to 8 digits and in closed form.
  EXPECT_NEAR(quantile(parse_family("laguerre:2"), 0.5), 2.67406031, 1e-7);
  EXPECT_NEAR(quantile(parse_family("jacobi:2,0"), 0.5), 1 - 2 * std::cbrt(0.5), 1e-8);
  EXPECT_NEAR(quantile(parse_family("jacobi:0,2"), 0.5), 2 * std::cbrt(0.5) - 1, 1e-8);
  EXPECT_NEAR(quantile(parse_family("jacobi:-0.5,-0.5"), 0.25), -std::sqrt(0.5), 1e-8);
  EXPECT_NEAR(quantile(parse_family("hermite"), 0.975), 1.959963984540054, 1e-12);
  EXPECT_NEAR(quantile(parse_family("laguerre"), 0.5), std::log(2), 1e-14);
  EXPECT_NEAR(quantile(parse_family("legendre"), 0.75), 0.5, 1e-15);
}

TEST(Family, DensitiesHaveMassOne) {
  for (const std::string name : {"jacobi:0.5,2", "laguerre:1.5", "legendre", "hermite"}) {
    const auto family = parse_family(name);
    const double low = name == "hermite" ? -12 : (name[0] == 'l' && name[1] == 'a' ? 0 : -1);
    const double high = name == "hermite" ? 12 : (name[0] == 'l' && name[1] == 'a' ? 80 : 1);
    const auto rule = gauss_rule({}, 200);
    double mass = 0;
    for (size_t i = 0; i < rule.nodes.size(); ++i)
      mass += rule.weights[i] * (high - low) *
              density(family, low + (high - low) * (1 + rule.nodes[i]) / 2);
    EXPECT_NEAR(mass, 1, 1e-6) << name;
  }
}

TEST(Family, RefusesWhatItCannotSample) {
  for (const char* bad : {"legendr", "jacobi", "jacobi:1", "jacobi:-0.6,0", "jacobi:0,nan",
                          "laguerre:-0.75", "legendre:1", "jacobi:1,2,3", ""})
    EXPECT_THROW(parse_family(bad), InvalidArgument) << bad;
  EXPECT_THROW(product_space({.family = "hermite", .degree = 251}), InvalidArgument);
  EXPECT_THROW(product_space({.family = "laguerre", .degree = 151}), InvalidArgument);
  EXPECT_THROW(parse_families("legendre,hermite", 3), InvalidArgument);
}

TEST(Family, ListsHaveOneACoordinate) {
  const auto families = parse_families("legendre,jacobi:0.5,0.25,laguerre", 3);
  EXPECT_EQ(families[1], (Family{FamilyKind::jacobi, 0.5, 0.25}));
  EXPECT_EQ(families[2].kind, FamilyKind::laguerre);
  EXPECT_EQ(families_name(families), "legendre,jacobi:0.5,0.25,laguerre");
  EXPECT_EQ(parse_families(families_name(families), 3), families);
  EXPECT_EQ(families_name(parse_families("hermite", 4)), "hermite");
}

TEST(SquareSampler, BoundsHoldEverywhereAndAreTight) {
  for (const std::string name : kFamilies) {
    if (name == "trigonometric") continue;
    for (const int64_t count : {1, 2, 7, 40}) {
      const detail::SquareSampler sampler(parse_family(name), count);
      std::vector<double> work(static_cast<size_t>(count));
      const double start = sampler.start(), length = sampler.end() - start;
      const int64_t points = 20000;
      for (int64_t k = 0; k < count; k += 1 + count / 5) {
        double mass = 0, bounds = 0, peak = 0;
        for (int64_t i = 0; i < points; i += 10) {
          const double t = start + length * (static_cast<double>(i) + 0.5) / points;
          peak = std::max(peak, sampler.bound(k, t));
        }
        for (int64_t i = 0; i < points; ++i) {
          const double t = start + length * (static_cast<double>(i) + 0.5) / points;
          const double value = sampler.squared(k, t, work.data()), most = sampler.bound(k, t);
          // Bounds are differences of their sums: those below the sums' rounding are lost.
          ASSERT_LE(value, most * (1 + 1e-11) + 1e-12 * peak)
              << name << " k = " << k << " t = " << t;
          mass += value;
          bounds += most;
        }
        EXPECT_GT(mass / bounds, k == count - 1 ? 0.6 : 0.5) << name << " k = " << k;
      }
    }
  }
}

TEST(SquareSampler, HasTheMomentsOfTheRecurrence) {
  // int x phi_k^2 = c_k, int x^2 phi_k^2 = s_k^2 + c_k^2 + s_{k+1}^2.
  for (const std::string name : kFamilies) {
    if (name == "trigonometric") continue;
    const auto family = parse_family(name);
    const FamilyFunctions f(family, 32);
    const detail::SquareSampler sampler(family, 31);
    detail::Variates variates(5, stream_id("test/square"));
    std::vector<double> work(31);
    for (const int64_t k : {0, 1, 5, 30}) {
      Mean first, second;
      for (int i = 0; i < 4000; ++i) {
        const double x = sampler.draw(k, variates, work.data());
        first.add(x);
        second.add(x * x);
      }
      const auto at = static_cast<size_t>(k);
      const double c = f.centres()[at], s = f.steps()[at], next = f.steps()[at + 1];
      EXPECT_LT(std::abs(first.z(c)), 4.5) << name << " k = " << k;
      EXPECT_LT(std::abs(second.z(s * s + c * c + next * next)), 4.5) << name << " k = " << k;
    }
  }
}

TEST(Variates, HaveTheirMoments) {
  detail::Variates variates(1, stream_id("test/variates"));
  for (const double shape : {0.3, 1.0, 7.5}) {
    Mean mean, square, beta;
    for (int i = 0; i < 20000; ++i) {
      const double x = variates.gamma(shape);
      mean.add(x);
      square.add(x * x);
      beta.add(variates.beta(shape, 2));
    }
    EXPECT_LT(std::abs(mean.z(shape)), 4.5);
    EXPECT_LT(std::abs(square.z(shape * (shape + 1))), 4.5);
    EXPECT_LT(std::abs(beta.z(shape / (shape + 2))), 4.5);
  }
  Mean fourth;
  for (int i = 0; i < 20000; ++i) fourth.add(std::pow(variates.normal(), 4));
  EXPECT_LT(std::abs(fourth.z(3)), 4.5);
}

TEST(IndexSet, IsGradedLexicographic) {
  const Tensor total = index_set(parse_families("legendre", 2), {.degree = 2});
  EXPECT_TRUE(
      total.equal(torch::tensor({{0, 0}, {0, 1}, {1, 0}, {0, 2}, {1, 1}, {2, 0}}, torch::kInt64)));
}

TEST(IndexSet, HasTheKnownSizes) {
  const auto size = [](const char* family, int64_t d, IndexKind kind, int64_t degree) {
    return index_set(parse_families(family, d), {.kind = kind, .degree = degree}).size(0);
  };
  EXPECT_EQ(size("legendre", 3, IndexKind::tensor, 4), 125);
  EXPECT_EQ(size("hermite", 3, IndexKind::total, 4), 35);        // (7 over 3)
  EXPECT_EQ(size("legendre", 2, IndexKind::hyperbolic, 5), 14);  // sum of floor(6 / i)
  EXPECT_EQ(size("trigonometric", 2, IndexKind::tensor, 3), 49);
  EXPECT_EQ(size("trigonometric", 1, IndexKind::total, 6), 13);
  EXPECT_EQ(size("legendre", 50, IndexKind::total, 2), 1326);
}

TEST(IndexSet, AnisotropyLimitsEachCoordinate) {
  const auto families = parse_families("legendre", 2);
  const auto boxed =
      index_set(families, {.kind = IndexKind::tensor, .degree = 6, .anisotropy = {1, 3}});
  EXPECT_EQ(boxed.size(0), 7 * 3);
  EXPECT_EQ(boxed.select(1, 1).max().item<int64_t>(), 2);
  EXPECT_THROW(index_set(families, {.degree = 3, .anisotropy = {1}}), InvalidArgument);
  EXPECT_THROW(index_set(families, {.degree = 3, .anisotropy = {1, 0}}), InvalidArgument);
  EXPECT_THROW(index_set(parse_families("legendre", 20), {.kind = IndexKind::tensor}),
               InvalidArgument);  // 6^20 functions
}

TEST(ProductSpace, IsTheProductOfItsFunctions) {
  const auto V = product_space({.family = "legendre,hermite", .dim = 2, .degree = 3});
  const auto A = product_space({.family = "legendre", .degree = 3});
  const auto B = product_space({.family = "hermite", .degree = 3});
  const Tensor x = RandomStream(2).normal({9, 2}, torch::kFloat64);
  const Tensor a = A->basis(x.narrow(1, 0, 1)), b = B->basis(x.narrow(1, 1, 1));
  const Tensor phi = V->basis(x);
  for (int64_t i = 0; i < V->size(); ++i) {
    const auto j = V->index()[i][0].item<int64_t>(), k = V->index()[i][1].item<int64_t>();
    EXPECT_TRUE(torch::allclose(phi.select(1, i), a.select(1, j) * b.select(1, k), 1e-13, 1e-13));
  }
  const Tensor single = V->basis(x.to(torch::kFloat32));
  EXPECT_EQ(single.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::allclose(single.to(torch::kFloat64), phi, 1e-4, 1e-4));
}

TEST(ProductSpace, TensorOperationsGiveTheSameAndGradients) {
  const auto V = product_space({.family = "jacobi:0.5,1,trigonometric,laguerre:1",
                                .dim = 3,
                                .degree = 3,
                                .index = "tensor"});
  const Tensor x = RandomStream(5).uniform({7, 3}, torch::kFloat64);
  const Tensor leaf = x.clone().requires_grad_(true);  // takes the way of other devices
  const Tensor phi = V->basis(leaf);
  EXPECT_TRUE(torch::allclose(phi, V->basis(x), 1e-12, 1e-12));
  const Tensor slope = torch::autograd::grad({phi.sum()}, {leaf})[0];
  const double h = 1e-6;
  for (int64_t j = 0; j < 3; ++j) {
    const Tensor step = torch::zeros({3}, torch::kFloat64).index_fill_(0, torch::tensor({j}), h);
    const Tensor difference = (V->basis(x + step) - V->basis(x - step)).sum(1) / (2 * h);
    EXPECT_TRUE(torch::allclose(slope.select(1, j), difference, 1e-5, 1e-5)) << j;
  }
}

TEST(ProductSpace, TakesAListOfFunctions) {
  const auto families = parse_families("legendre", 2);
  const ProductSpace V(families, torch::tensor({{0, 0}, {4, 0}, {1, 7}}, torch::kInt64));
  EXPECT_EQ(V.size(), 3);
  EXPECT_FALSE(V.has_tridiagonal_dpp());
  EXPECT_THROW(ProductSpace(families, torch::tensor({{0, 0}, {0, 0}}, torch::kInt64)),
               InvalidArgument);
  EXPECT_THROW(ProductSpace(families, torch::tensor({{0, -1}}, torch::kInt64)), InvalidArgument);
  EXPECT_THROW(ProductSpace(families, torch::zeros({2, 3}, torch::kInt64)), InvalidArgument);
}

TEST(ProductSpace, TrigonometricPairsHaveAConstantChristoffelFunction) {
  const auto V = product_space({.family = "trigonometric", .dim = 2, .degree = 3});
  const Tensor k = V->basis(RandomStream(4).uniform({50, 2}, torch::kFloat64)).square().sum(1);
  EXPECT_LT((k - static_cast<double>(V->size())).abs().max().item<double>(), 1e-11);
}

TEST(CandidateSpace, ChecksOrMakesOrthonormalColumns) {
  const Tensor raw = RandomStream(6).normal({300, 4}, torch::kFloat64);
  EXPECT_THROW(CandidateSpace{raw}, DataError);
  const Tensor p = RandomStream(7).uniform({300}, torch::kFloat64);
  const CandidateSpace made(raw, p, {.orthonormalise = true});
  EXPECT_GT(made.defect(), 1e-2);
  const Tensor gram = made.phi().t().mm(made.phi() * made.measure().unsqueeze(1));
  EXPECT_LT((gram - torch::eye(4, torch::kFloat64)).abs().max().item<double>(), 1e-13);
  EXPECT_NO_THROW((CandidateSpace{made.phi(), p}));
  EXPECT_NO_THROW((CandidateSpace{made.phi().to(torch::kFloat32), p}));
}

TEST(CandidateSpace, RefusesBadInput) {
  Tensor phi = RandomStream(8).normal({20, 3}, torch::kFloat64);
  const CandidateSpace::Options make{.orthonormalise = true};
  EXPECT_THROW(CandidateSpace(phi, torch::full({20}, -1.0, torch::kFloat64), make),
               InvalidArgument);
  EXPECT_THROW(CandidateSpace(phi, torch::zeros({20}, torch::kFloat64), make), InvalidArgument);
  EXPECT_THROW(CandidateSpace(phi, torch::ones({19}, torch::kFloat64), make), InvalidArgument);
  EXPECT_THROW(CandidateSpace(phi.t(), {}, make), InvalidArgument);  // fewer rows than columns
  Tensor dependent = phi.clone();
  dependent.select(1, 2).copy_(2 * phi.select(1, 0));
  EXPECT_THROW(CandidateSpace(dependent, {}, make), DataError);
  phi[4][1] = NAN;
  EXPECT_THROW(CandidateSpace(phi, {}, make), InvalidArgument);
}

TEST(CandidateSpace, DropsCandidatesWhereEveryFunctionIsZero) {
  Tensor phi = RandomStream(9).normal({40, 2}, torch::kFloat64);
  phi.narrow(0, 10, 5).zero_();
  const CandidateSpace V(phi, {}, {.orthonormalise = true});
  EXPECT_EQ(V.dropped(), 5);
  detail::Variates variates(1, 2);
  std::vector<double> points(2000);
  V.draw_christoffel(2000, variates, points.data(), nullptr);
  for (const double i : points) EXPECT_TRUE(i < 10 || i >= 15);
}

}  // namespace
}  // namespace ritz::design
