// The renewal of one inverse factor against its formulas in dense float64.
#include "ritz/optim/mkor/inverse_factor.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/optim/detail/factor_kernels.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::optim::detail::add_rank_one;
using ritz::optim::detail::Stored;

constexpr double kGamma = 0.95;
const auto kDouble = at::TensorOptions(at::kDouble);

Tensor draws(at::IntArrayRef shape, uint64_t index) {
  return ritz::RandomStream(4, ritz::stream_id("test/draws", index)).normal(shape, kDouble);
}

/// Symmetric, eigenvalues in [0.1, 1.1].
Tensor positive(int64_t d, uint64_t index = 0) {
  const Tensor B = draws({d, d}, index);
  const Tensor product = B.mm(B.t()), S = (product + product.t()) / 2;
  return S / at::linalg_norm(S, 2) + 0.1 * at::eye(d, kDouble);
}

Tensor identity(int64_t d) {
  return at::eye(d, kDouble);
}

/// The renewals of inverse_factor.h as they are printed there, by dense inverses where it states
/// them.
Tensor plain(MkorForm form, const Tensor& M, const Tensor& v, double gamma = kGamma) {
  const Tensor I = identity(M.size(0)), vv = at::outer(v, v);
  if (form == MkorForm::ema) return (gamma * M.inverse() + (1 - gamma) * vv).inverse();
  if (form == MkorForm::reference) return ((gamma * M + (1 - gamma) * I).inverse() + vv).inverse();
  const Tensor u = M.mv(v);
  const double s = v.dot(u).item<double>();
  return gamma * M +
         (1 - gamma) / (gamma * gamma * (1 + gamma * (1 - gamma) * s)) * at::outer(u, u);
}

double error(const Tensor& a, const Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

Tensor renewed(Tensor M, const Tensor& v, RenewalOptions options = {}) {
  M = M.clone();
  renew_factor(M, v.dim() == 1 ? v.unsqueeze(0) : v, options);
  return M;
}

const MkorForm kForms[] = {MkorForm::reference, MkorForm::ema, MkorForm::paper};

// Odd sizes: below a vector, no multiple of one, above one chunk of a row.
TEST(RenewFactor, FollowsItsFormulaInEveryFormAndSize) {
  for (const auto form : kForms) {
    for (const int64_t d : {1, 3, 17, 64, 131}) {
      const Tensor M = positive(d), v = draws({d}, 1);
      // Condition numbers are below 20 and |v|^2 ~ d: a few hundred roundings.
      EXPECT_LT(error(renewed(M, v, {.form = form}), plain(form, M, v)), 1e-12) << d;
    }
  }
}

TEST(RenewFactor, EmaInvertsTheAverageOfAllVectors) {
  const int64_t d = 12, T = 7;
  Tensor M = identity(d), average = std::pow(kGamma, T) * identity(d);
  for (int64_t t = 1; t <= T; ++t) {
    const Tensor v = draws({d}, t);
    M = renewed(M, v, {.form = MkorForm::ema, .eps = 1e9});
    average += (1 - kGamma) * std::pow(kGamma, T - t) * at::outer(v, v);
  }
  EXPECT_LT(error(M.mm(average), identity(d)), 1e-10);
}

TEST(RenewFactor, ReferenceStaysBetweenZeroAndI) {
  Tensor M = identity(9);
  for (uint64_t t = 0; t < 60; ++t) {
    const auto before = renewed(M, 5 * draws({9}, t));
    const auto values = at::linalg_eigvalsh(before);
    EXPECT_GT(values.min().item<double>(), 0);
    EXPECT_LE(values.max().item<double>(), 1 + 1e-14);
    M = before;
  }
  // Without signal it returns to I: the distance falls by gamma each time.
  const double distance = error(M, identity(9));
  for (int t = 0; t < 20; ++t) M = renewed(M, at::zeros({9}, kDouble));
  EXPECT_NEAR(error(M, identity(9)), std::pow(kGamma, 20) * distance, 1e-14);
}

TEST(RenewFactor, ReferenceUnderARepeatedVectorConvergesToTheRootOfItsFixedPoint) {
  const double r = 1.7;
  Tensor v = draws({6}, 3), M = identity(6);
  v *= r / v.norm();
  for (int t = 0; t < 200; ++t) M = renewed(M, v);
  const double x = v.dot(M.mv(v)).item<double>() / (r * r);
  const double n = kGamma * x + 1 - kGamma;
  EXPECT_NEAR(x, n / (1 + n * r * r), 1e-12);
  EXPECT_GT(x, 0);
}

TEST(RenewFactor, PaperFormAmplifiesWhatEmaDamps) {
  const Tensor M = positive(8), v = draws({8}, 1);
  const Tensor direction = v / v.norm();
  const auto along = [&](const Tensor& A) { return direction.dot(A.mv(direction)).item<double>(); };
  EXPECT_GT(along(renewed(M, v, {.form = MkorForm::paper})), kGamma * along(M));
  EXPECT_LT(along(renewed(M, v, {.form = MkorForm::ema})), along(M) / kGamma);
  const Tensor average = kGamma * M.inverse() + (1 - kGamma) * at::outer(v, v);
  EXPECT_GT(error(renewed(M, v, {.form = MkorForm::paper}).mm(average), identity(8)), 0.1);
}

TEST(RenewFactor, StaysSymmetricToTheBitAndPositive) {
  for (const auto form : kForms) {
    for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) {
      Tensor M = positive(37).to(dtype);
      ASSERT_TRUE(at::equal(M, M.t()));
      for (uint64_t t = 0; t < 5; ++t) renew_factor(M, draws({1, 37}, t), {.form = form});
      EXPECT_TRUE(at::equal(M, M.t()));
      EXPECT_GT(at::linalg_eigvalsh(M.to(at::kDouble)).min().item<double>(), 0);
    }
  }
}

