#include "ritz/koopman/kernel_edmd.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"

#include "ritz/koopman/tower.h"
#include "tests/koopman/systems.h"

namespace ritz::koopman {
namespace {

using namespace tests;

double apart(const Tensor& a, const Tensor& b) {
  const Tensor gap = (a.unsqueeze(1) - b.unsqueeze(0)).abs();
  return std::max(gap.amin(1).max().item<double>(), gap.amin(0).max().item<double>());
}

TEST(KernelEdmd, TheLinearKernelGivesDmd) {
  for (const auto type : {torch::kFloat64, torch::kComplexDouble}) {
    const Snapshots s = trajectories(normal({40, 6}, 1, type));
    const KernelEdmd fit = kernel_edmd({KernelKind::linear}, s);
    ASSERT_EQ(fit.rank(), 6);
    const Eigenpairs dmd = edmd(reduce(*linear_dictionary(6), s));
    EXPECT_LT(apart(at::linalg_eigvals(fit.K), dmd.values), 1e-10);
  }
}

TEST(KernelEdmd, ThePolynomialKernelIsEdmdOnAllMonomialsUpToSimilarity) {
  const Snapshots s = pairs(normal({50, 2}, 2), normal({50, 2}, 3));
  const KernelEdmd fit = kernel_edmd({KernelKind::polynomial, 1.3, 2}, s);
  ASSERT_EQ(fit.rank(), 6);
  const Eigenpairs explicit_features = edmd(reduce(*polynomial_dictionary(2, 6), s));
  EXPECT_LT(apart(at::linalg_eigvals(fit.K), explicit_features.values), 1e-9);
}

TEST(KernelEdmd, ItsFunctionsGiveTheSameMatrixByLeastSquares) {
  const Snapshots s = trajectories(normal({3, 20, 2}, 4));
  const KernelEdmd fit = kernel_edmd(make_kernel(KernelKind::gaussian, s.states), s, {.size = 15});
  const auto psi = fit.functions();
  const Tensor K = std::get<0>(at::linalg_lstsq((*psi)(s.x()), (*psi)(s.y())));
  EXPECT_LT(difference(K, fit.K), 1e-8);
  EXPECT_EQ(psi->size(), 15);
}

TEST(KernelEdmd, TrajectoriesAndGivenPairsGiveTheSameMatrices) {
  for (const auto& shape : {std::vector<int64_t>{41, 3}, {4, 11, 3}}) {
    const Snapshots s = trajectories(normal(shape, 5));
    const Snapshots given = pairs(s.x(), s.y());
    const Kernel kernel = make_kernel(KernelKind::lorentzian, s.states);
    const KernelEdmd a = kernel_edmd(kernel, s, {.size = 9}),
                     b = kernel_edmd(kernel, given, {.size = 9});
    // Eigenvectors have free signs: compare what does not see them.
    EXPECT_LT(apart(at::linalg_eigvals(a.K), at::linalg_eigvals(b.K)), 1e-9);
    EXPECT_LT(difference(at::linalg_eigvalsh(a.L), at::linalg_eigvalsh(b.L)), 1e-9);
  }
}

TEST(KernelEdmd, AdjointResidualsAreThoseOfTheKernelsSpace) {
  // The linear kernel's space is that of the features: K^* k_x = k_{Bx} makes the adjoint B itself,
  // and from fewer functions than features there is a residual to compare.
  const Tensor B = normal({5, 5}, 6) / 2;
  const Snapshots s = linear_pairs(B, 30);
  const KernelEdmd fit = kernel_edmd({KernelKind::linear}, s, {.size = 3});
  const AdjointModes modes = adjoint_modes(fit.K, fit.L);
  // f = sum_i (T u)_i k(., x_i) is the vector X^T T u, K^* f is B times it.
  const Tensor f = s.x().t().matmul(fit.T).to(torch::kComplexDouble).matmul(modes.left);
  const Tensor image = B.to(torch::kComplexDouble).matmul(f);
  const Tensor direct = (image - f * modes.values.conj()).norm(2, 0) / f.norm(2, 0);
  EXPECT_LT(difference(modes.residuals, direct), 1e-7);
  EXPECT_GT(direct.max().item<double>(), 0.1);
  const Tensor rise = modes.residuals.slice(0, 1) - modes.residuals.slice(0, 0, 2);
  EXPECT_GE(rise.min().item<double>(), 0);
  // Left and right belong together.
  const Tensor K = fit.K.to(torch::kComplexDouble);
  EXPECT_LT(difference(modes.left.mH().matmul(K), modes.values.unsqueeze(1) * modes.left.mH()),
            1e-10);
  EXPECT_LT(difference(K.matmul(modes.right), modes.right * modes.values), 1e-9);
}

TEST(KernelEdmd, AnInvariantSpaceHasNoResidual) {
  const Tensor B = normal({4, 4}, 7) / 2;
  const KernelEdmd fit = kernel_edmd({KernelKind::linear}, linear_pairs(B, 30));
  // The radicand is a difference of rounded squares: half the digits.
  EXPECT_LT(adjoint_modes(fit.K, fit.L).residuals.max().item<double>(), 1e-6);
}

TEST(KernelEdmd, ModesPutTheStatesTogetherAgain) {
  const Snapshots s = trajectories(normal({40, 5}, 9));
  const KernelEdmd fit = kernel_edmd({KernelKind::polynomial, 1, 2}, s);
  const AdjointModes modes = adjoint_modes(fit.K, fit.L);
  const Tensor phi = (*fit.functions())(s.x()).to(torch::kComplexDouble).matmul(modes.right);
  const Tensor again = phi.matmul(kernel_modes(fit, modes.right));
  EXPECT_LT(difference(again, s.x()), 1e-8);
}

TEST(KernelEdmd, WeightsAreRefused) {
  const Tensor x = normal({9, 2}, 8);
  EXPECT_THROW(kernel_edmd({KernelKind::linear}, pairs(x, x, {.weights = torch::ones({9})})),
               Unsupported);
}

TEST(Tower, NothingIsCertifiedThatWasNotTested) {
  for (const Task task : {Task::eigenpairs, Task::pseudospectrum, Task::spectrum,
                          Task::spectral_measure, Task::mixing, Task::forecast}) {
    const Tower bare = tower_of(task, {});
    EXPECT_FALSE(bare.certified);
    EXPECT_FALSE(bare.limits.empty());
    EXPECT_FALSE(bare.assumption.empty());
  }
  EXPECT_TRUE(tower_of(Task::eigenpairs, {.held_out = true}).certified);
  EXPECT_FALSE(tower_of(Task::eigenpairs, {.held_out = true, .adjoint = true}).certified);
  // Measure-preserving: the certificate needs the test passed and data held out, or a modulus.
  EXPECT_FALSE(tower_of(Task::spectrum, {.measure_preserving = true, .held_out = true}).certified);
  EXPECT_FALSE(
      tower_of(Task::spectrum, {.measure_preserving = true, .defect_within = true}).certified);
  const Tower two = tower_of(Task::spectrum,
                             {.measure_preserving = true, .defect_within = true, .held_out = true});
  EXPECT_TRUE(two.certified);
  EXPECT_EQ(two.limits.size(), 2u);
  const Tower one = tower_of(
      Task::spectrum, {.measure_preserving = true, .defect_within = true, .modulus_known = true});
  EXPECT_TRUE(one.certified);
  EXPECT_EQ(one.limits.size(), 1u);
  EXPECT_EQ(tower_of(Task::spectrum, {}).limits.size(), 3u);
}

}  // namespace
}  // namespace ritz::koopman
