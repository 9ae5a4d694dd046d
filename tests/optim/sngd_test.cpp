#include "ritz/optim/sngd.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "tests/optim/kronecker/passes.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::test::difference;
using ritz::test::Problem;

/// (F + damping I)^-1 X with F the mean of u u^T over the samples' gradients, dense.
Tensor dense_direction(const LayerSamples& s, const Tensor& X, double damping) {
  const auto split = [&](const Tensor& rows) { return rows.view({s.samples, s.positions, -1}); };
  const Tensor U = at::bmm(split(s.output_gradients).transpose(1, 2), split(s.inputs)).flatten(1);
  const Tensor F = U.t().mm(U) / s.samples + damping * at::eye(U.size(1), U.options());
  return at::linalg_solve(F, X.reshape({-1, 1})).view(X.sizes());
}

struct Case {
  std::string model;
  std::vector<int64_t> shape;
  at::ScalarType dtype;
};

class SngdOf : public testing::TestWithParam<Case> {
 protected:
  Problem problem() const {
    return Problem(GetParam().model, GetParam().shape, 7, GetParam().dtype);
  }
  double tolerance() const { return GetParam().dtype == at::kDouble ? 1e-10 : 1e-3; }
  void expect_exact_step(const Problem& p, Optimizer& optimizer) const {
    Problem copy = problem();
    copy.network.set_flat_parameters(p.network.flat_parameters());
    const auto seen = copy.look();
    const auto before = p.weights();
    optimizer.zero_grad();
    p.passes();
    optimizer.step();
    const auto after = p.weights();
    for (size_t k = 0; k < before.size(); ++k) {
      EXPECT_LT(difference(before[k] - after[k],
                           0.1 * dense_direction(seen.samples[k], seen.gradients[k], 0.05)),
                tolerance());
    }
  }
};

TEST_P(SngdOf, StepsAlongTheNaturalGradient) {
  const auto p = problem();
  Sngd sngd(p.network, p.descent(0.1), {.f = 1, .damping = 0.05, .rescale = Rescale::none});
  for (int step = 0; step < 2; ++step) expect_exact_step(p, sngd);
}

