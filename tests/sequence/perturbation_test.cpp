#include "ritz/sequence/perturbation.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <fstream>

#include "ritz/base/error.h"
#include "ritz/sequence/discretise.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/transfer.h"
#include "ritz/sequence/vandermonde.h"
#include "tests/io/temporary_folder.h"
#include "tests/sequence/gradient_check.h"

namespace ritz::sequence {
namespace {

using test::largest_difference;
using test::random_complex;
using test::random_real;

Tensor imaginary(const std::vector<double>& w) {
  const Tensor omega = torch::tensor(w, torch::kFloat64);
  return torch::complex(torch::zeros_like(omega), omega);
}

TEST(Transfer, ResolventIsTheDenseSolution) {
  for (const int64_t n : {1, 2, 7, 20}) {
    const Tensor s =
        torch::cat({imaginary({0, 0.3, -2, 50}), random_complex({3}, 1) + 2,
                    torch::tensor({0., 1., 3.}, torch::kFloat64).to(torch::kComplexDouble)});
    const Tensor found = hippo_resolvent(n, s), A = hippo_matrix(n).to(torch::kComplexDouble);
    for (int64_t i = 0; i < s.size(0); ++i) {
      const Tensor dense =
          at::linalg_solve(s[i] * torch::eye(n, A.options()) - A, hippo_input(n).to(A.options()));
      EXPECT_LE(largest_difference(found[i], dense), 1e-11 * (1 + dense.abs().max().item<double>()))
          << n << " " << i;
    }
  }
}

TEST(Transfer, IdentitiesOfTheSheet) {
  for (const int64_t n : {1, 6, 33}) {
    const Tensor s = imaginary({0, 0.01, 1, 17.5, 400}), q = hippo_ratio(n, s);
    const Tensor B = hippo_input(n), C = random_real({n}, 3);
    // (b) B^T (sI - A)^-1 B = 1 - q
    EXPECT_LE(largest_difference(hippo_transfer(B, s), 1 - q), 1e-12 * double(n));
    // (c) G_S4 = (1 + q) G_S4D
    for (const auto storage : {Storage::full, Storage::conjugate}) {
      const Tensor s4 = hippo_transfer(C, s);
      const Tensor s4d = diagonal_transfer(diagonal_hippo(n, {.storage = storage}), C, s);
      EXPECT_LE(largest_difference((1 + q) * s4d, s4), 1e-10 * s4.abs().max().item<double>());
    }
    // (d) |q(iw)| = |w| / sqrt(n^2 + w^2)
    const Tensor w = torch::imag(s);
    EXPECT_LE(largest_difference(q.abs(), w / (w * w + double(n * n)).sqrt()), 1e-13);
  }
  // No product of 5000 factors over- or underflows.
  EXPECT_NEAR(hippo_ratio(5000, imaginary({1e6})).abs()[0].item<double>(),
              1e6 / std::sqrt(25e6 + 1e12), 1e-9);
}

TEST(Transfer, TopSpikeOfS4dGrowsAsTheSheetMeasured) {
  // 1 / |1 + q_n(i w*)| at w* = max Im eig(A_n): 13.80, 208.3, 830.9.
  for (const auto& [n, height] : {std::pair<int64_t, double>{8, 13.80}, {32, 208.3}, {64, 830.9}}) {
    const double top = torch::imag(hippo_normal_part(n).eigenvalues).max().item<double>();
    const double spike = 1 / (1 + hippo_ratio(n, imaginary({top}))).abs()[0].item<double>();
    EXPECT_NEAR(spike, height, 1e-3 * height);
  }
}

TEST(SupError, OfS4dIsTheIdentitysMaximum) {
  // e = -q/(1+q) (iw - A_H)^-1 b, by (c): on a very fine grid around the top spike.
  const int64_t n = 12;
  const auto none = perturb_hippo(n, {.generator = Generator::none});
  const double top = torch::imag(none.eigenvalues).max().item<double>();
  double most = 0;
  for (const Tensor& m : {none.eigenvalues})
    for (int64_t i = n / 2; i < n; ++i) {
      const double at = torch::imag(m[i]).item<double>();
      const Tensor w = at + torch::linspace(-1, 1, 4001, torch::kFloat64);
      const Tensor s = torch::complex(torch::zeros_like(w), w), q = hippo_ratio(n, s);
      const Tensor e =
          (q / (1 + q)).abs() * torch::real(hippo_resolvent(n, s).norm(2, {1})) / double(n);
      most = std::max(most, e.max().item<double>());
    }
  EXPECT_GT(top, 30);
  EXPECT_NEAR(*none.sup_error, most, 1e-5 * most);
  EXPECT_NEAR(*perturb_hippo(32, {.generator = Generator::none}).sup_error, 0.634, 5e-4);
}

TEST(EigenLoss, GradientIsThatOfFiniteDifferences) {
  for (const auto conditioning : {Conditioning::two_norm, Conditioning::frobenius})
    for (const bool complex : {false, true}) {
      const int64_t n = 6;
      const Tensor A = complex ? random_complex({n, n}, 1) : random_real({n, n}, 2);
      const Tensor d = complex ? random_complex({n, n}, 3) : random_real({n, n}, 4);
      const EigenObjective objective{.conditioning = conditioning, .penalty = 3, .abscissa = -0.5};
      const auto loss = [&](double h) {
        return eigen_loss(eigensystem(A + h * d), objective).loss;
      };
      const double h = 1e-6, expected = (loss(h) - loss(-h)) / (2 * h);
      const Tensor G = eigen_loss(eigensystem(A), objective).gradient;
      EXPECT_NEAR(torch::real((G.conj() * d).sum()).item<double>(), expected,
                  1e-6 * (1 + std::abs(expected)));
    }
}

TEST(EigenLoss, IsZeroForNormalMatrices) {
  const Tensor A = random_real({5, 5}, 1), normal = A + A.t();
  for (const auto conditioning : {Conditioning::two_norm, Conditioning::frobenius})
    EXPECT_NEAR(eigen_loss(eigensystem(normal), {.conditioning = conditioning}).loss, 0, 1e-7);
}

void expect_decomposition(const Perturbation& made, const Tensor& A, double rho) {
  const Tensor back = (made.W * made.eigenvalues).mm(made.W_inv) - A.to(torch::kComplexDouble);
  const double norm = at::linalg_svdvals(A)[0].item<double>();
  EXPECT_LE(largest_difference(back, made.E.to(torch::kComplexDouble)), 1e-10 * made.kappa * norm);
  EXPECT_LE(at::linalg_svdvals(made.E)[0].item<double>(), rho * norm * (1 + 1e-12));
  EXPECT_NEAR(made.rho, at::linalg_svdvals(made.E)[0].item<double>() / norm, 1e-12);
  EXPECT_LE(made.residual, 1e-14 * made.kappa * double(A.size(0)) * 10);
  const Tensor norms = at::linalg_vector_norm(made.W, 2, at::IntArrayRef{0});
  EXPECT_LE(largest_difference(norms, torch::ones_like(norms)), 1e-14);
  EXPECT_NEAR(made.kappa, condition_number(made.W), 1e-9 * made.kappa);
}

TEST(Perturbation, OptimisedHippoIsWellConditionedStableAndClose) {
  const int64_t n = 16;
  const PerturbationOptions options{.rho = 0.04, .steps = 300, .restarts = 2};
  const auto made = perturb_hippo(n, options);
  expect_decomposition(made, hippo_matrix(n), 0.04);
  EXPECT_LT(made.max_real, -0.9);  // the hinge at -1 is soft
  EXPECT_LE(made.kappa, 12);
  EXPECT_LE(*made.sup_error, 0.1 * *perturb_hippo(n, {.generator = Generator::none}).sup_error);
  const auto random = perturb_hippo(n, {.generator = Generator::ginibre, .rho = 0.04});
  expect_decomposition(random, hippo_matrix(n), 0.04);
  EXPECT_LE(made.kappa, 0.25 * random.kappa);
  // The paper's bound, with eps = ||E||: (2 ln n + 4) eps for unit b and c.
  EXPECT_LE(*made.sup_error, (2 * std::log(double(n)) + 4) * made.rho * made.norm);
  EXPECT_EQ(made.starts.size(), 2u);
  const auto again = perturb_hippo(n, options);
  EXPECT_TRUE(again.E.equal(made.E));
  auto other = options;
  other.seed = 1;
  EXPECT_FALSE(perturb_hippo(n, other).E.equal(made.E));
}

TEST(Perturbation, ComplexAndSmoothFormsRunToo) {
  const auto complex = perturb_hippo(8, {.rho = 0.1, .steps = 150, .restarts = 1, .real = false});
  EXPECT_TRUE(complex.E.is_complex());
  expect_decomposition(complex, hippo_matrix(8), 0.1);
  EXPECT_LT(complex.kappa, 12);
  EXPECT_THROW(hippo_system(complex, Storage::conjugate), InvalidArgument);
  EXPECT_EQ(hippo_system(complex, Storage::full).eigenvalues.size(0), 8);
  const auto smooth = perturb_hippo(
      8, {.rho = 0.1, .conditioning = Conditioning::frobenius, .steps = 150, .restarts = 1});
  EXPECT_LT(smooth.kappa, 12);
}

TEST(Perturbation, PathGoesFromHippoToS4d) {
  const int64_t n = 10;
  const auto end = perturb_hippo(n, {.generator = Generator::path, .rho = 5});
  const Tensor B = hippo_input(n);
  EXPECT_LE(largest_difference(end.E, B.outer(B) / 2), 1e-12);
  EXPECT_NEAR(end.kappa, 1, 1e-8);
  EXPECT_NEAR(end.max_real, -0.5, 1e-10);
  const auto part = perturb_hippo(n, {.generator = Generator::path, .rho = 0.1});
  EXPECT_NEAR(part.rho, 0.1, 1e-12);
  EXPECT_GT(part.kappa, 1.5);
  EXPECT_LT(part.max_real, 0);
}

TEST(Perturbation, VanishingPerturbationGivesHipposKernel) {
  // Dense HiPPO, zoh, beside A + E in its diagonal basis, for smaller and smaller E.
  const int64_t n = 6, L = 80;
  const double dt = 0.05;
  const Tensor C = random_real({n}, 5);
  const Tensor exact =
      dense_impulse(hippo_matrix(n), hippo_input(n), C, dt, L, Discretisation::zoh);
  double before = 1e9;
  for (const double rho : {1e-1, 1e-3, 1e-5}) {
    const auto made = perturb_hippo(n, {.generator = Generator::path, .rho = rho});
    const auto system = hippo_system(made, Storage::conjugate);
    const auto sampled = discretise(system.eigenvalues, torch::tensor(dt, torch::kFloat64));
    const Tensor c =
        system.weights * C.to(torch::kComplexDouble).matmul(system.W) * sampled.gain * system.B;
    const Tensor K =
        vandermonde_kernel(sampled.log_a.unsqueeze(0), c.unsqueeze(0), L, torch::kFloat64)[0];
    const double error = largest_difference(K, exact) / exact.abs().max().item<double>();
    EXPECT_LT(error, before / 30);
    before = error;
  }
  EXPECT_LT(before, 1e-4);
}

TEST(Perturbation, GinibresConditionTimesNormIsAsMeasured) {
  // The sheet's statistic: median of kappa rho over 20 seeds within [2, 5] at n = 32.
  std::vector<double> products;
  for (uint64_t seed = 0; seed < 20; ++seed)
    products.push_back(
        0.038 * ptd_diagonalize(hippo_matrix(32),
                                {.generator = Generator::ginibre, .rho = 0.038, .seed = seed})
                    .kappa);
  std::nth_element(products.begin(), products.begin() + 10, products.end());
  EXPECT_GE(products[10], 2);
  EXPECT_LE(products[10], 5);
}

TEST(Ptd, DiagonalisesAnyMatrixEvenAJordanBlock) {
  const int64_t n = 12;
  const Tensor jordan = torch::diag(torch::ones({n - 1}, torch::kFloat64), 1);
  const auto made = ptd_diagonalize(jordan, {.rho = 0.05, .steps = 200, .restarts = 2});
  expect_decomposition(made, jordan, 0.05);
  const auto random = ptd_diagonalize(jordan, {.generator = Generator::ginibre, .rho = 0.05});
  EXPECT_LT(made.kappa, 0.5 * random.kappa);
  EXPECT_FALSE(made.sup_error.has_value());
  // Powers through the diagonal basis: the error is that of E and of kappa eps.
  const Tensor power = torch::real((made.W * made.eigenvalues.pow(3)).mm(made.W_inv));
  EXPECT_LE(largest_difference(power, at::linalg_matrix_power(jordan + made.E, 3)), 1e-12);
  // Coincident eigenvalues (all are 0 here) were moved apart rather than divided by.
  const auto complex =
      ptd_diagonalize(random_complex({5, 5}, 1), {.rho = 0.1, .steps = 30, .restarts = 1});
  EXPECT_TRUE(complex.E.is_complex());
  const auto stable =
      ptd_diagonalize(jordan, {.rho = 0.3, .abscissa = -0.05, .steps = 300, .restarts = 1});
  EXPECT_LT(stable.max_real, 0.01);
}

TEST(Ptd, RefusesWhatIsNotAMatrixOfItsKind) {
  const Tensor A = random_real({4, 4}, 1);
  EXPECT_THROW(ptd_diagonalize(A.slice(0, 1)), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A.slice(0, 0, 0).slice(1, 0, 0)), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A * NAN), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A * 0), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A, {.rho = 0}), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A, {.rho = -1}), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A, {.generator = Generator::path}), InvalidArgument);
  EXPECT_THROW(ptd_diagonalize(A.to(torch::kInt64)), InvalidArgument);
  EXPECT_THROW(perturb_hippo(0), InvalidArgument);
  EXPECT_THROW(perturb_hippo(2049), InvalidArgument);
  EXPECT_THROW(perturb_hippo(4, {.steps = 0}), InvalidArgument);
  EXPECT_THROW(diagonalize_with(A, random_real({3, 3}, 1)), InvalidArgument);
}

