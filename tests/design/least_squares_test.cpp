#include "ritz/design/least_squares.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/design/classical.h"
#include "tests/design/statistics.h"

namespace ritz::design {
namespace {

using tests::Mean;

Tensor smooth(const Tensor& x) {
  return (x.select(1, 0) - 0.5 * x.select(1, -1)).exp();
}

TEST(LeastSquares, RecoversWhatLiesInTheSpaceByEveryDesign) {
  const auto V = product_space({.family = "legendre", .dim = 2, .degree = 3, .index = "tensor"});
  const Tensor c = RandomStream(3).normal({16}, torch::kFloat64);
  for (const auto method : {Method::iid, Method::dpp, Method::volume, Method::repeated_dpp,
                            Method::monte_carlo, Method::sobol, Method::latin_hypercube,
                            Method::gauss, Method::chebyshev, Method::magic, Method::maxvol}) {
    const bool square =
        method == Method::dpp || method == Method::magic || method == Method::maxvol;
    const auto made = approximate(*V, [&](const Tensor& x) { return V->basis(x).mv(c); },
                                  {.method = method, .points = square ? 16 : 49, .seed = 2});
    // The error is eps times the square root of the condition of G: 1e-12 up to 1e7.
    EXPECT_LT((made.fit.coefficients - c).norm().item<double>(),
              1e-15 * std::sqrt(made.fit.condition) * 100)
        << method_name(method);
    EXPECT_LT(made.fit.condition, 1e5) << method_name(method);
    EXPECT_EQ(made.fit.loo_error.has_value(), !square);
  }
}

TEST(LeastSquares, GaussPointsGiveTheQuadratureProjection) {
  const auto V = product_space({.family = "hermite", .dim = 2, .degree = 4});
  const auto made = approximate(*V, smooth, {.method = Method::gauss, .points = 144});
  EXPECT_NEAR(made.fit.condition, 1, 1e-10);
  // E e^{x/...} phi_k phi_l = e^{a^2/2} a^k / sqrt(k!) products: a = 1 and -1/2.
  for (int64_t i = 0; i < V->size(); ++i) {
    const auto k = V->index()[i][0].item<double>(), l = V->index()[i][1].item<double>();
    const double expected =
        std::exp(0.625) * std::pow(-0.5, l) / std::sqrt(std::tgamma(k + 1) * std::tgamma(l + 1));
    EXPECT_NEAR(made.fit.coefficients[i].item<double>(), expected, 1e-9);
  }
}

TEST(LeastSquares, LeaveOneOutIsWhatLeavingOneOutGives) {
  const auto V = product_space({.degree = 4});
  const auto made = design(*V, {.points = 12});
  const Tensor y = smooth(made.points.repeat({1, 2}));
  const auto fit = fit_least_squares(*V, made.points, made.weights, y);
  double sum = 0;
  for (int64_t i = 0; i < 12; ++i) {
    const Tensor rest = torch::cat({torch::arange(i), torch::arange(i + 1, 12)});
    const auto without =
        fit_least_squares(*V, made.points.index_select(0, rest), made.weights.index_select(0, rest),
                          y.index_select(0, rest));
    const double miss =
        (y[i] - evaluate_fit(*V, without.coefficients, made.points.narrow(0, i, 1))[0])
            .item<double>();
    sum += made.weights[i].item<double>() / 12 * miss * miss;
  }
  EXPECT_NEAR(fit.loo_error.value(), std::sqrt(sum), 1e-9 * std::sqrt(sum));
}

TEST(LeastSquares, VolumeSamplingIsUnbiased) {
  // f = phi_0 + 2 phi_3 in the space of degree 2: E c = (1, 0, 0).
  const auto V = product_space({.degree = 2}), W = product_space({.degree = 3});
  const Tensor f = torch::tensor({1.0, 0.0, 0.0, 2.0}, torch::kFloat64);
  std::vector<Mean> c(3);
  for (uint64_t draw = 0; draw < 4000; ++draw) {
    const auto made = approximate(*V, [&](const Tensor& x) { return W->basis(x).mv(f); },
                                  {.method = Method::volume, .points = 6, .draw = draw});
    for (size_t j = 0; j < 3; ++j)
      c[j].add(made.fit.coefficients[static_cast<int64_t>(j)].item<double>());
  }
  for (size_t j = 0; j < 3; ++j) EXPECT_LT(std::abs(c[j].z(j == 0 ? 1 : 0)), 4.5) << j;
}

TEST(LeastSquares, TakesSeveralOutputsAndFloat32) {
  const auto V = product_space({.degree = 3});
  const auto made = design(*V, {.points = 10});
  const Tensor y = torch::stack({made.points.select(1, 0), made.points.select(1, 0).square()}, 1);
  const auto both = fit_least_squares(*V, made.points, made.weights, y);
  EXPECT_EQ(both.coefficients.sizes(), (std::vector<int64_t>{4, 2}));
  EXPECT_NEAR(both.coefficients[1][0].item<double>(), 1 / std::sqrt(3), 1e-13);
  EXPECT_NEAR(both.coefficients[0][1].item<double>(), 1 / 3., 1e-13);
  EXPECT_TRUE(torch::allclose(evaluate_fit(*V, both.coefficients, made.points), y, 1e-12, 1e-12));
  const auto single =
      fit_least_squares(*V, made.points.to(torch::kFloat32), made.weights.to(torch::kFloat32),
                        y.select(1, 0).to(torch::kFloat32));
  EXPECT_EQ(single.coefficients.scalar_type(), torch::kFloat32);
  EXPECT_NEAR(single.coefficients[1].item<double>(), 1 / std::sqrt(3), 1e-6);
}

TEST(LeastSquares, IllConditionedDesignsAreSolvedByQr) {
  // Two clusters of points: cond(G) of 1e10, coefficients to eps sqrt(1e10) times a constant.
  const auto V = product_space({.degree = 2});
  const Tensor x = torch::tensor({{0.0}, {1e-5}, {2e-5}, {1.0}, {1.0}}, torch::kFloat64);
  const Tensor c = torch::tensor({1.0, -2.0, 0.5}, torch::kFloat64);
  const auto fit = fit_least_squares(*V, x, torch::ones({5}, torch::kFloat64), V->basis(x).mv(c));
  EXPECT_GT(fit.condition, 1e8);
  EXPECT_LT((fit.coefficients - c).norm().item<double>(), 1e-9);
}

TEST(LeastSquares, RefusesBadInput) {
  const auto V = product_space({.degree = 3});
  const auto made = design(*V, {.points = 9});
  Tensor y = torch::ones({9}, torch::kFloat64);
  EXPECT_THROW(fit_least_squares(*V, made.points, made.weights, y.narrow(0, 0, 8)), DataError);
  EXPECT_THROW(fit_least_squares(*V, made.points, made.weights.narrow(0, 0, 8), y),
               InvalidArgument);
  EXPECT_THROW(fit_least_squares(*V, made.points.repeat({1, 2}), made.weights, y), InvalidArgument);
  EXPECT_THROW(fit_least_squares(*V, made.points, -made.weights, y), DataError);
  EXPECT_THROW(fit_least_squares(*V, torch::zeros({9, 1}, torch::kFloat64), made.weights, y),
               DataError);  // rank 1
  EXPECT_THROW(fit_least_squares(*V, made.points.narrow(0, 0, 3), made.weights.narrow(0, 0, 3),
                                 y.narrow(0, 0, 3)),
               DataError);
  const auto H = product_space({.family = "hermite", .degree = 200});
  EXPECT_THROW(evaluate_fit(*H, torch::ones({201}, torch::kFloat64),
                            torch::full({1, 1}, 1e10, torch::kFloat64)),
               Unsupported);
  y[2] = NAN;
  y[7] = INFINITY;
  try {
    fit_least_squares(*V, made.points, made.weights, y);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("points 2, 7"), std::string::npos) << error.what();
  }
}

TEST(Classical, SobolPointsFillEveryElementaryInterval) {
  // 2^k points have exactly one in each dyadic cell of a coordinate; a digital shift keeps that.
  const auto V = product_space({.family = "trigonometric", .dim = 3, .degree = 1});
  const Tensor u = design(*V, {.method = Method::sobol, .points = 64, .seed = 9}).points;
  for (int64_t j = 0; j < 3; ++j) {
    const Tensor cells = std::get<0>((u.select(1, j) * 64).floor().sort());
    EXPECT_TRUE(cells.equal(torch::arange(64, torch::kFloat64))) << j;
  }
}

TEST(Classical, LatinHypercubeHasOnePointInEachSlice) {
  const auto V = product_space({.family = "legendre", .dim = 2, .degree = 1});
  const Tensor x = design(*V, {.method = Method::latin_hypercube, .points = 15}).points;
  for (int64_t j = 0; j < 2; ++j) {
    const Tensor cells = std::get<0>(((x.select(1, j) + 1) / 2 * 15).floor().sort());
    EXPECT_TRUE(cells.equal(torch::arange(15, torch::kFloat64))) << j;
  }
}

TEST(Classical, ChebyshevPointsAreTheirCosines) {
  const auto V = product_space({.degree = 2});
  const auto made = design(*V, {.method = Method::chebyshev, .points = 3});
  EXPECT_NEAR(made.points[0][0].item<double>(), -std::sqrt(0.75), 1e-15);
  EXPECT_NEAR(made.points[1][0].item<double>(), 0, 1e-15);
  EXPECT_THROW(design(*product_space({.family = "hermite"}), {.method = Method::chebyshev}),
               InvalidArgument);
}

TEST(Classical, MagicAndMaxvolRows) {
  const Tensor phi = RandomStream(12).normal({300, 6}, torch::kFloat64);
  const Tensor magic = magic_rows(phi), best = maxvol_rows(phi);
  EXPECT_EQ(magic[0].item<int64_t>(), phi.select(1, 0).abs().argmax().item<int64_t>());
  const auto volume = [&](const Tensor& rows) {
    return std::abs(torch::linalg_det(phi.index_select(0, rows)).item<double>());
  };
  EXPECT_GE(volume(best), volume(magic));
  // Locally largest: no exchange gains more than 1 %.
  const Tensor B = torch::linalg_solve(phi.index_select(0, best), phi, /*left=*/false);
  EXPECT_LE(B.abs().max().item<double>(), 1.01 + 1e-10);
  Tensor dependent = phi.clone();
  dependent.select(1, 5).copy_(phi.select(1, 0) + phi.select(1, 1));
  EXPECT_THROW(magic_rows(dependent), DataError);
  EXPECT_THROW(maxvol_rows(phi, 1), InvalidArgument);
}

}  // namespace
}  // namespace ritz::design