TEST(RenewFactor, ByZeroOnlyDecays) {
  const Tensor M = positive(11), zero = at::zeros({11}, kDouble);
  EXPECT_TRUE(at::equal(renewed(M, zero, {.form = MkorForm::ema}), M * (1 / kGamma)));
  EXPECT_LT(error(renewed(M, zero), kGamma * M + (1 - kGamma) * identity(11)), 1e-16);
  EXPECT_TRUE(at::equal(renewed(M, zero, {.form = MkorForm::paper}), M * kGamma));
}

TEST(RenewFactor, StabilisesWhereTheNormIsAboveEpsAlone) {
  const Tensor M = positive(7);
  const double entry = M.abs().max().item<double>();
  const double row_sum = M.abs().sum(1).max().item<double>();
  ASSERT_GT(row_sum, 1.2 * entry);
  const Tensor v = draws({7}, 1);
  for (const auto form : kForms) {
    for (const auto norm : {FactorNorm::entry, FactorNorm::row_sum}) {
      const double level = norm == FactorNorm::entry ? entry : row_sum;
      Tensor untouched = M.clone(), mixed = M.clone(), cleared = M.clone();
      EXPECT_FALSE(renew_factor(untouched, v.unsqueeze(0),
                                {.form = form, .eps = level * 1.001, .norm = norm})
                       .stabilised);
      EXPECT_TRUE(at::equal(untouched, renewed(M, v, {.form = form, .eps = 1e9})));
      EXPECT_TRUE(renew_factor(mixed, v.unsqueeze(0),
                               {.form = form, .eps = level * 0.999, .zeta = 0.6, .norm = norm})
                      .stabilised);
      EXPECT_LT(error(mixed, plain(form, 0.6 * M + 0.4 * identity(7), v)), 1e-13);
      renew_factor(cleared, v.unsqueeze(0), {.form = form, .eps = 1e-9, .zeta = 0, .norm = norm});
      EXPECT_LT(error(cleared, plain(form, identity(7), v)), 1e-14);
    }
  }
}

