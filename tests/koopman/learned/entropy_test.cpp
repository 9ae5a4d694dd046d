// Entropy of latents: limits, invariances, both forms, and the closed gradient against differences.
#include "ritz/koopman/learned/entropy.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t seed = 1, at::ScalarType type = at::kDouble) {
  return ritz::RandomStream(seed).normal(shape, type);
}

Tensor orthogonal(int64_t d, uint64_t seed = 5) {
  return std::get<0>(at::linalg_qr(normal({d, d}, seed)));
}

double value(const Tensor& t) {
  return t.item<double>();
}

/// Central differences of f over every element of x.
template <class F>
Tensor differences(const F& f, const Tensor& x, double h) {
  Tensor gradient = at::zeros_like(x);
  for (int64_t i = 0; i < x.numel(); ++i) {
    Tensor up = x.clone(), down = x.clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    gradient.view(-1)[i] = (value(f(up)) - value(f(down))) / (2 * h);
  }
  return gradient;
}

TEST(Entropy, IsLogOfTheDimensionForEqualDirectionsAndZeroForOne) {
  const Tensor even = at::cat({at::eye(7, at::kDouble), -at::eye(7, at::kDouble)});
  EXPECT_NEAR(value(entropy(even)), std::log(7.0), 1e-12);
  const Tensor line = normal({20, 1}).mm(normal({1, 7}, 2));
  // The ridge leaves d values of 1e-8 / d: at most 1e-8 log(d 1e8).
  EXPECT_NEAR(value(entropy(line)), 0, 3e-7);
  EXPECT_NEAR(effective_dimension(even).effective, 7, 1e-10);
  EXPECT_NEAR(effective_dimension(line).effective, 1, 1e-6);
  EXPECT_NEAR(effective_dimension(even).trace, 1, 1e-14);
}

TEST(Entropy, DoesNotDependOnScaleRotationOrShift) {
  for (const int64_t n : {40, 5}) {
    const Tensor z = normal({n, 9}) * at::arange(1, 10, at::kDouble);
    const double S = value(entropy(z));
    EXPECT_NEAR(value(entropy(1e-6 * z)), S, 1e-9) << n;
    EXPECT_NEAR(value(entropy(z.mm(orthogonal(9)))), S, 1e-9) << n;
    EXPECT_NEAR(value(entropy(z + 3)), S, 1e-9) << n;
  }
}

TEST(Entropy, GramAndCovarianceFormsAgree) {
  const Tensor rows = normal({6, 11}).requires_grad_(true);  // n < d: Gram
  const Tensor gram = entropy(rows);
  const Tensor by_gram = torch::autograd::grad({gram}, {rows})[0];
  const Tensor centred = rows - rows.mean(0);
  const Tensor dense = covariance_entropy(centred.t().mm(centred) / 6);
  const Tensor by_covariance = torch::autograd::grad({dense}, {rows})[0];
  EXPECT_NEAR(value(gram), value(dense), 1e-12);
  EXPECT_LT(value((by_gram - by_covariance).abs().max()), 1e-9);
}

TEST(Entropy, GradientIsThatOfDifferences) {
  for (const int64_t n : {12, 4}) {
    const Tensor x = normal({n, 5}, 3).requires_grad_(true);
    const Tensor exact = torch::autograd::grad({entropy(x)}, {x})[0];
    const at::NoGradGuard no_graph;
    // The ridge only matters where eigenvalues vanish (n < d), and there the differences feel it.
    const Tensor rough = differences([](const Tensor& t) { return entropy(t); }, x.detach(), 1e-5);
    EXPECT_LT(value((exact - rough).abs().max()), 1e-7) << n;
  }
  const Tensor a = normal({6, 6}, 4);
  const Tensor C = (a.mm(a.t())).requires_grad_(true);
  const Tensor exact = torch::autograd::grad({covariance_entropy(C)}, {C})[0];
  const at::NoGradGuard no_graph;
  const Tensor direction = normal({6, 6}, 6);
  const Tensor symmetric = direction + direction.t();
  const double h = 1e-5;
  const double rough =
      value(covariance_entropy(C + h * symmetric) - covariance_entropy(C - h * symmetric)) /
      (2 * h);
  EXPECT_NEAR(value((exact * symmetric).sum()), rough, 1e-8);
}

TEST(Entropy, GradientIsFiniteWhereEigenvaluesCoincide) {
  const Tensor x =
      at::cat({at::eye(4, at::kDouble), -at::eye(4, at::kDouble)}).requires_grad_(true);
  const Tensor g = torch::autograd::grad({entropy(x)}, {x})[0];
  EXPECT_TRUE(g.isfinite().all().item<bool>());
  EXPECT_LT(value(g.abs().max()), 1e-7);  // a maximum of S
}

TEST(Entropy, OfBlocksIsTheMixtureFormula) {
  // rho = p rho_1 (+) (1 - p) rho_2: S = p S_1 + (1 - p) S_2 + h(p).
  const Tensor a = normal({3, 3}, 7), b = normal({4, 4}, 8);
  const Tensor C1 = a.mm(a.t()), C2 = b.mm(b.t());
  const double t1 = value(C1.trace()), t2 = value(C2.trace()), p = t1 / (t1 + t2);
  const double expected = p * value(covariance_entropy(C1, 0)) +
                          (1 - p) * value(covariance_entropy(C2, 0)) - p * std::log(p) -
                          (1 - p) * std::log(1 - p);
  EXPECT_NEAR(value(covariance_entropy(at::block_diag({C1, C2}), 0)), expected, 1e-12);
}

TEST(Entropy, ConstantRowsGiveZeroAndNoGradient) {
  const Tensor x = at::ones({6, 3}, at::kDouble).requires_grad_(true);
  const Tensor S = entropy(x);
  EXPECT_EQ(value(S), 0);
  EXPECT_EQ(value(torch::autograd::grad({S}, {x})[0].abs().max()), 0);
  EXPECT_EQ(effective_dimension(x.detach()).trace, 0);
}

TEST(Entropy, Float32FollowsFloat64) {
  const Tensor z = normal({50, 12}) * at::linspace(0.2, 2, 12, at::kDouble);
  EXPECT_NEAR(value(entropy(z.to(at::kFloat))), value(entropy(z)), 1e-5);
}

TEST(Entropy, RefusesWhatIsNoMatrixOfRows) {
  EXPECT_THROW(entropy(at::ones({3})), ritz::InvalidArgument);
  EXPECT_THROW(entropy(at::ones({3, 2}, at::kLong)), ritz::InvalidArgument);
  EXPECT_THROW(covariance_entropy(at::ones({3, 2})), ritz::InvalidArgument);
}

}  // namespace
