#include "ritz/manifold/stiefel.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

namespace {

using ritz::RandomStream;
using ritz::Tensor;
using ritz::manifold::StiefelMetric;
namespace manifold = ritz::manifold;
namespace stiefel = ritz::manifold::stiefel;

double epsilon(at::ScalarType type) {
  return c10::toRealValueType(type) == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                   : std::numeric_limits<float>::epsilon();
}
double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

struct Case {
  int64_t n, p;
  at::ScalarType type;
  std::vector<int64_t> batch;
};

// Odd sizes; square (no orthogonal complement); n < 2 p (a complement smaller than p); a batch.
class Stiefel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto& c = GetParam();
    RandomStream random(3, 5);
    X = manifold::random_point(random, c.n, c.p, c.type, c.batch);
    V = stiefel::project(X, random.normal(X.sizes(), c.type));
    V = V / at::linalg_vector_norm(V, 2, {-2, -1}, true);
    W = stiefel::project(X, random.normal(X.sizes(), c.type));
    Z = random.normal(X.sizes(), c.type);
    tolerance = 20 * static_cast<double>(c.p) * epsilon(c.type);
  }
  static constexpr StiefelMetric metrics[] = {StiefelMetric::euclidean, StiefelMetric::canonical};
  Tensor X, V, W, Z;
  double tolerance = 0;
};

INSTANTIATE_TEST_SUITE_P(Sizes, Stiefel,
                         testing::Values(Case{17, 5, at::kDouble, {}}, Case{17, 5, at::kFloat, {}},
                                         Case{7, 7, at::kDouble, {}}, Case{7, 5, at::kDouble, {}},
                                         Case{9, 1, at::kDouble, {}},
                                         Case{11, 3, at::kDouble, {2, 3}},
                                         Case{10, 4, at::kComplexDouble, {}}));

TEST_P(Stiefel, ProjectionIsTangentIdempotentAndOrthogonal) {
  EXPECT_LT(manifold::orthonormality_defect(X), tolerance);
  const auto S = X.mH().matmul(W);
  EXPECT_LT(largest(S + S.mH()), 10 * tolerance);
  EXPECT_LT(largest(stiefel::project(X, W) - W), 10 * tolerance);
  // What is taken off is orthogonal to every tangent vector.
  EXPECT_LT(largest(stiefel::inner(X, Z - stiefel::project(X, Z), W)), 50 * tolerance);
}

TEST_P(Stiefel, GradientRepresentsTheDerivativeInEachMetric) {
  for (const auto metric : metrics) {
    const auto gradient = stiefel::riemannian_gradient(X, Z, metric);
    const auto S = X.mH().matmul(gradient);
    EXPECT_LT(largest(S + S.mH()), 50 * tolerance);
    const auto derivative = at::real(Z.conj() * W).sum({-2, -1});
    EXPECT_LT(largest(stiefel::inner(X, gradient, W, metric) - derivative), 100 * tolerance);
  }
}

TEST_P(Stiefel, RetractionsStayOnTheManifoldAndFixTheOrigin) {
  const auto zero = at::zeros_like(V);
  for (const double length : {0.1, 3.0, 50.0}) {
    for (const auto& Y :
         {manifold::retract_qr(X, length * V), manifold::retract_polar(X, length * V),
          stiefel::exponential(X, length * V, StiefelMetric::euclidean),
          stiefel::exponential(X, length * V, StiefelMetric::canonical)}) {
      EXPECT_LT(manifold::orthonormality_defect(Y), tolerance) << length;
    }
  }
  EXPECT_LT(largest(manifold::retract_qr(X, zero) - X), tolerance);
  EXPECT_LT(largest(manifold::retract_polar(X, zero) - X), tolerance);
  EXPECT_LT(largest(stiefel::exponential(X, zero) - X), tolerance);
}

// log2 of how the error |f(h)| falls when h is halved.
template <typename F>
double order(const F& f, double h) {
  return std::log2(at::linalg_vector_norm(f(h)).template item<double>() /
                   at::linalg_vector_norm(f(h / 2)).template item<double>());
}

TEST_P(Stiefel, RetractionsAgreeWithTheGeodesicToTheirOrder) {
  if (c10::toRealValueType(GetParam().type) != at::kDouble) GTEST_SKIP() << "needs small steps";
  const auto against = [&](auto retract) {
    return order([&](double h) { return retract(X, h * V) - stiefel::exponential(X, h * V); },
                 1e-2);
  };
  // R(hV) = X + hV + O(h^2): the difference to the geodesic falls as h^2 at least, for a
  // second-order one as h^3.
  EXPECT_GT(order([&](double h) { return manifold::retract_qr(X, h * V) - X - h * V; }, 1e-2), 1.9);
  EXPECT_GT(order([&](double h) { return stiefel::exponential(X, h * V) - X - h * V; }, 1e-2), 1.9);
  EXPECT_GT(against(manifold::retract_polar), 2.9);
  if (GetParam().p > 1) {
    EXPECT_LT(against(manifold::retract_qr), 2.5) << "QR is of first order only";
  }
}

