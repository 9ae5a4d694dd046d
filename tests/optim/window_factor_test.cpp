// The small solves of a sliding window: three modes against the definition and each other.
#include "ritz/optim/window_factor.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

Tensor rows(int64_t m, int64_t d, uint64_t seed) {
  return ritz::RandomStream(seed, ritz::stream_id("test/rows")).normal({m, d}, at::kDouble);
}

/// (K + m lambda I)^-1 a / lambda
Tensor by_definition(const Tensor& K, double damping, const Tensor& a) {
  const int64_t m = K.size(0);
  const Tensor S = K + static_cast<double>(m) * damping * at::eye(m, at::kDouble);
  return at::linalg_solve(S, a) / damping;
}

double relative(const Tensor& found, const Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

TEST(WindowFactor, SolvesWithTheCurrentWindowInEveryModeHoweverOftenItSlid) {
  for (const int64_t m : {1, 2, 7, 16}) {
    for (const auto mode : {WindowMode::cholesky, WindowMode::paper, WindowMode::updown}) {
      WindowFactor factor(m, 1e-3, mode);
      Tensor G = at::zeros({m, 40}, at::kDouble), K = at::zeros({m, m}, at::kDouble);
      for (int64_t step = 0; step < 4 * m + 3; ++step) {
        const int64_t row = step % m;
        G[row].copy_(rows(1, 40, static_cast<uint64_t>(step))[0]);
        const Tensor s = G.mv(G[row]);
        K[row].copy_(s);
        K.select(1, row).copy_(s);
        factor.replaced(K, row);
        const Tensor a = G.mv(rows(1, 40, 1000)[0]);
        // Condition up to 40 / 1e-3: ten digits remain.
        EXPECT_LT(relative(factor.coefficients(a), by_definition(K, 1e-3, a)), 1e-9)
            << "m " << m << ", mode " << static_cast<int>(mode) << ", step " << step;
      }
    }
  }
}

// Rows replaced out of turn, as a loop that keeps some gradients longer would.
TEST(WindowFactor, TakesRowsInAnyOrder) {
  const int64_t m = 9;
  const Tensor order = ritz::RandomStream(3).integers({40}, 0, m);
  for (const auto mode : {WindowMode::cholesky, WindowMode::paper, WindowMode::updown}) {
    WindowFactor factor(m, 1e-2, mode);
    Tensor G = at::zeros({m, 20}, at::kDouble);
    for (int64_t step = 0; step < 40; ++step) {
      const int64_t row = order[step].item<int64_t>();
      G[row].copy_(rows(1, 20, static_cast<uint64_t>(step))[0]);
      factor.replaced(G.mm(G.t()), row);
    }
    const Tensor a = G.mv(rows(1, 20, 1000)[0]);
    EXPECT_LT(relative(factor.coefficients(a), by_definition(G.mm(G.t()), 1e-2, a)), 1e-10);
  }
}

TEST(WindowFactor, EliminationGivesTheDotsAndCombinationsOfTheRecursion) {
  const int64_t m = 6, d = 15;
  const double lambda = 1e-2;
  const Tensor G = rows(m, d, 1);
  WindowFactor factor(m, lambda, WindowMode::paper);
  factor.replaced(G.mm(G.t()), 0);
  Tensor F = lambda * at::eye(d, at::kDouble);  // F_{i-1}
  for (int64_t i = 0; i < m; ++i) {
    const Tensor v = at::linalg_solve(F, G[i]);
    EXPECT_LT(relative(G.t().mv(factor.B()[i]), v), 1e-10);
    for (int64_t j = i; j < m; ++j) {
      const double expected = G[j].dot(v).item<double>();
      EXPECT_NEAR(factor.D()[i][j].item<double>(), expected, 1e-9 * std::abs(expected) + 1e-9);
    }
    F = F + at::outer(G[i], G[i]) / static_cast<double>(m);
  }
}

TEST(WindowFactor, SurvivesEqualGradients) {
  const int64_t m = 8;
  const Tensor g = rows(1, 30, 1);
  for (const auto mode : {WindowMode::cholesky, WindowMode::paper, WindowMode::updown}) {
    WindowFactor factor(m, 1e-5, mode);
    Tensor K = at::zeros({m, m}, at::kDouble);
    const double norm2 = g.square().sum().item<double>();
    for (int64_t step = 0; step < 3 * m; ++step) {
      const int64_t row = step % m, filled = std::min(step + 1, m);
      K[row].narrow(0, 0, filled).fill_(norm2);
      K.select(1, row).narrow(0, 0, filled).fill_(norm2);
      factor.replaced(K, row);
    }
    // All rows equal: F = lambda I + g g^T, and e sums to what one row of capacity 1 would have.
    const Tensor e = factor.coefficients(at::full({m}, norm2, at::kDouble));
    EXPECT_NEAR(e.sum().item<double>() * 1e-5, norm2 / (norm2 + 1e-5), 1e-6);
  }
}

TEST(WindowFactor, RefusesBadArguments) {
  EXPECT_THROW(WindowFactor(0, 1e-3, WindowMode::paper), ritz::InvalidArgument);
  EXPECT_THROW(WindowFactor(3, 0, WindowMode::cholesky), ritz::InvalidArgument);
  EXPECT_THROW(parse_window_mode("lu"), ritz::InvalidArgument);
}

}  // namespace
