#include "ritz/krylov/quadrature.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/krylov/density.h"
#include "ritz/linop/algebra.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"
#include "tests/io/temporary_folder.h"

namespace {

using ritz::SpectralQuadrature;
using ritz::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t index) {
  ritz::RandomStream random(12, ritz::stream_id("tests/quadrature", index));
  return random.normal(shape, torch::kFloat64);
}

Tensor wigner(int64_t n) {
  const auto A = normal({n, n}, 0);
  return (A + A.t()) / std::sqrt(2.0 * static_cast<double>(n));  // semicircle on [-2, 2]
}

double integral(const ritz::SpectralDensity& d) {
  double sum = 0;
  for (size_t i = 1; i < d.t.size(); ++i) {
    sum += (d.t[i] - d.t[i - 1]) * (d.density[i] + d.density[i - 1]) / 2;
  }
  return sum;
}

double l1_error(const ritz::SpectralDensity& d, const std::function<double(double)>& truth) {
  double sum = 0;
  for (size_t i = 1; i < d.t.size(); ++i) {
    sum += (d.t[i] - d.t[i - 1]) * std::abs(d.density[i] - truth(d.t[i]));
  }
  return sum;
}

TEST(Quadrature, IsExactForPolynomialsOfDegreeTwiceTheStepsLessOne) {
  const auto A = wigner(90);
  const auto q = normal({90}, 1);
  const auto unit = q / q.norm();
  const int64_t m = 6;
  const auto run = ritz::lanczos(ritz::DenseOperator(A), {.steps = m, .start_vectors = q});
  const auto rule = ritz::gauss_quadrature(run.T[0]);
  auto power = unit;
  for (int64_t p = 0; p <= 2 * m; ++p) {
    double sum = 0;
    for (size_t k = 0; k < rule.nodes.size(); ++k) {
      sum += rule.weights[k] * std::pow(rule.nodes[k], static_cast<double>(p));
    }
    const double exact = unit.dot(power).item<double>();
    if (p < 2 * m) {
      EXPECT_NEAR(sum, exact, 1e-12 * std::pow(2, p)) << p;
    } else {
      EXPECT_GT(std::abs(sum - exact), 1e-6);
    }
    power = A.mv(power);
  }
}

