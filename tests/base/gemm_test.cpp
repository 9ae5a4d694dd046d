#include "ritz/base/gemm.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/detail/gemm_kernel.h"
#include "ritz/base/error.h"
#include "ritz/base/threads.h"

namespace ritz {
namespace {

// Numbers without pattern, from integer arithmetic: no generator is read.
Tensor numbers(int64_t rows, int64_t cols, at::ScalarType type, int64_t salt) {
  auto i = at::arange(rows * cols, at::kLong) * 7919 + salt * 104729;
  return (i.remainder(10007).to(at::kDouble) / 5003.5 - 1).to(type).view({rows, cols});
}

// The same values under other strides.
std::vector<Tensor> layouts(const Tensor& t) {
  auto padded = at::zeros({t.size(0), t.size(1) + 3}, t.options());
  padded.narrow(1, 2, t.size(1)).copy_(t);
  auto spread = at::zeros({t.size(0), 2 * t.size(1)}, t.options());
  spread.slice(1, 0, 2 * t.size(1), 2).copy_(t);
  return {t, t.t().contiguous().t(), padded.narrow(1, 2, t.size(1)),
          spread.slice(1, 0, 2 * t.size(1), 2)};
}

// |fl(a b) - a b| <= k eps |a| |b|, elementwise; entries lie in [-1, 1].
double tolerance(const Tensor& a) {
  const double eps = a.scalar_type() == at::kFloat ? 1.2e-7 : 2.3e-16;
  return 2 * static_cast<double>(a.size(1) + 1) * eps;
}

struct Size {
  int64_t m, k, n;
};
const Size kSizes[] = {{1, 1, 1},      {3, 1, 5},     {7, 129, 1},   {1, 65, 33},    {65, 63, 67},
                       {129, 257, 31}, {300, 1, 300}, {11, 400, 90}, {513, 100, 129}};

TEST(Gemm, EveryBackendEqualsTheFloat64ProductToRoundingForOddSizesAndAnyStrides) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const auto& [m, k, n] : kSizes) {
      const auto a = numbers(m, k, type, 1), b = numbers(k, n, type, 2);
      const auto exact = a.to(at::kDouble).mm(b.to(at::kDouble));
      for (const auto& x : layouts(a)) {
        for (const auto& y : layouts(b)) {
          for (const auto backend : {GemmBackend::automatic, GemmBackend::mm, GemmBackend::onednn,
                                     GemmBackend::kernel}) {
            if (backend == GemmBackend::onednn && (type != at::kFloat || !gemm_probe().available))
              continue;
            if (backend == GemmBackend::kernel && !detail::has_gemm_kernel()) continue;
            const auto z = gemm_by(backend, x, y);
            ASSERT_EQ(z.scalar_type(), type);
            EXPECT_LE((z.to(at::kDouble) - exact).abs().max().item<double>(), tolerance(a))
                << m << " x " << k << " x " << n;
          }
          EXPECT_LE((gemm_nt(x, y.t()).to(at::kDouble) - exact).abs().max().item<double>(),
                    tolerance(a));
        }
      }
    }
  }
}

TEST(Gemm, BiasIsAddedToEachRow) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const auto& [m, k, n] : kSizes) {
      const auto a = numbers(m, k, type, 1), b = numbers(n, k, type, 2), c = numbers(2, n, type, 3);
      for (const auto& bias : {c[0], c.t().contiguous().t()[1]}) {
        const auto exact = a.to(at::kDouble).mm(b.to(at::kDouble).t()) + bias.to(at::kDouble);
        EXPECT_LE((gemm_nt(a, b, bias).to(at::kDouble) - exact).abs().max().item<double>(),
                  tolerance(a));
      }
    }
  }
  EXPECT_THROW(gemm_nt(at::ones({3, 2}), at::ones({4, 2}), at::ones({3})), InvalidArgument);
}

