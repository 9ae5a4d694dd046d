// The static inverse against the dense one, the recursion of the paper, and its own identities.
#include "ritz/optim/inverse_fisher.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/optim/detail/gradient_rows.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

Tensor rows(int64_t m, int64_t d, at::ScalarType dtype = at::kDouble, uint64_t seed = 1) {
  return ritz::RandomStream(seed, ritz::stream_id("test/rows"))
      .normal({m, d}, at::TensorOptions(dtype));
}

/// F of the definition, blocks cut out of it.
Tensor dense_fisher(const Tensor& G, double damping, int64_t block = 0) {
  const Tensor g = G.to(at::kDouble);
  Tensor F = g.t().mm(g) / static_cast<double>(G.size(0));
  if (block > 0) {
    const Tensor of = at::arange(G.size(1)).div(block, "floor");
    F = F * of.unsqueeze(0).eq(of.unsqueeze(1));
  }
  return F + damping * at::eye(G.size(1), at::kDouble);
}

/// The paper's recursion, row by row.
std::pair<Tensor, Tensor> recursion(const Tensor& G, double damping) {
  const double m = static_cast<double>(G.size(0));
  Tensor V = at::zeros_like(G), q = at::zeros({G.size(0)}, G.options());
  for (int64_t i = 0; i < G.size(0); ++i) {
    Tensor v = G[i] / damping;
    for (int64_t j = 0; j < i; ++j) v = v - V[j] * (V[j].dot(G[i]) / q[j]);
    V[i].copy_(v);
    q[i] = m + G[i].dot(v);
  }
  return {V, q};
}

double relative(const Tensor& found, const Tensor& expected) {
  const Tensor e = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - e).norm() / e.norm()).item<double>();
}

struct Shape {
  int64_t m, d, block;
};
// Odd sizes, m > d, a block of one, a last block that is shorter, one block as wide as d, and a
// block beyond the width from which slabs are taken.
const std::vector<Shape> kShapes{{1, 1, 0},    {3, 7, 0},   {9, 5, 0},    {13, 101, 0},
                                 {13, 101, 1}, {6, 50, 17}, {20, 50, 17}, {7, 50, 50},
                                 {7, 50, 64},  {97, 300, 0}};

TEST(InverseFisher, EqualsTheDenseInverseInEveryFormAndStore) {
  for (const auto& [m, d, block] : kShapes) {
    const Tensor G = rows(m, d), inverse = at::inverse(dense_fisher(G, 1e-2, block));
    const Tensor x = rows(3, d, at::kDouble, 2).t().contiguous();
    for (const auto form :
         {FisherForm::automatic, FisherForm::vectors, FisherForm::dense, FisherForm::recursion}) {
      for (const auto store : {FisherStore::vectors, FisherStore::pages}) {
        const InverseFisher found(G,
                                  {.damping = 1e-2, .block = block, .form = form, .store = store});
        SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(d) + ", block " +
                     std::to_string(block) + ", form " + std::to_string(static_cast<int>(form)) +
                     ", store " + std::to_string(static_cast<int>(store)));
        // eps times F's condition, at most 1e5 here.
        EXPECT_LT(relative(found.apply(x), inverse.mm(x)), 1e-10);
        EXPECT_LT(relative(found.apply(x.select(1, 1).contiguous()), inverse.mv(x.select(1, 1))),
                  1e-10);
        EXPECT_LT(relative(found.diagonal(), inverse.diagonal()), 1e-10);
        const Tensor k = at::arange(d);
        EXPECT_LT(relative(found.columns(k), inverse), 1e-10);
        const Tensor j = k.repeat_interleave(d), l = k.repeat({d});
        EXPECT_LT(relative(found.elements(j, l), inverse.flatten()), 1e-10);
      }
    }
  }
}

TEST(InverseFisher, WideBlocksTakenInSlabsEqualTheSameOnesFromWoodburysFormula) {
  const int64_t m = 5, width = 9001, d = 2 * width + 77;
  const Tensor G = rows(m, d), x = rows(1, d, at::kDouble, 2)[0];
  const double lambda = 1e-2;
  Tensor expected = at::empty_like(x);
  for (int64_t begin = 0; begin < d; begin += width) {
    const int64_t n = std::min(width, d - begin);
    const Tensor g = G.narrow(1, begin, n), y = x.narrow(0, begin, n);
    const Tensor S = g.mm(g.t()) + m * lambda * at::eye(m, at::kDouble);
    expected.narrow(0, begin, n).copy_((y - g.t().mv(at::linalg_solve(S, g.mv(y)))) / lambda);
  }
  for (const auto store : {FisherStore::vectors, FisherStore::pages}) {
    const InverseFisher found(G, {.damping = lambda, .block = width, .store = store});
    EXPECT_LT(relative(found.apply(x), expected), 1e-10);
    const Tensor some = at::tensor({0L, width - 1, width, d - 1});
    const Tensor columns = found.columns(some);
    EXPECT_LT(relative(found.elements(some, some), found.diagonal().index_select(0, some)), 1e-10);
    EXPECT_LT(relative(columns.index_select(0, some).diagonal(), found.elements(some, some)),
              1e-10);
    EXPECT_EQ(columns.select(1, 0).narrow(0, width, d - width).abs().max().item<double>(), 0);
  }
}