// All samples kept, both forms of HyLo are SNGD.
TEST_P(SngdOf, HyloOfAllSamplesIsExact) {
  for (const HyloForm form : {HyloForm::kis, HyloForm::kid}) {
    const auto p = problem();
    Hylo hylo(p.network, p.descent(0.1),
              {.f = 1, .damping = 0.05, .ratio = 1, .form = form, .rescale = Rescale::none});
    expect_exact_step(p, hylo);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SngdOf,
                         testing::Values(Case{"mlp:5-4-3:tanh", {5}, at::kDouble},
                                         Case{"mlp:5-4-3:tanh", {5}, at::kFloat},
                                         Case{"cnn:2-3", {1, 5, 5}, at::kDouble}),
                         [](const auto& info) {
                           return info.param.model.substr(0, 3) + c10::toString(info.param.dtype);
                         });

TEST(Sngd, KeepsItsSamplesBetweenRenewals) {
  const Problem p("mlp:5-4-3:tanh", {5}), now("mlp:5-4-3:tanh", {5});
  const auto first = p.look();
  Sngd sngd(p.network, p.descent(0.1), {.f = 2, .damping = 0.05, .rescale = Rescale::none});
  for (int step = 1; step <= 2; ++step) {
    now.network.set_flat_parameters(p.network.flat_parameters());
    const auto seen = now.look();
    const auto before = p.weights();
    sngd.zero_grad();
    p.passes();
    sngd.step();
    EXPECT_LT(difference(before[0] - p.weights()[0],
                         0.1 * dense_direction(first.samples[0], seen.gradients[0], 0.05)),
              1e-10);
  }
  EXPECT_EQ(sngd.sample_counts(), (std::vector<int64_t>{7, 7}));
}

TEST(Hylo, KeepsAShareOfTheSamples) {
  const Problem p("mlp:5-4-3:tanh", {5}, 41);
  for (const HyloForm form : {HyloForm::kis, HyloForm::kid}) {
    Hylo hylo(p.network, p.descent(0.1), {.ratio = 0.1, .form = form});
    hylo.zero_grad();
    p.passes();
    hylo.step();
    for (const int64_t count : hylo.sample_counts()) EXPECT_EQ(count, 4);
  }
}

TEST(Hylo, DecomposesFirstAndAfterTheRateFalls) {
  const Problem p("mlp:5-4-3:tanh", {5});
  Hylo hylo(p.network, p.descent(0.1), {.f = 1, .ratio = 0.3, .kid_steps = 3});
  std::string seen;
  for (int step = 1; step <= 12; ++step) {
    if (step == 7) hylo.set_lr(0.05);
    if (step == 11) hylo.set_lr(0.049);  // no fall
    hylo.zero_grad();
    p.passes();
    hylo.step();
    seen += hylo.decomposed() ? 'd' : 's';
  }
  EXPECT_EQ(seen, "dddsssdddsss");
}

TEST(Hylo, NoticesAFallBetweenRenewals) {
  const Problem p("mlp:5-4-3:tanh", {5});
  Hylo hylo(p.network, p.descent(0.1), {.f = 4, .ratio = 0.3, .kid_steps = 3});
  std::string seen;
  for (int step = 1; step <= 9; ++step) {
    if (step == 8) hylo.set_lr(0.01);
    hylo.zero_grad();
    p.passes();
    hylo.step();
    seen += hylo.decomposed() ? 'd' : 's';
  }
  EXPECT_EQ(seen, "ddddssssd");
}

TEST(Hylo, DrawsAreAFunctionOfTheSeed) {
  const auto end = [](uint64_t seed) {
    const Problem p("mlp:5-4-3:tanh", {5}, 30);
    Hylo hylo(p.network, p.descent(0.1), {.f = 1, .form = HyloForm::kis, .seed = seed});
    for (int k = 0; k < 2; ++k) {
      hylo.zero_grad();
      p.passes();
      hylo.step();
    }
    return p.network.flat_parameters();
  };
  EXPECT_TRUE(at::equal(end(1), end(1)));
  EXPECT_FALSE(at::equal(end(1), end(2)));
}

TEST(Sngd, WordsAreThoseOfTheSamples) {
  const Problem p("mlp:5-4-3:tanh", {5}, 20);
  const int64_t widths = 6 + 4 + 5 + 3;
  const auto words = [&](auto make) {
    ritz::dist::ProcessGroup alone;
    auto optimizer = make(&alone);
    optimizer.zero_grad();
    p.passes();
    optimizer.step();
    return alone.words_sent();
  };
  EXPECT_EQ(words([&](auto* g) { return Sngd(p.network, p.descent(), {}, g); }), 20 * widths);
  EXPECT_EQ(
      words([&](auto* g) { return Hylo(p.network, p.descent(), {.form = HyloForm::kid}, g); }),
      20 * widths);
  EXPECT_EQ(
      words([&](auto* g) { return Hylo(p.network, p.descent(), {.form = HyloForm::kis}, g); }),
      2 * 20 + 2 * widths);  // norms for two layers, two samples of each
}

TEST(Sngd, OverflowedSamplesAreSkipped) {
  for (const bool hylo : {false, true}) {
    const Problem p("mlp:5-4-3:tanh", {5}, 7, at::kFloat);
    std::unique_ptr<KroneckerOptimizer> optimizer;
    if (hylo) {
      optimizer =
          std::make_unique<Hylo>(p.network, p.descent(), HyloOptions{.form = HyloForm::kis});
    } else {
      optimizer = std::make_unique<Sngd>(p.network, p.descent());
    }
    optimizer->set_loss_scale(2);
    p.passes(0, 7, 2);
    p.network.parameters[0].value.mutable_grad().fill_(std::numeric_limits<float>::infinity());
    optimizer->step();
    EXPECT_EQ(optimizer->steps_skipped(), 1);
    EXPECT_EQ(optimizer->report()[0].skipped, 1);
  }
}

class Resumed : public testing::TestWithParam<HyloForm> {};

TEST_P(Resumed, GoesOnFromItsStateToTheSameBits) {
  const Problem whole("mlp:5-4-3:tanh", {5}, 30), halved("mlp:5-4-3:tanh", {5}, 30);
  const auto run = [](const Problem& p, Hylo& hylo, int steps) {
    for (int k = 0; k < steps; ++k) {
      hylo.zero_grad();
      p.passes();
      hylo.step();
    }
  };
  const HyloOptions o{.f = 4, .form = GetParam(), .kid_steps = 6};
  Hylo first(whole.network, whole.descent(0.05), o),
      second(halved.network, halved.descent(0.05), o);
  run(whole, first, 11);
  run(halved, second, 7);
  Hylo third(halved.network, halved.descent(0.05), o);
  third.load_state_dict(second.state_dict());
  run(halved, third, 4);
  EXPECT_TRUE(at::equal(whole.network.flat_parameters(), halved.network.flat_parameters()));
}

INSTANTIATE_TEST_SUITE_P(Hylo, Resumed,
                         testing::Values(HyloForm::kis, HyloForm::kid, HyloForm::automatic));

TEST(Sngd, RefusesWhatCannotBe) {
  const Problem p("mlp:5-4-3:tanh", {5});
  EXPECT_THROW(Sngd(p.network, p.descent(), {.damping = 0}), ritz::InvalidArgument);
  EXPECT_THROW(Sngd(p.network, p.descent(), {.f = 0}), ritz::InvalidArgument);
  EXPECT_THROW(Hylo(p.network, p.descent(), {.damping = -1}), ritz::InvalidArgument);
  EXPECT_THROW(Hylo(p.network, p.descent(), {.ratio = 0}), ritz::InvalidArgument);
  EXPECT_THROW(Hylo(p.network, p.descent(), {.ratio = 1.1}), ritz::InvalidArgument);
  EXPECT_THROW(Hylo(p.network, p.descent(), {.kid_steps = -1}), ritz::InvalidArgument);
}

TEST(Sngd, RefusesTheStateOfOtherShapes) {
  const Problem small("mlp:5-4-3:tanh", {5}), large("mlp:5-6-3:tanh", {5});
  Sngd from(large.network, large.descent()), into(small.network, small.descent());
  EXPECT_THROW(into.load_state_dict(from.state_dict()), ritz::DataError);
}

}  // namespace
