// K in all its forms, rollouts, ridge solutions; LQR.
#include "ritz/koopman/learned/operator.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/koopman/learned/lqr.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return ritz::RandomStream(seed).normal(shape, at::kDouble);
}
double value(const Tensor& t) {
  return t.item<double>();
}
double distance(const Tensor& a, const Tensor& b) {
  return value((a - b).abs().max());
}
std::shared_ptr<Operator> made(OperatorKind kind, int64_t d) {
  auto op = std::make_shared<Operator>(OperatorOptions{.kind = kind, .latent = d, .seed = 3});
  op->to(at::kDouble);
  return op;
}
/// Moves every parameter away from its start.
void disturb(Operator& op) {
  const at::NoGradGuard no_graph;
  for (const Tensor& p : op.parameters()) p.add_(normal(p.sizes(), 9));
}

TEST(MatrixExponential, IsLibtorchsAndHasItsGradient) {
  for (const double size : {1e-3, 0.3, 5.0}) {
    const Tensor A = (size * normal({7, 7}, 1)).requires_grad_(true);
    const Tensor B = A.detach().clone().requires_grad_(true);
    const Tensor mine = matrix_exponential(A), theirs = at::matrix_exp(B);
    const double scale = value(theirs.detach().abs().max());
    EXPECT_LT(distance(mine.detach(), theirs.detach()), 1e-12 * scale) << size;
    const Tensor weights = normal({7, 7}, 2);
    (mine * weights).sum().backward();
    (theirs * weights).sum().backward();
    EXPECT_LT(distance(A.grad(), B.grad()), 1e-11 * scale) << size;
  }
  const Tensor f = normal({9, 9}, 3).to(at::kFloat);
  const Tensor skew = f - f.t();
  // An orthogonal matrix of order 9 after 5 squarings in float32.
  EXPECT_LT(distance(matrix_exponential(skew), at::matrix_exp(skew)), 2e-5);
}

TEST(Operator, StableNeverExpandsAndUnitaryKeepsLengths) {
  for (const int64_t d : {1, 6, 7}) {
    const auto stable = made(OperatorKind::stable, d);
    disturb(*stable);
    EXPECT_LE(value(at::linalg_matrix_norm(stable->matrix(), 2)), 1 + 1e-12) << d;
    const auto unitary = made(OperatorKind::unitary, d);
    const Tensor U = unitary->matrix();
    EXPECT_LT(distance(U.mm(U.t()), at::eye(d, at::kDouble)), 1e-12) << d;
  }
}

TEST(Operator, BlocksAreRotationsThatShrink) {
  for (const int64_t d : {1, 4, 5}) {
    const auto op = made(OperatorKind::blockdiag, d);
    disturb(*op);
    const Tensor K = op->matrix();
    const Tensor z = normal({3, d}, 4);
    EXPECT_LT(distance(op->advance(z), z.mm(K.t())), 1e-14);
    EXPECT_LE(value(at::linalg_matrix_norm(K, 2)), 1);
    if (d >= 2) {
      EXPECT_NEAR(value(K[0][0]), value(K[1][1]), 1e-15);
      EXPECT_NEAR(value(K[0][1]), -value(K[1][0]), 1e-15);
    }
  }
}

TEST(Operator, RolloutsAreRepeatedProducts) {
  for (const auto kind : {OperatorKind::learned, OperatorKind::stable, OperatorKind::blockdiag}) {
    const auto op = made(kind, 5);
    disturb(*op);
    const Tensor K = op->matrix().detach() / 2;
    const Tensor z = normal({3, 5}, 6);
    for (const int64_t H : {1, 2, 7, 8}) {
      const Tensor all = op->rollout(z, H);
      ASSERT_EQ(all.sizes(), (std::vector<int64_t>{3, H, 5}));
      Tensor state = z;
      for (int64_t h = 0; h < H; ++h) {
        state = op->advance(state);
        const double scale = 1 + value(state.abs().max());
        EXPECT_LT(distance(all.select(1, h), state), 1e-12 * scale) << h << " of " << H;
      }
      EXPECT_EQ(rollout(K, z, H).size(1), H);
    }
  }
}

TEST(Operator, OnlyRidgeIsGivenItsMatrix) {
  EXPECT_THROW(made(OperatorKind::stable, 3)->set_matrix(at::eye(3)), ritz::Unsupported);
  const auto op = made(OperatorKind::ridge, 3);
  op->set_matrix(2 * at::eye(3));
  EXPECT_EQ(value(op->matrix()[1][1]), 2);
  EXPECT_EQ(op->parameters().size(), 0U);
  EXPECT_THROW(op->set_matrix(at::eye(4)), ritz::InvalidArgument);
  EXPECT_THROW(Operator({.latent = 0}), ritz::InvalidArgument);
  EXPECT_THROW(parse_operator("free"), ritz::InvalidArgument);
  EXPECT_EQ(parse_operator("blockdiag"), OperatorKind::blockdiag);
}

