#include "ritz/manifold/grassmann.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <numbers>

#include "ritz/base/error.h"

namespace {

using ritz::RandomStream;
using ritz::Tensor;
namespace manifold = ritz::manifold;
namespace grassmann = ritz::manifold::grassmann;

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}
double span_gap(const Tensor& X, const Tensor& Y) {
  return largest(X.matmul(X.mH()) - Y.matmul(Y.mH()));
}

struct Case {
  int64_t n, p;
  at::ScalarType type;
  std::vector<int64_t> batch;
};

class Grassmann : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto& c = GetParam();
    RandomStream random(4, 7);
    X = manifold::random_point(random, c.n, c.p, c.type, c.batch);
    V = grassmann::project(X, random.normal(X.sizes(), c.type));
    W = grassmann::project(X, random.normal(X.sizes(), c.type));
    V = V / at::linalg_matrix_norm(V, 2).unsqueeze(-1).unsqueeze(-1);  // largest angle 1
    const bool wide = c10::toRealValueType(c.type) == at::kDouble;
    tolerance =
        20 * static_cast<double>(c.p) *
        (wide ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon());
  }
  Tensor X, V, W;
  double tolerance = 0;
};

// n < 2 p forces principal angles that are zero.
INSTANTIATE_TEST_SUITE_P(Sizes, Grassmann,
                         testing::Values(Case{17, 5, at::kDouble, {}}, Case{17, 5, at::kFloat, {}},
                                         Case{7, 5, at::kDouble, {}}, Case{9, 1, at::kDouble, {}},
                                         Case{11, 3, at::kDouble, {2, 3}},
                                         Case{10, 4, at::kComplexDouble, {}}));

TEST_P(Grassmann, ProjectionIsHorizontalAndIdempotent) {
  EXPECT_LT(largest(X.mH().matmul(W)), 10 * tolerance);
  EXPECT_LT(largest(grassmann::project(X, W) - W), 10 * tolerance);
}

TEST_P(Grassmann, ExponentialReproducesItsAngles) {
  for (const double length : {1e-3, 0.5, 1.5}) {
    const auto Y = grassmann::exponential(X, length * V);
    EXPECT_LT(manifold::orthonormality_defect(Y), tolerance);
    const auto expected = at::linalg_svdvals(length * V).flip(-1);
    EXPECT_LT(largest(grassmann::principal_angles(X, Y) - expected), tolerance) << length;
    EXPECT_LT(largest(grassmann::distance(X, Y) - at::linalg_vector_norm(length * V, 2, {-2, -1})),
              2 * tolerance);
  }
}

TEST_P(Grassmann, LogarithmInvertsTheExponential) {
  for (const double length : {1e-3, 0.5, 1.5}) {
    const auto Y = grassmann::exponential(X, length * V);
    const auto Q =
        at::linalg_matrix_exp(at::triu(X.mH().matmul(Y), 1) - at::triu(X.mH().matmul(Y), 1).mH());
    const auto found = grassmann::logarithm(X, Y.matmul(Q));  // any basis of Y's span
    EXPECT_LT(largest(found - length * V), 5 * tolerance) << length;
  }
}

TEST_P(Grassmann, ParallelTransportIsAnIsometryOntoTheNewTangentSpace) {
  const auto Y = grassmann::exponential(X, V);
  const auto moved = grassmann::parallel_transport(X, V, W),
             along = grassmann::parallel_transport(X, V, V);
  EXPECT_LT(largest(Y.mH().matmul(moved)), 20 * tolerance);
  EXPECT_LT(largest(grassmann::inner(moved, moved) - grassmann::inner(W, W)), 100 * tolerance);
  EXPECT_LT(largest(grassmann::inner(moved, along) - grassmann::inner(W, V)), 100 * tolerance);
  // A geodesic carries its own velocity along.
  EXPECT_LT(largest(grassmann::exponential(Y, 0.3 * along) - grassmann::exponential(X, 1.3 * V)),
            20 * tolerance);
}

TEST_P(Grassmann, RetractionsAgreeWithTheGeodesicToSecondOrder) {
  if (c10::toRealValueType(GetParam().type) != at::kDouble) GTEST_SKIP() << "needs small steps";
  const auto order = [&](auto retract) {
    const auto gap = [&](double h) {
      return span_gap(retract(X, h * V), grassmann::exponential(X, h * V));
    };
    return std::log2(gap(1e-2) / gap(5e-3));
  };
  EXPECT_GT(order(manifold::retract_qr), 2.9);
  EXPECT_GT(order(manifold::retract_polar), 2.9);
}

TEST_P(Grassmann, TransportByProjectionIsHorizontal) {
  const auto Y = manifold::retract_qr(X, V);
  EXPECT_LT(largest(Y.mH().matmul(grassmann::transport(Y, W))), 10 * tolerance);
}

// Angles down to 1e-14 to nearly full relative accuracy, where cosines alone would give 0 or 1e-8;
// and right angles.
TEST(PrincipalAngles, AreAccurateWhereTinyAndWhereRight) {
  const auto angles = at::tensor({1e-14, 1e-9, 1e-4, 0.5, 1.2, std::numbers::pi / 2}, at::kDouble);
  const auto X = at::eye(12, at::kDouble).narrow(1, 0, 6);
  const auto Y = at::cat({at::diag(angles.cos()), at::diag(angles.sin())});
  RandomStream random(8);
  const auto turn = manifold::random_point(random, 12, 12, at::kDouble);
  const auto mix = manifold::random_point(random, 6, 6, at::kDouble);
  EXPECT_TRUE(at::allclose(grassmann::principal_angles(X, Y), angles, 1e-12, 0));
  // Turned, the angles carry the rounding of the points themselves: some eps, absolutely.
  const auto found = grassmann::principal_angles(turn.matmul(X).matmul(mix), turn.matmul(Y));
  EXPECT_LT(largest(found - angles), 1e-14);
}

TEST(PrincipalAngles, OfSubspacesOfDifferentDimension) {
  const auto eye = at::eye(7, at::kDouble);
  const auto X = eye.narrow(1, 0, 4);
  const auto Y = at::stack({eye[1], std::cos(0.3) * eye[2] + std::sin(0.3) * eye[5]}, 1);
  for (const auto& found : {grassmann::principal_angles(X, Y), grassmann::principal_angles(Y, X)}) {
    ASSERT_EQ(found.numel(), 2);
    EXPECT_NEAR(found[0].item<double>(), 0, 1e-15);
    EXPECT_NEAR(found[1].item<double>(), 0.3, 1e-15);
  }
}

TEST(PrincipalAngles, GiveTheChordalDistanceOfProjectors) {
  RandomStream random(9);
  const auto X = manifold::random_point(random, 9, 3, at::kDouble),
             Y = manifold::random_point(random, 9, 3, at::kDouble);
  const auto projectors =
      at::linalg_vector_norm(X.matmul(X.t()) - Y.matmul(Y.t())) / std::sqrt(2.0);
  EXPECT_NEAR(grassmann::chordal_distance(X, Y).item<double>(), projectors.item<double>(), 1e-14);
  EXPECT_THROW(grassmann::principal_angles(X, at::zeros({8, 3}, at::kDouble)),
               ritz::InvalidArgument);
}

}  // namespace
