#include "ritz/design/design.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/design/detail/greedy.h"
#include "ritz/design/plan.h"
#include "tests/design/statistics.h"

namespace ritz::design {
namespace {

using tests::ks_distance;
using tests::Mean;

Tensor gram_of(const Space& V, const Design& made) {
  const Tensor rows = V.basis(made.points.to(torch::kFloat64)) * made.weights.sqrt().unsqueeze(1);
  return rows.t().mm(rows) / static_cast<double>(made.size());
}

// |z| of every entry of the mean of `of`(design) against `expected`, over draws.
template <class Of>
void expect_mean(const Space& V, DesignOptions options, const Tensor& expected, int64_t draws,
                 Of&& of) {
  std::vector<Mean> entries(static_cast<size_t>(expected.numel()));
  for (int64_t draw = 0; draw < draws; ++draw) {
    options.draw = static_cast<uint64_t>(draw);
    const Tensor value = of(design(V, options)).contiguous();
    for (size_t e = 0; e < entries.size(); ++e) entries[e].add(value.data_ptr<double>()[e]);
  }
  for (size_t e = 0; e < entries.size(); ++e)
    EXPECT_LT(std::abs(entries[e].z(expected.contiguous().data_ptr<double>()[e])), 4.5)
        << method_name(options.method) << " n = " << options.points << " entry " << e;
}

TEST(Design, ExpectedGramIsTheIdentityForEveryLaw) {
  const auto V = product_space({.family = "legendre,hermite", .dim = 2, .degree = 2});
  const Tensor I = torch::eye(6, torch::kFloat64);
  for (const auto& options :
       {DesignOptions{.method = Method::iid, .points = 9}, DesignOptions{.method = Method::dpp},
        DesignOptions{.method = Method::volume, .points = 8},
        DesignOptions{.method = Method::repeated_dpp, .points = 15},
        DesignOptions{.method = Method::monte_carlo, .points = 9},
        DesignOptions{.method = Method::iid, .points = 9, .weights = Weights::mixture},
        DesignOptions{.method = Method::repeated_dpp, .points = 15, .weights = Weights::mixture}})
    expect_mean(*V, options, I, 800, [&](const Design& made) { return gram_of(*V, made); });
}

TEST(Design, VolumeSamplingHasItsExpectedInverse) {
  // E[G^-1] = n / (n - m + 1) I; n = m + 7 leaves it a variance.
  const auto V = product_space({.degree = 2});
  expect_mean(*V, {.method = Method::volume, .points = 10},
              10 / 8. * torch::eye(3, torch::kFloat64), 3000,
              [&](const Design& made) { return torch::linalg_inv(gram_of(*V, made)); });
}

TEST(Design, IidPointsHaveTheirExpectedDeterminant) {
  // E det G = n! / ((n - m)! n^m)
  const auto V = product_space({.degree = 2});
  expect_mean(*V, {.method = Method::iid, .points = 5},
              torch::full({1}, 5 * 4 * 3 / 125., torch::kFloat64), 3000,
              [&](const Design& made) { return torch::linalg_det(gram_of(*V, made)).reshape(1); });
}

TEST(Design, VolumeSamplingOfMPointsIsTheDpp) {
  const auto V = product_space({.family = "hermite", .degree = 3});
  std::vector<double> marginal[2], spacing[2];
  for (uint64_t draw = 0; draw < 1500; ++draw)
    for (int which = 0; which < 2; ++which) {
      const auto made =
          design(*V, {.method = which == 0 ? Method::volume : Method::dpp,
                      .points = 4,
                      .sampler = which == 0 ? DppSampler::automatic : DppSampler::rejection,
                      .seed = static_cast<uint64_t>(which),
                      .draw = draw});
      const Tensor x = std::get<0>(made.points.flatten().sort());
      // Points of one design repel: one of them a design.
      marginal[which].push_back(x[static_cast<int64_t>(draw % 4)].item<double>());
      spacing[which].push_back((x[2] - x[1]).item<double>());
    }
  EXPECT_LT(ks_distance(marginal[0], marginal[1]), 1.95);
  EXPECT_LT(ks_distance(spacing[0], spacing[1]), 1.95);
}

TEST(Design, VolumeSamplingComesInRandomOrder) {
  // n = m + 3: the first point is one of the DPP's with probability m / n, so all have one law.
  const auto V = product_space({.degree = 3});
  std::vector<double> first, last;
  for (uint64_t draw = 0; draw < 1500; ++draw) {
    const auto made = design(*V, {.method = Method::volume, .points = 7, .draw = draw});
    first.push_back(made.points[0][0].item<double>());
    last.push_back(made.points[6][0].item<double>());
  }
  EXPECT_LT(ks_distance(first, last), 1.95);
}

TEST(Design, OptimalWeightsMakeEveryRowEquallyLong) {
  const auto V = product_space({.family = "laguerre", .degree = 6});
  const auto made = design(*V, {.points = 20});
  const Tensor k = V->basis(made.points).square().sum(1);
  EXPECT_TRUE(torch::allclose(made.weights * k, torch::full({20}, 7.0, torch::kFloat64), 1e-12));
  EXPECT_EQ(made.mixture, 0);
}

TEST(Design, TrigonometricWeightsAreOne) {
  const auto V = product_space({.family = "trigonometric", .dim = 2, .degree = 2});
  const auto made = design(*V, {.points = 30, .weights = Weights::optimal});
  EXPECT_LT((made.weights - 1).abs().max().item<double>(), 1e-12);
}

TEST(Design, MixtureWeightsAreBounded) {
  // 1/w >= h share: w <= 2 for the sup norm, w h <= 2 for a kernel.
  const auto V = product_space({.dim = 2, .degree = 4});
  for (const std::string name : {"uniform", "brownian", "polynomial:3"})
    for (const auto method : {Method::iid, Method::volume, Method::repeated_dpp}) {
      const auto kernel = kernel_diagonal(name, *V);
      const auto made = design(
          *V, {.method = method, .points = 50, .weights = Weights::mixture, .kernel = kernel});
      EXPECT_GE(made.mixture, 0.5);
      for (int64_t i = 0; i < 50; ++i) {
        const double h = kernel.h(made.points[i].contiguous().data_ptr<double>());
        EXPECT_LE(made.weights[i].item<double>() * h, 2 + 1e-12) << name;
      }
    }
}

TEST(Kernel, DiagonalsIntegrateToTheirConstant) {
  const auto V = product_space({.family = "legendre,jacobi:1,0,trigonometric", .dim = 3});
  for (const std::string name : {"gaussian", "brownian", "polynomial:2"}) {
    const auto kernel = kernel_diagonal(name, *V);
    Mean mean;
    const Tensor x = design(*V, {.method = Method::monte_carlo, .points = 20000}).points;
    for (int64_t i = 0; i < 20000; ++i) {
      const double h = kernel.h(x.data_ptr<double>() + 3 * i);
      EXPECT_LE(h * kernel.integral, kernel.supremum * (1 + 1e-12));
      mean.add(h);
    }
    EXPECT_LT(std::abs(mean.z(1)), 4.5) << name;
  }
  EXPECT_THROW(kernel_diagonal("sobolev", *V), InvalidArgument);
  EXPECT_THROW(kernel_diagonal("polynomial:0", *V), InvalidArgument);
  EXPECT_THROW(kernel_diagonal("brownian", *product_space({.family = "hermite"})), Unsupported);
}

TEST(Design, ConditioningDrawsUntilTheEventHolds) {
  const auto V = product_space({.degree = 9});
  const DesignOptions options{.method = Method::iid, .points = 25, .event = Event::two_sided};
  int64_t redraws = 0;
  for (uint64_t draw = 0; draw < 20; ++draw) {
    auto one = options;
    one.draw = draw;
    const auto made = design(*V, one);
    EXPECT_TRUE(made.holds);
    EXPECT_LE(deviation(Event::two_sided, made.eigenvalues), 0.9);
    EXPECT_TRUE(torch::allclose(gram_eigenvalues(*V, made.points, made.weights), made.eigenvalues,
                                1e-10, 1e-12));
    redraws += made.redraws;
  }
  EXPECT_GT(redraws, 0);
  auto free = options;
  free.event = Event::none;
  EXPECT_EQ(design(*V, free).redraws, 0);
}

TEST(Design, ConditioningThatFailsTellsTheQuantiles) {
  const auto V = product_space({.degree = 9});
  try {
    design(*V, {.method = Method::iid,
                .points = 10,
                .event = Event::two_sided,
                .delta = 0.1,
                .max_redraws = 20});
    FAIL();
  } catch (const NotConverged& error) {
    EXPECT_NE(std::string(error.what()).find("21 designs"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("median"), std::string::npos);
  }
}

TEST(Design, BoostingTakesTheBestOfItsDraws) {
  const auto V = product_space({.degree = 6});
  double single = 0, boosted = 0;
  for (uint64_t draw = 0; draw < 10; ++draw) {
    single +=
        deviation(Event::two_sided,
                  design(*V, {.method = Method::iid, .points = 20, .draw = draw}).eigenvalues);
    boosted += deviation(
        Event::two_sided,
        design(*V, {.method = Method::iid, .points = 20, .boost = 30, .draw = draw}).eigenvalues);
  }
  EXPECT_LT(boosted, 0.8 * single);
}

TEST(Design, GreedyRemovalStaysInTheEventAndAboveM) {
  const auto V = product_space({.degree = 6});
  for (const auto event : {Event::two_sided, Event::one_sided}) {
    const auto made =
        design(*V, {.method = Method::iid, .points = 60, .event = event, .greedy = true});
    EXPECT_EQ(made.size() + made.removed, 60);
    EXPECT_GE(made.size(), 8);
    EXPECT_LT(made.size(), 30);
    EXPECT_LE(deviation(event, made.eigenvalues), 0.9);
  }
  EXPECT_EQ(design(*V, {.points = 21, .greedy = true, .keep = 20}).size(), 20);
  EXPECT_THROW(design(*V, {.points = 21, .greedy = true, .keep = 6}), InvalidArgument);
}

TEST(Greedy, FastRuleIsNearTheExactOne) {
  const auto V = product_space({.degree = 4});
  double exact = 0, fast = 0;
  for (uint64_t draw = 0; draw < 8; ++draw) {
    const auto made = design(*V, {.method = Method::iid, .points = 50, .draw = draw});
    const Tensor rows = V->basis(made.points) * made.weights.sqrt().unsqueeze(1);
    const auto rest = [&](int64_t candidates) {
      const auto kept = detail::remove_greedily(rows, Event::two_sided, 0.999, 12, candidates);
      EXPECT_EQ(kept.size(), 12u);
      const Tensor left = rows.index_select(0, torch::tensor(kept));
      return deviation(Event::two_sided, torch::linalg_eigvalsh(left.t().mm(left) / 12));
    };
    exact += rest(0);
    fast += rest(5);
  }
  EXPECT_LT(fast, 1.3 * exact);
}

TEST(Greedy, RemovesTheWorstRowFirst) {
  // Two copies of an orthonormal frame and one long row: that row goes.
  Tensor rows = torch::cat({torch::eye(3, torch::kFloat64), torch::eye(3, torch::kFloat64),
                            torch::tensor({{1.2, 0.1, 0.0}}, torch::kFloat64)});
  rows = rows * std::sqrt(3.0);
  const auto kept = detail::remove_greedily(rows, Event::two_sided, 0.95, 6, 5);
  EXPECT_EQ(kept, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Design, RepeatsAreBitwiseAndIndependentOfThreads) {
  const auto V = product_space({.dim = 2, .degree = 3});
  const DesignOptions options{.method = Method::volume, .points = 17, .seed = 3};
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  const auto one = pilot(*V, options, 6);
  at::set_num_threads(before);
  for (uint64_t k = 0; k < 6; ++k) {
    auto single = options;
    single.draw = k;
    EXPECT_TRUE(design(*V, single).points.equal(one.designs[k].points));
  }
  EXPECT_FALSE(one.designs[0].points.equal(one.designs[1].points));
}

TEST(Design, CandidatesGiveRowNumbers) {
  const Tensor phi = RandomStream(4).normal({200, 5}, torch::kFloat64);
  const CandidateSpace V(phi, {}, {.orthonormalise = true});
  for (const auto method : {Method::iid, Method::dpp, Method::volume, Method::repeated_dpp,
                            Method::monte_carlo, Method::magic, Method::maxvol}) {
    const auto made = design(V, {.method = method});
    EXPECT_EQ(made.points.scalar_type(), torch::kInt64);
    EXPECT_EQ(made.points.size(1), 1);
    EXPECT_TRUE(torch::allclose(gram_eigenvalues(V, made.points, made.weights), made.eigenvalues,
                                1e-9, 1e-12));
  }
  EXPECT_THROW(design(V, {.method = Method::sobol}), Unsupported);
  EXPECT_THROW(design(V, {.method = Method::gauss}), Unsupported);
}

TEST(Design, GivesFloat32WhereAsked) {
  const auto V = product_space({.degree = 3});
  const auto made = design(*V, {.points = 9, .tensor = torch::kFloat32});
  EXPECT_EQ(made.points.scalar_type(), torch::kFloat32);
  EXPECT_EQ(made.weights.scalar_type(), torch::kFloat32);
}

TEST(Design, RefusesWhatCannotBe) {
  const auto V = product_space({.dim = 2, .degree = 2});
  EXPECT_THROW(design(*V, {.points = 5}), InvalidArgument);  // n < m
  EXPECT_THROW(design(*V, {.method = Method::dpp, .points = 7}), InvalidArgument);
  EXPECT_THROW(design(*V, {.delta = 1}), InvalidArgument);
  EXPECT_THROW(design(*V, {.delta = 0}), InvalidArgument);
  EXPECT_THROW(design(*V, {.boost = 0}), InvalidArgument);
  EXPECT_THROW(design(*V, {.max_redraws = -1}), InvalidArgument);
  EXPECT_THROW(design(*V, {.method = Method::dpp, .weights = Weights::mixture}), InvalidArgument);
  EXPECT_THROW(design(*V, {.points = 6, .weights = Weights::mixture}), InvalidArgument);
  EXPECT_THROW(design(*V, {.method = Method::gauss, .points = 8}), InvalidArgument);
  EXPECT_THROW(parse_method("sobolev"), InvalidArgument);
  EXPECT_THROW(parse_event("both"), InvalidArgument);
  EXPECT_EQ(parse_method(method_name(Method::latin_hypercube)), Method::latin_hypercube);
}

TEST(Plan, HasTheConstantsOfTheTheory) {
  EXPECT_NEAR(chernoff_constant(Event::two_sided, 0.9), 0.3195, 1e-4);
  EXPECT_NEAR(chernoff_constant(Event::two_sided, 0.5), 0.1082, 1e-4);
  EXPECT_NEAR(chernoff_constant(Event::one_sided, 0.9), 0.6697, 1e-4);
  EXPECT_NEAR(chernoff_constant(Event::one_sided, 0.5), 0.1534, 1e-4);
  EXPECT_EQ(theoretical_points(Event::two_sided, 0.9, 0.1, 10),
            static_cast<int64_t>(
                std::ceil(10 / chernoff_constant(Event::two_sided, 0.9) * std::log(200))));
  EXPECT_LT(theoretical_points(Event::two_sided, 0.9, 0.01, 10, 100),
            theoretical_points(Event::two_sided, 0.9, 0.01, 10));
  EXPECT_THROW(theoretical_points(Event::two_sided, 1, 0.1, 10), InvalidArgument);
  EXPECT_THROW(theoretical_points(Event::two_sided, 0.5, 0, 10), InvalidArgument);
}

TEST(Plan, RecommendsFewMultiplesOfM) {
  const auto V = product_space({.degree = 9});
  const auto made = plan(*V);
  EXPECT_EQ(made.m, 10);
  EXPECT_GE(made.probability, 0.9);
  EXPECT_LE(made.n_recommended, 40);
  EXPECT_GT(made.n_iid, 4 * made.n_recommended);
  EXPECT_EQ(made.tried.back().n, made.n_recommended);
}

TEST(Bounds, AreThoseOfTheTheorems) {
  EXPECT_DOUBLE_EQ(expected_error_bound(10, 30, 0.5, 0.8), 1 + (10 / 30.) / (0.25 * 0.8));
  EXPECT_DOUBLE_EQ(expected_error_bound(10, 30, 0.5, 0.8, 7), 1 + 7 * (10 / 30.) / (0.25 * 0.8));
  EXPECT_DOUBLE_EQ(stable_error_bound(0.5, 0.8), 1 + 1 / (0.5 * 0.8));
  EXPECT_DOUBLE_EQ(stable_error_bound(0.5, 0.8, 3), 1 + 3 / (0.5 * 0.8));
  EXPECT_NEAR(uniform_error_bound(0.5, 0.5), 1 + std::sqrt(2) / std::sqrt(0.5), 1e-12);
}

}  // namespace
}  // namespace ritz::design