TEST(RidgeMatrix, BothFormulasAreTheMeanOfTheSequencesSolutions) {
  const int64_t B = 3;
  for (const auto& [T, d] : {std::pair<int64_t, int64_t>{4, 7}, {9, 5}, {6, 6}}) {
    const Tensor z = normal({B, T, d}, 1), y = normal({B, T, 2}, 2);
    Tensor mean = at::zeros({2, d}, at::kDouble);
    for (int64_t b = 0; b < B; ++b) {
      const Tensor G = z[b].t().mm(z[b]) + 0.1 * at::eye(d, at::kDouble);
      mean += at::linalg_solve(G, z[b].t().mm(y[b])).t() / static_cast<double>(B);
    }
    EXPECT_LT(distance(ridge_matrix(z, y), mean), 1e-12) << T << " " << d;
  }
}

TEST(RidgeMatrix, GradientFlowsUnlessDetached) {
  const Tensor z = normal({2, 4, 6}, 1).requires_grad_(true), y = normal({2, 4, 6}, 2);
  EXPECT_TRUE(ridge_matrix(z, y).requires_grad());
  EXPECT_FALSE(ridge_matrix(z, y, {.detach = true}).requires_grad());
}

TEST(RidgeSums, FindTheMapOfLinearDataWithAnErrorOfTheRidgesOrder) {
  const Tensor K = 0.5 * normal({4, 4}, 3), z = normal({60, 4}, 4);
  double before = 0;
  for (const double ridge : {1e-2, 1e-4, 1e-6}) {
    RidgeSums sums(4, 4);
    sums.add(z.narrow(0, 0, 25), z.narrow(0, 0, 25).mm(K.t()));
    sums.add(z.narrow(0, 25, 35), z.narrow(0, 25, 35).mm(K.t()));
    const double error = distance(sums.solve(ridge), K);
    EXPECT_LT(error, 0.2 * ridge);
    if (before > 0) {
      EXPECT_NEAR(error / before, 1e-2, 1e-3);  // proportional to the ridge
    }
    before = error;
  }
  EXPECT_THROW(RidgeSums(3, 3).solve(), ritz::InvalidArgument);
}

TEST(Lqr, SolvesItsEquationAndStabilises) {
  for (const auto type : {at::kDouble, at::kFloat}) {
    const Tensor K = (0.6 * normal({6, 6}, 1)).to(type), B = normal({6, 2}, 2).to(type);
    const Tensor one = at::eye(6, type);
    EXPECT_GT(value(at::linalg_eigvals(K).abs().max()), 1);  // unstable without control
    const auto found = lqr(K, B, one, 0.5 * at::eye(2, type));
    EXPECT_LT(found.residual, type == at::kDouble ? 1e-11 : 1e-3);
    EXPECT_LT(found.closed_loop_radius, 1);
    EXPECT_LT(distance(found.cost, found.cost.t()), type == at::kDouble ? 1e-9 : 1e-2);
    EXPECT_EQ(found.gain.size(0), 2);
  }
}

TEST(Lqr, IsTheLimitOfTheRiccatiRecursion) {
  const Tensor K = 0.5 * normal({4, 4}, 5), B = normal({4, 1}, 6), Q = at::eye(4, at::kDouble),
               R = at::ones({1, 1}, at::kDouble);
  Tensor P = Q;
  for (int i = 0; i < 500; ++i) {
    const Tensor PB = P.mm(B);
    P = Q + K.t().mm(P).mm(K) - K.t().mm(PB).mm(at::linalg_solve(R + B.t().mm(PB), PB.t().mm(K)));
  }
  EXPECT_LT(distance(lqr(K, B, Q, R).cost, P), 1e-10 * value(P.abs().max()));
}

TEST(Lqr, SaysWhereItCannotControl) {
  const Tensor one = at::eye(2, at::kDouble);
  EXPECT_THROW(lqr(1.5 * one, at::zeros({2, 1}, at::kDouble), one, at::ones({1, 1}, at::kDouble)),
               ritz::NotConverged);
  EXPECT_THROW(lqr(one, one, one, -one), ritz::InvalidArgument);
  EXPECT_THROW(lqr(one, at::ones({3, 1}, at::kDouble), one, one), ritz::InvalidArgument);
}

}  // namespace
