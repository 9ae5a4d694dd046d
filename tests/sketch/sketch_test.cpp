#include "ritz/sketch/sketch.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <numbers>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/dense.h"

namespace {

using ritz::SketchOptions;
using ritz::Tensor;

struct Kind {
  const char* name;
  ritz::LinearOperatorPtr (*make)(int64_t, int64_t, const ritz::TensorOptions&,
                                  const SketchOptions&);
};

class Sketches : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Sketches,
                         testing::Values(Kind{"gaussian", ritz::gaussian_sketch},
                                         Kind{"sparse_sign", ritz::sparse_sign_sketch},
                                         Kind{"trigonometric", ritz::trigonometric_sketch}),
                         [](const auto& info) { return std::string(info.param.name); });

double largest(const Tensor& x) {
  return x.abs().max().item<double>();
}

TEST_P(Sketches, HaveTheirAdjointAndAreLinear) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const auto& [d, n] :
         {std::pair<int64_t, int64_t>{7, 33}, {8, 64}, {1, 5}, {33, 33}, {1, 1}, {2, 2}}) {
      const double tolerance =
          100 * static_cast<double>(n) * (type == at::kFloat ? 1.2e-7 : 2.3e-16);
      const auto S = GetParam().make(d, n, type, {.seed = 5});
      ritz::RandomStream random(6);
      const auto x = random.normal({n, 3}, type), y = random.normal({d, 2}, type);
      const auto gap = S->apply(x).t().matmul(y) - x.t().matmul(S->apply_adjoint(y));
      EXPECT_LT(largest(gap), tolerance) << d << ' ' << n;
      const auto single = S->apply(x.select(1, 1));
      EXPECT_EQ(single.dim(), 1);
      EXPECT_LT(largest(S->apply(x).select(1, 1) - single), tolerance);
      EXPECT_LT(largest(S->apply_adjoint(y).select(1, 1) - S->apply_adjoint(y.select(1, 1))),
                tolerance);
      const auto sum = S->apply(2 * x + 1);
      EXPECT_LT(largest(sum - 2 * S->apply(x) - S->apply(at::ones_like(x))), tolerance);
    }
  }
}

// E|S x|^2 = |x|^2, and the variance is about 2 / d at most.
TEST_P(Sketches, KeepSquaredNormsInExpectation) {
  const int64_t d = 12, n = 50, runs = 500;
  ritz::RandomStream random(7);
  auto x = random.normal({n}, at::kDouble);
  x[0] = 20;  // far from flat
  x = x / x.norm();
  double mean = 0, square = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const auto S =
        GetParam().make(d, n, at::kDouble, {.seed = static_cast<uint64_t>(run), .nonzeros = 4});
    const double r = S->apply(x).square().sum().item<double>();
    mean += r / static_cast<double>(runs);
    square += r * r / static_cast<double>(runs);
  }
  const double variance = square - mean * mean;
  EXPECT_NEAR(mean, 1, 5 * std::sqrt(variance / static_cast<double>(runs)));
  EXPECT_LT(variance, 2.5 / d);
}

TEST_P(Sketches, KeepTheGeometryOfASubspace) {
  ritz::RandomStream random(8);
  const auto Q = std::get<0>(at::linalg_qr(random.normal({2048, 8}, at::kDouble)));
  const auto s = at::linalg_svdvals(GetParam().make(128, 2048, at::kDouble, {.seed = 9})->apply(Q));
  // 1 +- sqrt(8 / 128) for a Gaussian map; the others behave like it.
  EXPECT_LT(s.max().item<double>(), 1.5);
  EXPECT_GT(s.min().item<double>(), 0.5);
}

TEST_P(Sketches, DependOnTheSeedAlone) {
  const auto dense = [&](uint64_t seed) {
    return ritz::to_dense(*GetParam().make(9, 31, at::kDouble, {.seed = seed}));
  };
  EXPECT_TRUE(dense(1).equal(dense(1)));
  EXPECT_FALSE(dense(1).equal(dense(2)));
}

TEST_P(Sketches, NameWhatIsWrong) {
  EXPECT_THROW(GetParam().make(0, 5, at::kDouble, {}), ritz::InvalidArgument);
  EXPECT_THROW(GetParam().make(5, 0, at::kDouble, {}), ritz::InvalidArgument);
  EXPECT_THROW(GetParam().make(2, 5, at::kLong, {}), ritz::InvalidArgument);
}

TEST(SparseSignSketch, HasItsNonzerosInDistinctUniformRows) {
  const int64_t d = 20, n = 3000, s = 5;
  const auto S =
      ritz::to_dense(*ritz::sparse_sign_sketch(d, n, at::kDouble, {.seed = 1, .nonzeros = s}));
  const auto entries = S * std::sqrt(static_cast<double>(s));
  EXPECT_LT(largest(entries - entries.round()), 1e-15);
  const auto places = entries.round().abs();
  EXPECT_TRUE(places.sum(0).eq(s).all().item<bool>()) << "s different rows in every column";
  // A row is in a column with probability 1/4: binomial with deviation sqrt(3000 / 4 * 3 / 4)
  // = 23.7.
  EXPECT_LT(largest(places.sum(1) - 750), 5 * 23.7);
  EXPECT_LT(std::abs(entries.sum().item<double>()), 5 * std::sqrt(n * s));
  const auto full = ritz::to_dense(*ritz::sparse_sign_sketch(3, 4, at::kDouble, {.nonzeros = 8}));
  EXPECT_EQ(full.ne(0).sum().item<int64_t>(), 12);
}

TEST(TrigonometricSketch, IsHartleysTransformWithSigns) {
  for (const int64_t n : {1, 2, 5, 8}) {
    const auto S = ritz::to_dense(*ritz::trigonometric_sketch(n, n, at::kDouble, {.seed = 3}));
    const auto k = at::arange(n, at::kDouble);
    const auto angle = 2 * std::numbers::pi / static_cast<double>(n) * k.outer(k);
    const auto F = (angle.cos() + angle.sin()) / std::sqrt(static_cast<double>(n));
    // Row 0 of F is flat, so row 0 of S shows the signs.
    EXPECT_LT(largest(S - F * S[0].sign()), 1e-14) << n;
    EXPECT_LT(largest(S.t().matmul(S) - at::eye(n, at::kDouble)), 1e-14) << n;
  }
  EXPECT_THROW(ritz::trigonometric_sketch(6, 5, at::kDouble), ritz::InvalidArgument);
}

}  // namespace