TEST(InverseFisher, VectorsAndPivotsAreThoseOfTheRecursion) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 1e-10}, {at::kFloat, 5e-6}}) {
    for (const auto& [m, d] : {std::pair<int64_t, int64_t>{1, 10}, {12, 40}, {100, 9001}}) {
      // Rows of norm about 3 at lambda 1e-5: the specification's case for 5e-6 in float32.
      const Tensor G = rows(m, d, dtype) * (3 / std::sqrt(static_cast<double>(d)));
      const InverseFisher found(G, {.damping = 1e-5, .form = FisherForm::vectors});
      const auto [V, q] = recursion(G.to(at::kDouble), 1e-5);
      EXPECT_LT(relative(found.vectors(), V), tolerance);
      EXPECT_LT(relative(found.pivots(), q), tolerance);
    }
  }
}

TEST(InverseFisher, TimesTheFisherMatrixIsTheIdentity) {
  const int64_t m = 40, d = 3000;
  const Tensor G = rows(m, d), x = rows(1, d, at::kDouble, 2)[0];
  for (const double lambda : {1e-5, 1e-1}) {
    const Tensor y = InverseFisher(G, {.damping = lambda}).apply(x);
    const Tensor back = lambda * y + G.t().mv(G.mv(y)) / m;
    EXPECT_LT(relative(back, x), 1e-8);
  }
}

TEST(InverseFisher, DoesNotDependOnTheOrderOfTheGradients) {
  const Tensor G = rows(30, 200), x = rows(1, 200, at::kDouble, 2)[0];
  const Tensor order = ritz::RandomStream(5).permutation(30);
  for (const int64_t block : {0, 40, 25}) {
    const Tensor a = InverseFisher(G, {.block = block}).apply(x);
    const Tensor b = InverseFisher(G.index_select(0, order), {.block = block}).apply(x);
    EXPECT_LT(relative(a, b), 1e-10);
  }
}

TEST(InverseFisher, OfOneGradientIsShermanAndMorrisons) {
  const Tensor g = rows(1, 50), x = rows(1, 50, at::kDouble, 2)[0];
  const double lambda = 1e-3;
  const Tensor expected = (x - g[0] * (g[0].dot(x) / (lambda + g[0].dot(g[0])))) / lambda;
  EXPECT_LT(relative(InverseFisher(g, {.damping = lambda}).apply(x), expected), 1e-10);
}

TEST(InverseFisher, OfNoCurvatureIsOneOverTheDamping) {
  const Tensor x = rows(1, 20)[0];
  for (const int64_t block : {0, 3}) {
    const InverseFisher found(at::zeros({8, 20}, at::kDouble), {.damping = 0.25, .block = block});
    EXPECT_LT(relative(found.apply(x), 4 * x), 1e-15);
  }
}

TEST(InverseFisher, DiagonalIsPositiveAtMostOneOverTheDampingAndSumsToTheTrace) {
  const Tensor G = rows(60, 500);
  for (const int64_t block : {0, 100, 17}) {
    const InverseFisherOptions options{.damping = 1e-3, .block = block};
    const Tensor diagonal = InverseFisher(G, options).diagonal();
    EXPECT_GT(diagonal.min().item<double>(), 0);
    EXPECT_LE(diagonal.max().item<double>(), 1e3);
    const auto spectrum = fisher_spectrum(G, options);
    EXPECT_NEAR(diagonal.sum().item<double>() / spectrum.trace_of_inverse, 1, 1e-10);
  }
}

TEST(InverseFisher, BlocksOfOneCoordinateAreTheDiagonalFisher) {
  const Tensor G = rows(9, 33);
  const Tensor expected = 1 / (1e-2 + G.square().mean(0));
  EXPECT_LT(relative(InverseFisher(G, {.damping = 1e-2, .block = 1}).diagonal(), expected), 1e-12);
}

