#include "ritz/krylov/detail/orthogonalise.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/random.h"

namespace {

using ritz::Tensor;
using ritz::detail::allocate_basis;
using ritz::detail::orthogonalise;
using ritz::detail::orthogonalise_reference;

Tensor normal(at::IntArrayRef shape, c10::ScalarType dtype, uint64_t index) {
  ritz::RandomStream random(3, ritz::stream_id("tests/orthogonalise", index));
  return random.normal(shape, torch::kFloat64).to(dtype);
}

Tensor orthonormal_rows(int64_t rows, int64_t n, c10::ScalarType dtype) {
  return std::get<0>(at::linalg_qr(normal({n, rows}, torch::kFloat64, 9))).t().to(dtype);
}

struct Size {
  int64_t rows, recent, n;
};
const Size kSizes[] = {{0, 0, 5},  {0, 2, 7},   {1, 0, 1},     {3, 1, 9},     {5, 0, 63},
                       {4, 2, 64}, {7, 0, 257}, {13, 2, 3001}, {101, 0, 4099}};

class Orthogonalise : public testing::TestWithParam<Size> {};

TEST_P(Orthogonalise, AgreesWithItsReferenceInEveryStorage) {
  const auto [rows, recent_rows, n] = GetParam();
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    for (const auto storage : {dtype, torch::kBFloat16, torch::kHalf}) {
      for (const int passes : {1, 2}) {
        auto basis = allocate_basis(1, rows, n, storage)[0];
        basis.copy_(rows ? orthonormal_rows(rows, std::max(n, rows), dtype).narrow(1, 0, n)
                         : torch::empty({0, n}));
        const auto recent = normal({recent_rows, n}, dtype, 1) / std::sqrt(static_cast<double>(n));
        const auto w = normal({n}, dtype, 2);
        const auto fast = w.clone(), slow = w.clone();
        const auto a = orthogonalise(basis, recent, fast, passes);
        const auto b = orthogonalise_reference(basis, recent, slow, passes);
        // Sums in double on both sides; w itself is rounded once a pass.
        const double eps = dtype == torch::kFloat ? 1.2e-7 : 2.3e-16;
        const double scale = 8 * eps * (1 + w.norm().item<double>());
        EXPECT_LE((a.coefficients - b.coefficients).norm().item<double>(), scale);
        EXPECT_LE((fast - slow).norm().item<double>(), scale);
        EXPECT_NEAR(a.norm.item<double>(), b.norm.item<double>(), scale);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(OddSizes, Orthogonalise, testing::ValuesIn(kSizes));

TEST(Orthogonalise, TwoPassesReachRoundingWhereOneDoesNot) {
  const auto Q = orthonormal_rows(30, 1001, torch::kDouble);
  // Nearly inside the span: one pass leaves a component of about eps |w| / |result|.
  const auto inside = Q.t().mv(normal({30}, torch::kDouble, 4));
  const auto w = inside + 1e-10 * normal({1001}, torch::kDouble, 5);
  const auto once = w.clone(), twice = w.clone();
  orthogonalise(Q, {}, once, 1);
  orthogonalise(Q, {}, twice, 2);
  const auto leak = [&](const Tensor& v) { return (Q.mv(v).norm() / v.norm()).item<double>(); };
  EXPECT_GT(leak(once), 1e-9);
  EXPECT_LT(leak(twice), 1e-14);
}

TEST(Orthogonalise, GivesTheSameBitsForAnyNumberOfThreads) {
  auto Q = allocate_basis(1, 20, 100003, torch::kFloat)[0];
  Q.copy_(normal({20, 100003}, torch::kFloat, 6) / 316.0);
  const auto w = normal({100003}, torch::kFloat, 7);
  const auto one = w.clone(), two = w.clone();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto a = orthogonalise(Q, {}, one);
  at::set_num_threads(2);
  const auto b = orthogonalise(Q, {}, two);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.equal(two));
  EXPECT_TRUE(a.coefficients.equal(b.coefficients));
}

TEST(Orthogonalise, TakesComplexVectors) {
  const auto random =
      torch::complex(normal({40, 6}, torch::kDouble, 10), normal({40, 6}, torch::kDouble, 11));
  const auto Q = std::get<0>(at::linalg_qr(random)).t();
  const auto w = torch::complex(normal({40}, torch::kDouble, 12), normal({40}, torch::kDouble, 13));
  const auto left = w.clone();
  const auto out = orthogonalise(Q, {}, left);
  EXPECT_LE(Q.conj().mv(left).abs().max().item<double>(), 1e-13);
  EXPECT_LE((left + Q.t().mv(out.coefficients) - w).abs().max().item<double>(), 1e-13);
}

TEST(AllocateBasis, PadsLongRowsOnly) {
  EXPECT_EQ(allocate_basis(2, 3, 100, torch::kFloat).stride(1), 100);
  const auto padded = allocate_basis(2, 3, 1 << 20, torch::kFloat);
  EXPECT_EQ(padded.sizes(), (std::vector<int64_t>{2, 3, 1 << 20}));
  EXPECT_EQ(padded.stride(1) * 4 % 16384, 4160);
  EXPECT_LE(padded.stride(1), (1 << 20) + 4096 + 1040);
}

}  // namespace