TEST(Perturbation, UnstableEigenvaluesAreAnErrorWithTheirNumber) {
  // One step from the start leaves A nearly as it is; a hinge far to the left cannot be reached.
  auto made = perturb_hippo_with(2 * torch::eye(3, torch::kFloat64));
  EXPECT_GT(made.max_real, 0);
  try {
    require_stable(made);
    FAIL();
  } catch (const NotConverged& error) {
    EXPECT_NE(std::string(error.what()).find("max Re m"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("rho"), std::string::npos);
  }
  const Tensor growing = random_real({4, 4}, 1) + 10 * torch::eye(4, torch::kFloat64);
  EXPECT_THROW(
      ptd_diagonalize(
          growing,
          {.rho = 0.01, .abscissa = -0.1, .steps = 5, .restarts = 1, .allow_unstable = false}),
      NotConverged);
}

TEST(Perturbation, CacheGivesTheSameBitsAndSurvivesDamage) {
  const test::TemporaryFolder folder;
  const std::string place = folder / "cache";
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before == nullptr ? "" : before;
  setenv("XDG_CACHE_HOME", place.c_str(), 1);
  const PerturbationOptions options{.rho = 0.1, .steps = 40, .restarts = 2};
  bool found = true;
  const auto first = cached_hippo(6, options, &found);
  EXPECT_FALSE(found);
  const auto second = cached_hippo(6, options, &found);
  EXPECT_TRUE(found);
  EXPECT_TRUE(second.E.equal(first.E));
  EXPECT_TRUE(second.W.equal(first.W));
  EXPECT_EQ(second.kappa, first.kappa);
  EXPECT_EQ(*second.sup_error, *first.sup_error);
  EXPECT_EQ(second.starts.size(), first.starts.size());
  for (auto other :
       {PerturbationOptions{.rho = 0.2, .steps = 40, .restarts = 2},
        PerturbationOptions{.rho = 0.1, .abscissa = -0.1, .steps = 40, .restarts = 2}}) {
    cached_hippo(6, other, &found);
    EXPECT_FALSE(found);
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place))
    if (entry.is_regular_file()) std::ofstream(entry.path()) << "torn";
  EXPECT_TRUE(cached_hippo(6, options, &found).E.equal(first.E));
  EXPECT_FALSE(found);
  cached_hippo(6, options, &found);
  EXPECT_TRUE(found);
  // A folder that cannot be made: no cache, no error.
  std::ofstream(folder / "file") << "";
  setenv("XDG_CACHE_HOME", (folder / "file").c_str(), 1);
  EXPECT_TRUE(cached_hippo(6, options, &found).E.equal(first.E));
  EXPECT_FALSE(found);
  if (kept.empty())
    unsetenv("XDG_CACHE_HOME");
  else
    setenv("XDG_CACHE_HOME", kept.c_str(), 1);
}

TEST(SupError, BoundsHoldAtTheBoundary) {
  const auto one = perturb_hippo(1, {.rho = 0.1, .steps = 5, .restarts = 1});
  EXPECT_TRUE(std::isfinite(*one.sup_error));
}

}  // namespace
}  // namespace ritz::sequence