TEST(InverseFisher, SegmentsKeepBlocksWithinTensors) {
  const Tensor G = rows(4, 30);
  const Tensor a = InverseFisher(G, {.damping = 1e-2, .block = 7, .segments = {10, 20}}).diagonal();
  for (const auto& [begin, length] : {std::pair<int64_t, int64_t>{0, 10}, {10, 20}}) {
    const Tensor part =
        InverseFisher(G.narrow(1, begin, length), {.damping = 1e-2, .block = 7}).diagonal();
    EXPECT_LT(relative(a.narrow(0, begin, length), part), 1e-12);
  }
  const Tensor whole = InverseFisher(G, {.damping = 1e-2, .segments = {10, 20}}).diagonal();
  EXPECT_LT(relative(whole.narrow(0, 0, 10),
                     InverseFisher(G.narrow(1, 0, 10), {.damping = 1e-2}).diagonal()),
            1e-12);
  EXPECT_THROW(InverseFisher(G, {.segments = {10, 21}}), ritz::InvalidArgument);
}

TEST(InverseFisher, HalfPrecisionRowsStayInPagesAndGiveTheInverseOfTheRoundedOnes) {
  for (const auto half : {at::kHalf, at::kBFloat16}) {
    const Tensor G = rows(6, 9000, at::kFloat).to(half), x = rows(1, 9000, at::kDouble, 2)[0];
    const Tensor expected = InverseFisher(G.to(at::kDouble), {.damping = 1e-2}).apply(x);
    for (const int64_t block : {0, 50}) {
      const InverseFisher found(
          G,
          {.damping = 1e-2, .block = block, .store = FisherStore::pages, .compute = at::kDouble});
      const Tensor other =
          InverseFisher(G.to(at::kDouble), {.damping = 1e-2, .block = block}).apply(x);
      EXPECT_LT(relative(found.apply(x), other), 1e-10);
    }
    const InverseFisher single(G, {.damping = 1e-2, .store = FisherStore::pages});
    EXPECT_EQ(c10::typeMetaToScalarType(single.options().dtype()), at::kFloat);
    EXPECT_LT(relative(single.apply(x.to(at::kFloat)), expected), 1e-4);
  }
}

TEST(InverseFisher, OverwritesTheGradientsOnlyWhereAsked) {
  Tensor G = rows(5, 100);
  const Tensor kept = G.clone(), x = rows(1, 100, at::kDouble, 2)[0];
  const Tensor y = InverseFisher(G, {.damping = 1e-2}).apply(x);
  EXPECT_TRUE(at::equal(G, kept));
  const InverseFisher in_place(G, {.damping = 1e-2, .overwrite = true});
  EXPECT_EQ(in_place.vectors().const_data_ptr(), G.const_data_ptr());
  EXPECT_TRUE(at::equal(in_place.apply(x), y));
}

TEST(InverseFisher, ResultsRepeatTheirBits) {
  const Tensor G = rows(50, 20000, at::kFloat), x = rows(1, 20000, at::kFloat, 2)[0];
  for (const int64_t block : {0, 100})
    EXPECT_TRUE(at::equal(InverseFisher(G, {.block = block}).apply(x),
                          InverseFisher(G, {.block = block}).apply(x)));
}

// Gradients of a million and a tiny damping: in float32 the Gram matrix alone is not positive
// definite.
TEST(InverseFisher, RepeatsInDoubleWhatSinglePrecisionCannotFactorise) {
  const Tensor base = rows(1, 3000, at::kFloat) * 1e3;
  const Tensor G = base + rows(30, 3000, at::kFloat, 3) * 1e-1;
  const InverseFisher found(G, {.damping = 1e-6});
  EXPECT_TRUE(at::isfinite(found.apply(at::ones({3000}))).all().item<bool>());
}

TEST(InverseFisher, NamesTheRowThatIsNotFinite) {
  for (const int64_t d : {20, 9000}) {
    for (const int64_t block : {0, 3}) {
      Tensor G = rows(6, d);
      G[4][d - 1] = std::numeric_limits<double>::quiet_NaN();
      G[5][0] = std::numeric_limits<double>::infinity();
      try {
        const InverseFisher found(G, {.block = block});
        ADD_FAILURE() << "not refused";
      } catch (const ritz::InvalidArgument& error) {
        const std::string text = error.what();
        EXPECT_TRUE(text.find("row 4") != text.npos || text.find("row 5") != text.npos) << text;
      }
      EXPECT_THROW(fisher_spectrum(G, {.block = block}), ritz::InvalidArgument);
    }
  }
}