TEST(RenewFactor, BySeveralVectorsDecaysOnce) {
  const int64_t d = 10;
  const Tensor M = positive(d), V = draws({3, d}, 2), C = V.t().mm(V);
  EXPECT_LT(error(renewed(M, V, {.form = MkorForm::ema}),
                  (kGamma * M.inverse() + (1 - kGamma) * C).inverse()),
            1e-12);
  EXPECT_LT(
      error(renewed(M, V), ((kGamma * M + (1 - kGamma) * identity(d)).inverse() + C).inverse()),
      1e-12);
  const auto paper = renewed(M, V, {.form = MkorForm::paper});
  EXPECT_GT(at::linalg_eigvalsh(paper).min().item<double>(), 0);
}

// The paper's lemma: one renewal of a factor with entries up to m, rounded by eps_q, errs by at
// most O((gamma + 4 (1 - gamma) / gamma^2 m^3 d^2) eps_q).
TEST(RenewFactor, InHalfPrecisionErrsWithinTheLemmasBound) {
  for (const auto& [dtype, eps] : {std::pair{at::kHalf, 0x1p-11}, {at::kBFloat16, 0x1p-8}}) {
    for (const int64_t d : {8, 65}) {
      const Tensor exact = positive(d), stored = exact.to(dtype), v = draws({d}, 1);
      const double m = std::max(v.abs().max().item<double>(), exact.abs().max().item<double>());
      const double bound = (kGamma + 4 * (1 - kGamma) / (kGamma * kGamma) * std::pow(m, 3) *
                                         static_cast<double>(d * d)) *
                           eps;
      for (const auto form : kForms) {
        const double found =
            error(renewed(stored, v, {.form = form}), renewed(exact, v, {.form = form}));
        EXPECT_LT(found, bound);
        EXPECT_GT(found, 0);
        // What is stored is the exact renewal of what was stored, rounded once.
        const Tensor wide = renewed(stored.to(at::kFloat), v, {.form = form});
        EXPECT_LE(error(renewed(stored, v, {.form = form}), wide.to(dtype)), 0);
      }
    }
  }
}

TEST(RenewFactor, ThatLeavesTheRangeStartsAtIAgain) {
  // `ema` grows like gamma^-t in directions without signal; float32 is far from its end.
  Tensor half = 300 * identity(5).to(at::kHalf), wide = 300 * identity(5).to(at::kFloat);
  const Tensor v = at::full({1, 5}, .1, kDouble);
  const RenewalOptions ema{.form = MkorForm::ema, .eps = 1e9};
  bool reset = false;
  for (int t = 0; t < 300 && !reset; ++t) {
    EXPECT_FALSE(renew_factor(wide, v, ema).reset);
    reset = renew_factor(half, v, ema).reset;
  }
  EXPECT_TRUE(reset);
  EXPECT_TRUE(at::equal(half, identity(5).to(at::kHalf)));
  Tensor huge = 60000 * identity(3).to(at::kHalf);
  EXPECT_TRUE(
      renew_factor(huge, at::zeros({1, 3}), {.form = MkorForm::ema, .gamma = .5, .eps = 1e9})
          .reset);
  EXPECT_TRUE(at::equal(huge, identity(3).to(at::kHalf)));
  Tensor nan = at::full({3, 3}, NAN);
  EXPECT_TRUE(renew_factor(nan, at::ones({1, 3})).reset);
  EXPECT_TRUE(at::equal(nan, at::eye(3)));
}

TEST(RenewFactor, ChecksItsArguments) {
  const Tensor M = identity(4), v = at::zeros({1, 4}, kDouble);
  EXPECT_THROW(renew_factor(M, v, {.gamma = 0}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v, {.gamma = 1}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v, {.gamma = NAN}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v, {.eps = 0}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v, {.zeta = 1.1}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v, {.zeta = -.1}), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M, v[0]), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(at::zeros({3, 4}, kDouble), v), ritz::InvalidArgument);
  EXPECT_THROW(renew_factor(M.to(at::kInt), v), ritz::InvalidArgument);
  EXPECT_THROW(parse_mkor_form("woodbury"), ritz::InvalidArgument);
}