TEST_P(Stiefel, GeodesicsHaveConstantSpeedAndComposeWithThemselves) {
  for (const auto metric : metrics) {
    const double h = c10::toRealValueType(GetParam().type) == at::kDouble ? 1e-5 : 1e-2;
    const auto start = stiefel::inner(X, V, V, metric).sqrt();
    for (const double t : {0.0, 0.7, 2.0}) {
      const auto Y = stiefel::exponential(X, t * V, metric);
      const auto velocity = (stiefel::exponential(X, (t + h) * V, metric) -
                             stiefel::exponential(X, (t - h) * V, metric)) /
                            (2 * h);
      // Central difference: h^2 / 6 of the third derivative, plus rounding / h.
      const double error = h * h + 50 * tolerance / h;
      EXPECT_LT(largest(stiefel::inner(Y, velocity, velocity, metric).sqrt() - start), error) << t;
      if (h < 1e-4) {
        // Going on from Y with that velocity is the same geodesic.
        const auto further = stiefel::exponential(Y, 0.5 * stiefel::project(Y, velocity), metric);
        EXPECT_LT(largest(further - stiefel::exponential(X, (t + 0.5) * V, metric)), error) << t;
      }
    }
  }
}

TEST_P(Stiefel, TransportIsTangentAtTheNewPoint) {
  const auto Y = manifold::retract_qr(X, V);
  const auto S = Y.mH().matmul(stiefel::transport(Y, W));
  EXPECT_LT(largest(S + S.mH()), 10 * tolerance);
  EXPECT_LT(largest(stiefel::transport(X, W) - W), 10 * tolerance);
}

TEST(StiefelGeodesic, OnTheSphereIsAGreatCircle) {
  const auto X = at::tensor({1.0, 0.0, 0.0}, at::kDouble).unsqueeze(1);
  const auto V = at::tensor({0.0, 2.0, 0.0}, at::kDouble).unsqueeze(1);
  const auto expected = at::tensor({std::cos(2.0), std::sin(2.0), 0.0}, at::kDouble).unsqueeze(1);
  EXPECT_LT(largest(stiefel::exponential(X, V) - expected), 1e-15);
}

// A tangent vector that is zero in its first column: the QR factor of its normal part is arbitrary
// there.
TEST(StiefelGeodesic, SurvivesATangentWithoutFullRank) {
  auto X = at::eye(6, at::kDouble).narrow(1, 0, 3);
  auto V = at::zeros({6, 3}, at::kDouble);
  V[4][1] = 0.5;
  V[3][2] = -0.25;
  const auto Y = stiefel::exponential(X, V, StiefelMetric::canonical);
  EXPECT_LT(manifold::orthonormality_defect(Y), 1e-14);
  EXPECT_NEAR(Y[4][1].item<double>(), std::sin(0.5), 1e-15);
  EXPECT_NEAR(Y[2][2].item<double>(), std::cos(0.25), 1e-15);
}

TEST(RandomPoint, IsHaarDistributed) {
  // A column of a Haar matrix in n = 3 has coordinates uniform on [-1, 1]: mean 0, variance 1/3,
  // fourth 1/5.
  RandomStream random(1);
  const auto X = manifold::random_point(random, 3, 2, at::kDouble, {20000});
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 2; ++j) {
      const auto x = X.select(1, i).select(1, j);
      EXPECT_NEAR(x.mean().item<double>(), 0, 5 * std::sqrt(1.0 / 3 / 20000));
      EXPECT_NEAR(x.square().mean().item<double>(), 1.0 / 3,
                  5 * std::sqrt((0.2 - 1.0 / 9) / 20000));
    }
  }
}

TEST(StiefelErrors, NameWhatDoesNotFit) {
  const auto X = at::eye(4, at::kDouble).narrow(1, 0, 2);
  EXPECT_THROW(stiefel::project(X.t(), X.t()), ritz::InvalidArgument);
  EXPECT_THROW(stiefel::project(X, at::zeros({4, 3}, at::kDouble)), ritz::InvalidArgument);
  EXPECT_THROW(stiefel::exponential(X, at::zeros({4, 2}, at::kFloat)), ritz::InvalidArgument);
  EXPECT_THROW(manifold::retract_qr(X.to(at::kLong), X.to(at::kLong)), ritz::InvalidArgument);
  RandomStream random(0);
  EXPECT_THROW(manifold::random_point(random, 2, 3, at::kDouble), ritz::InvalidArgument);
}

}  // namespace