TEST(Gemm, IntoWritesOrAddsInPlaceIntoRowsOfAnyStride) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const auto& [m, k, n] : kSizes) {
      const auto a = numbers(m, k, type, 1), b = numbers(k, n, type, 2), c = numbers(m, n, type, 3);
      const auto product = a.to(at::kDouble).mm(b.to(at::kDouble));
      for (const auto& x : layouts(a)) {
        for (const auto& y : layouts(b)) {
          auto frame = at::full({m, n + 5}, 7, c.options());
          const auto out = frame.narrow(1, 2, n);
          const auto error = [&](const Tensor& expected) {
            return (out.to(at::kDouble) - expected).abs().max().item<double>();
          };
          gemm_into(out, x, y);
          EXPECT_LE(error(product), tolerance(a));
          out.copy_(c);
          gemm_into(out, x, y, true);
          EXPECT_LE(error(product + c.to(at::kDouble)), tolerance(a));
          gemm_into(out, x, y, c[0]);
          EXPECT_LE(error(product + c[0].to(at::kDouble)), tolerance(a));
          EXPECT_TRUE(frame.narrow(1, 0, 2).eq(7).all().item<bool>() &&
                      frame.narrow(1, n + 2, 3).eq(7).all().item<bool>());
        }
      }
    }
  }
  auto kept = at::ones({2, 3});
  gemm_into(kept, at::ones({2, 0}), at::ones({0, 3}), true);
  EXPECT_TRUE(kept.equal(at::ones({2, 3})));
  gemm_into(kept, at::ones({2, 0}), at::ones({0, 3}));
  EXPECT_TRUE(kept.equal(at::zeros({2, 3})));
  EXPECT_THROW(gemm_into(kept, at::ones({2, 2}), at::ones({2, 4})), InvalidArgument);
}

// The kernel blocks k by 256 and by 2048, and cuts C where a thread's share ends.
TEST(Gemm, IntoGivesTheSameBitsForAnyNumberOfThreads) {
  if (!detail::has_gemm_kernel()) GTEST_SKIP() << "no AVX-512";
  const int before = threads();
  for (const auto& [m, k, n] : {Size{301, 2345, 67}, Size{31, 300, 999}}) {
    const auto a = numbers(m, k, at::kFloat, 1), b = numbers(k, n, at::kFloat, 2);
    auto one = at::empty({m, n}), three = at::empty({m, n});
    set_threads(1);
    gemm_into(one, a, b);
    set_threads(3);
    gemm_into(three, a, b);
    EXPECT_TRUE(one.equal(three));
    EXPECT_LE(
        (one.to(at::kDouble) - a.to(at::kDouble).mm(b.to(at::kDouble))).abs().max().item<double>(),
        tolerance(a));
  }
  set_threads(before);
}

TEST(Gemm, EmptyProductsAreZeroOrEmpty) {
  EXPECT_TRUE(gemm(at::ones({3, 0}), at::ones({0, 4})).equal(at::zeros({3, 4})));
  EXPECT_EQ(gemm(at::ones({0, 5}), at::ones({5, 4})).sizes(), (at::IntArrayRef{0, 4}));
  EXPECT_EQ(gemm_nt(at::ones({5, 2}), at::ones({0, 2})).sizes(), (at::IntArrayRef{5, 0}));
}

TEST(Gemm, RecordsGradientsWhereTheyAreAskedFor) {
  auto a = numbers(200, 150, at::kFloat, 3).requires_grad_();
  const auto b = numbers(150, 120, at::kFloat, 4);
  gemm(a, b).sum().backward();
  EXPECT_TRUE(at::allclose(a.grad(), b.sum(1).expand({200, 150}), 1e-4, 1e-4));
}

TEST(Gemm, ComplexProductsAreThoseOfMm) {
  const auto a = at::complex(numbers(9, 8, at::kDouble, 5), numbers(9, 8, at::kDouble, 6));
  EXPECT_TRUE(gemm(a, a.t()).equal(a.mm(a.t())));
}

TEST(Gemm, RepeatsItselfBitForBit) {
  const auto a = numbers(333, 257, at::kFloat, 7), b = numbers(257, 129, at::kFloat, 8);
  EXPECT_TRUE(gemm(a, b).equal(gemm(a, b)));
}

TEST(Gemm, RefusesWhatDoesNotFit) {
  EXPECT_THROW(gemm(at::ones({3, 2}), at::ones({3, 2})), InvalidArgument);
  EXPECT_THROW(gemm(at::ones({3}), at::ones({3, 2})), InvalidArgument);
  EXPECT_THROW(gemm_nt(at::ones({3, 2}), at::ones({2})), InvalidArgument);
  EXPECT_THROW(gemm(at::ones({3, 2}), at::ones({2, 2}, at::kDouble)), InvalidArgument);
  EXPECT_THROW(
      gemm_by(GemmBackend::onednn, at::ones({3, 2}, at::kDouble), at::ones({2, 2}, at::kDouble)),
      Unsupported);
}

}  // namespace
}  // namespace ritz