// ---- the kernels against tensor operations ----

// A transposed view is not contiguous to libtorch and takes the reference path; by symmetry it
// holds the same matrix. Sizes around a chunk of a row (1024) and several threads' shares.
TEST(FactorKernels, EqualTheirTwinInTensorOperations) {
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const int64_t d : {1, 5, 16, 33, 1024, 1037}) {
      const Tensor B = draws({d, 3}, 7) / std::sqrt(static_cast<double>(d));
      const Tensor M = (0.4 * identity(d) + 0.1 * B.mm(B.t())).to(dtype);
      const Tensor V = draws({2, d}, 8) / std::sqrt(static_cast<double>(d));
      Tensor fused = M.clone(), storage = at::empty({d, d + 1}, M.options());
      const Tensor strided = storage.narrow(1, 0, d);
      strided.copy_(M);
      for (const auto form : kForms) {
        const RenewalOptions options{.form = form, .eps = 0.1};
        const auto a = renew_factor(fused, V, options), b = renew_factor(strided, V, options);
        EXPECT_EQ(a.stabilised, b.stabilised);
        EXPECT_EQ(a.reset, b.reset);
      }
      // Three renewals of entries near 1: a unit in the last place of half precision may flip.
      const double eps = dtype == at::kDouble  ? 1e-14
                         : dtype == at::kFloat ? 1e-5
                         : dtype == at::kHalf  ? 2e-3
                                               : 1.6e-2;
      EXPECT_LT(error(fused, strided), eps) << dtype << " " << d;
    }
  }
}

TEST(FactorKernels, GiveTheSameBitsForAnyNumberOfThreads) {
  const int64_t d = 700;
  const Tensor V = draws({1, d}, 8) / 20;
  const int threads = at::get_num_threads();
  std::vector<Tensor> results;
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    Tensor M = positive(d).to(at::kHalf);
    renew_factor(M, V);
    results.push_back(M);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

TEST(FactorKernels, RoundLikeLibtorch) {
  // Every float16 through beta = gamma = 1: alpha M with alpha 1 must give back its bits, and
  // products around ties and the ends of the range round to nearest even.
  const int64_t d = 256;
  for (const auto dtype : {at::kHalf, at::kBFloat16}) {
    Tensor bits = at::arange(d * d, at::kInt).sub_(d * d / 2).to(at::kShort).view({d, d});
    Tensor M = bits.view(dtype).clone();
    M = at::where(M.isfinite(), M, at::zeros_like(M)).contiguous();
    const Tensor zero = at::zeros({d}, at::kFloat);
    for (const double alpha : {1.0, 0.95, 0.3, 1 / 1024., 0.9995}) {
      Tensor ours = M.clone();
      const bool finite = add_rank_one(dtype == at::kHalf ? Stored::float16 : Stored::bfloat16,
                                       ours.data_ptr(), zero.const_data_ptr(), d, alpha, 0, 1);
      EXPECT_TRUE(finite);
      const Tensor theirs = (M.to(at::kFloat) * static_cast<float>(alpha)).to(dtype);
      EXPECT_TRUE(at::equal(ours, theirs)) << dtype << " " << alpha;
    }
  }
}

TEST(FactorKernels, SeeWhatLeavesTheRange) {
  const Tensor w = at::zeros({3}, at::kFloat);
  for (const auto& [scale, finite] : {std::pair{1.0, true}, {1.01, false}}) {
    Tensor M = at::full({3, 3}, 65504., at::kHalf);
    EXPECT_EQ(add_rank_one(Stored::float16, M.data_ptr(), w.const_data_ptr(), 3, scale, 0, 1),
              finite);
  }
  Tensor M = at::full({3, 3}, 3e38f);
  EXPECT_FALSE(add_rank_one(Stored::float32, M.data_ptr(), w.const_data_ptr(), 3, 2, 0, 1));
}

}  // namespace