TEST(InverseFisher, RefusesBadOptionsAndShapes) {
  const Tensor G = rows(4, 10);
  using ritz::InvalidArgument;
  EXPECT_THROW(InverseFisher(G, {.damping = 0}), InvalidArgument);
  EXPECT_THROW(InverseFisher(G, {.damping = -1}), InvalidArgument);
  EXPECT_THROW(InverseFisher(G, {.damping = std::nan("")}), InvalidArgument);
  EXPECT_THROW(InverseFisher(G, {.block = -1}), InvalidArgument);
  EXPECT_THROW(InverseFisher(G, {.compute = at::kHalf}), InvalidArgument);
  EXPECT_THROW(InverseFisher{G[0]}, InvalidArgument);
  EXPECT_THROW(InverseFisher(at::zeros({0, 3})), InvalidArgument);
  EXPECT_THROW(InverseFisher(at::zeros({3, 0})), InvalidArgument);
  EXPECT_THROW(InverseFisher(at::ones({3, 3}, at::kLong)), InvalidArgument);
  const InverseFisher found(G);
  EXPECT_THROW(found.apply(rows(1, 11)[0]), InvalidArgument);
  EXPECT_THROW(found.apply(rows(1, 10, at::kFloat)[0]), InvalidArgument);
  EXPECT_THROW(found.elements(at::tensor({10L}), at::tensor({0L})), InvalidArgument);
  EXPECT_THROW(found.elements(at::tensor({1L}), at::tensor({0L, 1L})), InvalidArgument);
  EXPECT_THROW(found.columns(at::tensor({-1L})), InvalidArgument);
}

TEST(InverseFisher, SaysTheSizeAndTheChoicesWhereVectorsExceedTheLimit) {
  const Tensor G = rows(4, 1000);
  try {
    const InverseFisher found(G, {.store = FisherStore::vectors, .memory_limit = 1000});
    ADD_FAILURE() << "not refused";
  } catch (const ritz::InvalidArgument& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("32000 bytes"), text.npos) << text;
    EXPECT_NE(text.find("pages"), text.npos) << text;
    EXPECT_NE(text.find("blocks"), text.npos) << text;
    EXPECT_NE(text.find("half"), text.npos) << text;
  }
  EXPECT_TRUE(InverseFisher(G, {.memory_limit = 1000}).paged());
  EXPECT_FALSE(InverseFisher(G, {.memory_limit = 100000}).paged());
}

TEST(FisherSpectrum, OfOrthogonalRowsOfOneNormHasTwoLevels) {
  const int64_t m = 6, d = 40;
  const double c = 2.5, lambda = 1e-2;
  const Tensor Q = std::get<0>(at::linalg_qr(rows(m, d).t()));
  const Tensor G = c * Q.t();
  const auto spectrum = fisher_spectrum(G, {.damping = lambda});
  EXPECT_EQ(spectrum.eigenvalues.numel(), m);
  EXPECT_EQ(spectrum.at_damping, d - m);
  EXPECT_TRUE(at::allclose(spectrum.eigenvalues, at::full({m}, lambda + c * c / m, at::kDouble)));
  const InverseFisher inverse(G, {.damping = lambda});
  const Tensor q = Q.select(1, 0).contiguous();
  EXPECT_LT(relative(inverse.apply(q), q / (lambda + c * c / m)), 1e-10);
}

TEST(FisherSpectrum, EqualsTheDenseOne) {
  for (const auto& [m, d, block] : kShapes) {
    const Tensor G = rows(m, d);
    const Tensor dense =
        std::get<0>(at::linalg_eigvalsh(dense_fisher(G, 1e-2, block)).sort(0, true));
    const auto found = fisher_spectrum(G, {.damping = 1e-2, .block = block});
    ASSERT_EQ(found.eigenvalues.numel() + found.at_damping, d);
    const Tensor all =
        at::cat({found.eigenvalues, at::full({found.at_damping}, 1e-2, at::kDouble)});
    EXPECT_LT(relative(std::get<0>(all.sort(0, true)), dense), 1e-10);
    EXPECT_NEAR(found.trace, dense.sum().item<double>(), 1e-8 * found.trace);
    EXPECT_NEAR(found.log_det, dense.log().sum().item<double>(), 1e-8 * static_cast<double>(d));
  }
  const Tensor wide = rows(3, 20000);
  const auto halves = fisher_spectrum(wide, {.damping = 1e-2, .block = 10000});
  const auto first = fisher_spectrum(wide.narrow(1, 0, 10000), {.damping = 1e-2});
  EXPECT_EQ(halves.eigenvalues.numel(), 6);
  EXPECT_NEAR(halves.trace - first.trace,
              fisher_spectrum(wide.narrow(1, 10000, 10000), {.damping = 1e-2}).trace,
              1e-8 * halves.trace);
}

TEST(GradientRows, TriangularProductsEqualPlainOnes) {
  for (const int64_t m : {1, 33, 70, 130, 257}) {
    const Tensor G = rows(m, 1500, at::kFloat);
    const Tensor K = ritz::optim::detail::gram(G, at::kFloat);
    EXPECT_LT(relative(K, G.to(at::kDouble).mm(G.to(at::kDouble).t())), 1e-6);
    const Tensor T = rows(m, m, at::kFloat, 4).tril();
    Tensor out = G.clone();
    ritz::optim::detail::multiply_lower(T, out, out);
    EXPECT_LT(relative(out, T.to(at::kDouble).mm(G.to(at::kDouble))), 1e-5);
  }
}

}  // namespace