TEST(Quadrature, WeightsAreAProbability) {
  const auto q =
      ritz::spectral_quadrature(ritz::DenseOperator(wigner(70)), {.steps = 30, .probes = 4});
  ASSERT_EQ(q.probes.size(), 4u);
  for (const auto& probe : q.probes) {
    double sum = 0;
    for (const double w : probe.weights) {
      EXPECT_GE(w, 0);
      sum += w;
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_TRUE(std::is_sorted(probe.nodes.begin(), probe.nodes.end()));
  }
}

TEST(Quadrature, BlocksOfProbesDoNotChangeTheAnswer) {
  const ritz::DenseOperator A(wigner(60));
  const auto whole = ritz::spectral_quadrature(A, {.steps = 12, .probes = 5, .seed = 3});
  const auto parts =
      ritz::spectral_quadrature(A, {.steps = 12, .probes = 5, .block = 2, .seed = 3});
  for (size_t l = 0; l < 5; ++l) {
    for (size_t k = 0; k < 12; ++k) {
      EXPECT_NEAR(whole.probes[l].nodes[k], parts.probes[l].nodes[k], 1e-10);
    }
  }
}

TEST(Quadrature, ZeroOperatorIsOneNodeAndShiftsMoveNodesOnly) {
  const ritz::DiagonalOperator zero(torch::zeros({50}));
  const auto q = ritz::spectral_quadrature(zero);
  EXPECT_EQ(q.probes[0].nodes, std::vector<double>{0});
  EXPECT_EQ(q.probes[0].weights, std::vector<double>{1});
  EXPECT_EQ(ritz::trace(q).value, 0);
  EXPECT_FALSE(ritz::log_det(q).has_value());
  EXPECT_NEAR(ritz::log_det(q, 1.0)->value, 0, 1e-15);
  EXPECT_NEAR(integral(ritz::spectral_density(q)), 1, 1e-3);
  const auto A = std::make_shared<ritz::DenseOperator>(wigner(60));
  const auto plain = ritz::spectral_quadrature(*A, {.steps = 9}).probes[0];
  const auto moved = ritz::spectral_quadrature(*ritz::shifted(A, -1.5), {.steps = 9}).probes[0];
  for (size_t k = 0; k < 9; ++k) {
    EXPECT_NEAR(moved.nodes[k] + 1.5, plain.nodes[k], 1e-12);
    EXPECT_NEAR(moved.weights[k], plain.weights[k], 1e-11);
  }
}

TEST(Quadrature, TracesAgreeWithinTheirStandardErrors) {
  const auto d = torch::linspace(0.5, 3, 400, torch::kDouble);
  const auto Q = std::get<0>(at::linalg_qr(normal({400, 400}, 2)));
  const ritz::DenseOperator A((Q * d).mm(Q.t()));
  const auto q = ritz::spectral_quadrature(
      A, {.steps = 25, .probes = 30, .start = ritz::StartVector::rademacher});
  const auto within = [](const ritz::Estimate& e, double truth) {
    EXPECT_LE(std::abs(e.value - truth), 4 * *e.standard_error);
    EXPECT_LE(*e.standard_error, 0.02 * std::abs(truth));
  };
  within(ritz::trace(q), d.sum().item<double>());
  within(ritz::frobenius_norm(q), d.norm().item<double>());
  within(*ritz::log_det(q, 0.1), (d + 0.1).log().sum().item<double>());
  within(ritz::trace_function(q, [](double t) { return std::exp(-t); }),
         (-d).exp().sum().item<double>());
  within(ritz::moment(q, 3), d.pow(3).mean().item<double>());
  // Rademacher probes see a diagonal's trace exactly; one probe has no error to tell.
  const auto one = ritz::spectral_quadrature(ritz::DiagonalOperator(d),
                                             {.start = ritz::StartVector::rademacher});
  EXPECT_NEAR(ritz::trace(one).value, d.sum().item<double>(), 1e-9);
  EXPECT_FALSE(ritz::trace(one).standard_error.has_value());
}

TEST(Density, IntegratesToOneInEveryForm) {
  const auto q =
      ritz::spectral_quadrature(ritz::DenseOperator(wigner(200)), {.steps = 40, .probes = 2});
  for (const ritz::DensityOptions& options : {ritz::DensityOptions{},
                                              {.points = 100},
                                              {.margin = 0},
                                              {.kappa = 1.1},
                                              {.sd = 1e-9},
                                              {.sd = 5.0},
                                              {.rel_sd = 0.01},
                                              {.log_scale = true}}) {
    const auto d = ritz::spectral_density(q, options);
    EXPECT_EQ(d.t.size(), static_cast<size_t>(options.points));
    EXPECT_NEAR(integral(d), 1, 1e-10);
  }
}

TEST(Density, UsesTheWidthOfTheSheet) {
  const auto q = ritz::spectral_quadrature(ritz::DenseOperator(wigner(300)), {.steps = 50});
  const double half = (q.largest() - q.smallest()) / 2;
  const auto d = ritz::spectral_density(q);
  EXPECT_NEAR(d.sd, half * 2 / (49 * std::sqrt(8 * std::log(3.0))), 1e-14);
  EXPECT_NEAR(d.t.front(), q.smallest() - 0.1 * half, 1e-12);
  EXPECT_NEAR(d.t.back(), q.largest() + 0.1 * half, 1e-12);
  EXPECT_EQ(ritz::spectral_density(q, {.sd = 0.25}).sd, 0.25);
  EXPECT_NEAR(ritz::spectral_density(q, {.rel_sd = 0.25}).sd, half / 2, 1e-14);
}

TEST(Density, RecoversTheSemicircle) {
  const auto q =
      ritz::spectral_quadrature(ritz::DenseOperator(wigner(1000)), {.steps = 80, .probes = 5});
  const auto truth = [](double t) { return t * t < 4 ? std::sqrt(4 - t * t) / (2 * M_PI) : 0; };
  EXPECT_LT(l1_error(ritz::spectral_density(q, {.kappa = 1.1}), truth), 0.1);
}

TEST(Density, RecoversMarchenkoAndPastur) {
  const double ratio = 0.5;  // P / samples
  const auto X = normal({2000, 1000}, 3);
  const auto q = ritz::spectral_quadrature(ritz::DenseOperator(X.t().mm(X) / 2000),
                                           {.steps = 80, .probes = 5});
  const double low = std::pow(1 - std::sqrt(ratio), 2), high = std::pow(1 + std::sqrt(ratio), 2);
  const auto truth = [&](double t) {
    return t > low && t < high ? std::sqrt((high - t) * (t - low)) / (2 * M_PI * ratio * t) : 0;
  };
  EXPECT_LT(l1_error(ritz::spectral_density(q, {.kappa = 1.1}), truth), 0.1);
}

TEST(Cumulative, CountsAndTellsSpectraApart) {
  const auto d = torch::linspace(0, 1, 300, torch::kDouble);
  const ritz::DiagonalOperator A(d), B(d.pow(2));
  const ritz::QuadratureOptions options{.steps = 60, .probes = 8};
  const auto a = ritz::cumulative_spectrum(ritz::spectral_quadrature(A, options));
  const auto b = ritz::cumulative_spectrum(ritz::spectral_quadrature(B, options));
  EXPECT_NEAR(a.at(0.5), 0.5, *a.band + 0.02);  // 0.02: one step of a rule of 60 nodes
  EXPECT_NEAR(b.at(0.25), 0.5, *b.band + 0.02);
  EXPECT_EQ(a.at(-1), 0);
  EXPECT_EQ(a.at(2), 1);
  EXPECT_GT(ritz::kolmogorov_distance(a, b), *a.band + *b.band);
  EXPECT_NEAR(ritz::kolmogorov_distance(a, b), 0.25, *a.band + *b.band + 0.04);
  const auto again = ritz::cumulative_spectrum(
      ritz::spectral_quadrature(A, {.steps = 60, .probes = 8, .seed = 1}));
  EXPECT_LT(ritz::kolmogorov_distance(a, again), *a.band + *again.band);
  EXPECT_FALSE(ritz::cumulative_spectrum(ritz::spectral_quadrature(A)).band.has_value());
}

TEST(Stems, ShowOutliersWithTheirWeight) {
  auto d = torch::linspace(-1, 1, 500, torch::kDouble);
  d[0] = 50;
  const auto stems = ritz::spectral_stems(ritz::spectral_quadrature(
      ritz::DiagonalOperator(d), {.steps = 30, .start = ritz::StartVector::rademacher}));
  EXPECT_NEAR(stems.theta.back(), 50, 1e-9);
  EXPECT_NEAR(stems.weight.back(), 1.0 / 500, 1e-9);
  double sum = 0;
  for (const double w : stems.weight) sum += w;
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(CurvatureSuite, FilesReadBackToTheSameBits) {
  const ritz::test::TemporaryFolder folder;
  const std::string path = folder / "suite.npz";
  const auto q =
      ritz::spectral_quadrature(ritz::DenseOperator(wigner(40)), {.steps = 9, .probes = 2});
  ritz::write_curvature_suite(path, q);
  EXPECT_THROW(ritz::write_curvature_suite(path, q), ritz::UsageError);
  const auto back = ritz::read_curvature_suite(path);
  EXPECT_EQ(back.dimension, 40);
  ASSERT_EQ(back.probes.size(), 2u);
  for (size_t l = 0; l < 2; ++l) {
    EXPECT_EQ(back.probes[l].nodes, q.probes[l].nodes);
    for (size_t k = 0; k < 9; ++k) {
      EXPECT_NEAR(back.probes[l].weights[k], q.probes[l].weights[k], 1e-15);
    }
  }
  // The suite's own: eigenvalues with imaginary parts, no dimension, float32.
  const auto eigvals = torch::tensor({{2.f, 0.f}, {-1.f, 0.f}}),
             gammas = torch::tensor({.25f, .75f});
  ritz::io::write_arrays(
      path, {ritz::io::to_array("eigvals", eigvals), ritz::io::to_array("gammas", gammas)},
      {.force = true});
  const auto suite = ritz::read_curvature_suite(path);
  EXPECT_EQ(suite.dimension, 0);
  EXPECT_EQ(suite.probes[0].nodes, (std::vector<double>{-1, 2}));
  EXPECT_EQ(suite.probes[0].weights, (std::vector<double>{.75, .25}));
  EXPECT_THROW(ritz::trace(suite), ritz::InvalidArgument);
  ritz::io::write_arrays(
      path, {ritz::io::to_array("eigvals", eigvals), ritz::io::to_array("gammas", -gammas)},
      {.force = true});
  EXPECT_THROW(ritz::read_curvature_suite(path), ritz::DataError);
  ritz::io::write_arrays(path, {ritz::io::to_array("eigvals", eigvals)}, {.force = true});
  EXPECT_THROW(ritz::read_curvature_suite(path), ritz::DataError);
}

TEST(Quadrature, RejectsBadOptions) {
  const ritz::DiagonalOperator A(torch::ones({4}));
  EXPECT_THROW(ritz::spectral_quadrature(A, {.steps = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_quadrature(A, {.probes = 0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_quadrature(ritz::DenseOperator(torch::ones({3, 4}))),
               ritz::InvalidArgument);
  const auto q = ritz::spectral_quadrature(A);
  EXPECT_THROW(ritz::spectral_density(q, {.points = 1}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_density(q, {.kappa = 0.9}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_density(q, {.sd = 0.0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_density(q, {.sd = 1.0, .rel_sd = 1.0}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::spectral_density(SpectralQuadrature{}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::moment(q, -1), ritz::InvalidArgument);
  EXPECT_THROW(ritz::log_det(q, -1), ritz::InvalidArgument);
}

}  // namespace
