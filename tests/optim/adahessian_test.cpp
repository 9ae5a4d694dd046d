// AdaHessian against exhaustive sign vectors, dense Hessians and plain formulas.
#include "ritz/optim/adahessian.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/detail/memory_meter.h"
#include "ritz/nn/models.h"
#include "tests/dist/launch.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using Rule = HessianBlock::Rule;

constexpr auto kDouble = at::kDouble;

Tensor leaf(const Tensor& value) {
  return value.detach().clone().requires_grad_();
}

/// The diagonal estimate of one step: with beta2 = 0, v is D^2 by blocks.
Tensor block_squares(AdaHessian& optimizer, int64_t parameter = 0) {
  for (const auto& [name, value] : optimizer.state_dict()) {
    if (name == "exp_hessian_sq." + std::to_string(parameter)) return value.clone();
  }
  return {};
}

/// f(w) = 1/2 w^T H w
struct Quadratic {
  Tensor H;
  Tensor operator()(const Tensor& w) const { return 0.5 * w.dot(H.mv(w)); }
};

Quadratic random_quadratic(int64_t n, at::ScalarType dtype = kDouble) {
  ritz::RandomStream random(5, ritz::stream_id("test/quadratic"));
  const Tensor A = random.normal({n, n}, at::TensorOptions(dtype));
  return {A + A.t()};
}

void one_step(AdaHessian& optimizer, const Tensor& loss) {
  optimizer.zero_grad();
  optimizer.backward(loss);
  optimizer.step();
}

TEST(AdaHessian, SolvesASeparableQuadraticInOneNewtonStep) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const Tensor d = at::logspace(0, 4, 10, 10.0, at::TensorOptions(dtype));
    const Tensor w = leaf(at::ones({10}, dtype));
    AdaHessian optimizer({w}, {.lr = 1, .beta1 = 0, .eps = 0});
    one_step(optimizer, 0.5 * (d * w * w).sum());
    EXPECT_LT(w.detach().abs().max().item<double>(), dtype == at::kFloat ? 1e-6 : 1e-14);
  }
}

TEST(AdaHessian, ConstantCurvatureGivesItselfAtEveryStep) {
  const Tensor d = at::tensor({3.0, 0.5, 7.0}, kDouble), w = leaf(at::ones({3}, kDouble));
  // With beta1 = 0 a step is w - lr d w / |d| = (1 - lr) w, whatever t, if bias correction is
  // exact.
  AdaHessian optimizer({w}, {.lr = 0.1, .beta1 = 0, .eps = 0});
  for (int t = 1; t <= 5; ++t) {
    one_step(optimizer, 0.5 * (d * w * w).sum());
    EXPECT_LT((w.detach() - std::pow(0.9, t)).abs().max().item<double>(), 1e-14);
  }
}

/// All 2^n sign vectors: the mean of z h and of (z h)^2.
TEST(AdaHessian, ExhaustiveProbesGiveDiagonalAndRowNorms) {
  const int64_t n = 8;
  const auto f = random_quadratic(n);
  Tensor mean = at::zeros({n}, kDouble), square = at::zeros({n}, kDouble);
  for (int64_t bits = 0; bits < (1 << n); ++bits) {
    Tensor z = at::empty({n}, kDouble);
    for (int64_t i = 0; i < n; ++i) z[i] = (bits >> i) & 1 ? 1.0 : -1.0;
    const Tensor D = z * f.H.mv(z);
    mean += D / (1 << n);
    square += D * D / (1 << n);
  }
  EXPECT_LT((mean - f.H.diag()).abs().max().item<double>(), 1e-12);
  EXPECT_LT((square - f.H.square().sum(1)).abs().max().item<double>(), 1e-11);
}

TEST(AdaHessian, MeanOverManyProbesIsTheDiagonalWithinItsError) {
  const int64_t n = 9, probes = 4000;
  const auto f = random_quadratic(n);
  const Tensor w = leaf(at::ones({n}, kDouble));
  // One block a single entry; signed means of all probes; beta2 = 0 leaves D^2 in v.
  AdaHessian optimizer({w}, {.lr = 0, .beta2 = 0, .signed_mean = true}, {.probes = probes});
  one_step(optimizer, f(w));
  const Tensor off = f.H - at::diag(f.H.diag());
  const Tensor sigma = (off.square().sum(1) / probes).sqrt();
  const Tensor error = (block_squares(optimizer).sqrt() - f.H.diag().abs()).abs();
  EXPECT_TRUE((error < 5 * sigma).all().item<bool>());
  EXPECT_GT(error.max().item<double>(), 0);
}

TEST(AdaHessian, ProductsAreThoseOfTheDenseHessian) {
  // |D| of one probe is |H z|: compared with the dense Hessian times the same signs, found by
  // solving for them: |H z|^2 summed over all z is known, so here z is read off a diagonal loss.
  const int64_t n = 7;
  const auto f = random_quadratic(n);
  const Tensor w = leaf(at::ones({n}, kDouble)), u = leaf(at::ones({n}, kDouble));
  AdaHessian a({w}, {.lr = 0, .beta2 = 0}, {.seed = 3});
  one_step(a, f(w));
  // Coupling through one more coordinate of known sign makes signs visible: h_i = z_i + c z_0.
  AdaHessian b({u}, {.lr = 0, .beta2 = 0}, {.seed = 3});
  one_step(b, 0.5 * u.dot(u) + 2 * u[0] * u.slice(0, 1).sum());
  const Tensor seen = block_squares(b).sqrt();  // |z_i + 2 z_0|: 3 where the signs agree, else 1
  Tensor z = at::where(seen > 2, at::ones({n}, kDouble), -at::ones({n}, kDouble));
  z[0] = 1;
  EXPECT_LT((block_squares(a).sqrt() - f.H.mv(z).abs()).abs().max().item<double>(), 1e-12);
}

struct Case {
  std::vector<int64_t> shape;
  HessianBlock block;
  int64_t length;
};

TEST(AdaHessian, BlocksAreThoseOfTheRules) {
  const std::vector<Case> cases{{{4, 3, 3, 3}, {Rule::kernel}, 9},
                                {{4, 3, 5}, {Rule::kernel}, 5},
                                {{2, 3, 2, 2, 3}, {Rule::kernel}, 12},
                                {{4, 3, 1, 1}, {Rule::kernel}, 1},
                                {{4, 6}, {Rule::kernel}, 1},
                                {{4, 6}, {Rule::row}, 6},
                                {{4, 3, 3, 3}, {Rule::row}, 27},
                                {{7}, {Rule::row}, 1},
                                {{5, 7}, {Rule::chunk, 8}, 8},
                                {{11}, {Rule::chunk, 8}, 1},
                                {{}, {Rule::row}, 1},
                                {{70, 41}, {Rule::row}, 41},
                                {{2, 5000}, {Rule::row}, 5000},
                                {{4, 6}, {Rule::none}, 1}};
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    for (const bool is_signed : {false, true}) {
      for (const auto& [shape, block, length] : cases) {
        ritz::RandomStream random(1, ritz::stream_id("test/block"));
        const Tensor d = random.normal(shape, at::TensorOptions(dtype));
        const Tensor w = leaf(at::ones(shape, dtype));
        AdaHessian optimizer({w}, {.lr = 0.5,
                                   .beta1 = 0,
                                   .beta2 = 0,
                                   .eps = 0.25,
                                   .block = block,
                                   .signed_mean = is_signed});
        one_step(optimizer, 0.5 * (d * w * w).sum());
        // The Hessian is diag(d): D = d (signed) or |d| for every z.
        const Tensor flat = (is_signed ? d : d.abs()).flatten();
        const int64_t n = flat.size(0);
        std::vector<Tensor> means;
        Tensor expected = at::empty_like(flat);
        for (int64_t i = 0; i < n; i += length) {
          const int64_t m = std::min(length, n - i);
          means.push_back(flat.narrow(0, i, m).mean());
          expected.narrow(0, i, m).copy_(1 - 0.5 * d.flatten().narrow(0, i, m) /
                                                 (means.back().abs() + 0.25));
        }
        const double tolerance = dtype == at::kFloat ? 2e-5 : 1e-12;
        const Tensor v = block_squares(optimizer);
        ASSERT_EQ(v.size(0), static_cast<int64_t>(means.size()));
        EXPECT_LT((v - at::stack(means).square()).abs().max().item<double>(), tolerance);
        EXPECT_LT((w.detach().flatten() - expected).abs().max().item<double>(), tolerance)
            << "block " << length << " of " << w.sizes();
      }
    }
  }
}

TEST(AdaHessian, SignedMeansNeverExceedThoseOfSizes) {
  const auto f = random_quadratic(24);
  const Tensor a = leaf(at::ones({4, 6}, kDouble)), b = leaf(at::ones({4, 6}, kDouble));
  AdaHessian sizes({a}, {.beta2 = 0, .block = {Rule::row}}),
      signs({b}, {.beta2 = 0, .block = {Rule::row}, .signed_mean = true});
  one_step(sizes, f(a.flatten()));
  one_step(signs, f(b.flatten()));
  EXPECT_TRUE((block_squares(signs) <= block_squares(sizes)).all().item<bool>());
  EXPECT_FALSE(at::allclose(block_squares(signs), block_squares(sizes)));
}

TEST(AdaHessian, FusedPassEqualsTensorOperations) {
  // A limit so high that it never cuts forces the path in tensor operations.
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    for (const double k : {1.0, 0.5, 0.0}) {
      for (const HessianBlock block :
           {HessianBlock{Rule::none}, HessianBlock{Rule::row}, HessianBlock{Rule::chunk, 37}}) {
        const auto f = random_quadratic(130, dtype);
        const Tensor a = leaf(at::ones({10, 13}, dtype)), b = leaf(at::ones({10, 13}, dtype));
        const AdaHessianOptions options{
            .lr = 0.02, .beta2 = 0.9, .k = k, .weight_decay = 0.1, .block = block};
        auto limited = options;
        limited.clip = 1e30;
        AdaHessian fused({a}, options, {.f = 2, .warmup = 1}),
            plain({b}, limited, {.f = 2, .warmup = 1});
        for (int t = 0; t < 6; ++t) {
          one_step(fused, f(a.flatten()));
          one_step(plain, f(b.flatten()));
        }
        EXPECT_LT((a - b).abs().max().item<double>(), dtype == at::kFloat ? 1e-4 : 1e-12);
        EXPECT_GT((a - 1).abs().max().item<double>(), 1e-3);
      }
    }
  }
}

TEST(AdaHessian, PowerZeroIsMomentumOverOnePlusEps) {
  const auto f = random_quadratic(5);
  const Tensor w = leaf(at::ones({5}, kDouble));
  AdaHessian optimizer({w}, {.lr = 0.01, .eps = 0.5, .k = 0});
  Tensor u = at::ones({5}, kDouble), m = at::zeros({5}, kDouble);
  for (int t = 1; t <= 4; ++t) {
    one_step(optimizer, f(w));
    m = 0.9 * m + 0.1 * f.H.mv(u);
    u = u - 0.01 * m / (1 - std::pow(0.9, t)) / 1.5;
  }
  EXPECT_LT((w.detach() - u).abs().max().item<double>(), 1e-13);
}

TEST(AdaHessian, StepsDoNotDependOnTheUnitOfTheLoss) {
  for (const double k : {1.0, 0.5}) {
    const auto f = random_quadratic(6);
    const Tensor a = leaf(at::ones({6}, kDouble)), b = leaf(at::ones({6}, kDouble));
    const double c = 1e6;
    // The step is g / |D|^k: it scales as c^(1 - k).
    AdaHessian one({a}, {.lr = 0.1, .eps = 0, .k = k}),
        other({b}, {.lr = 0.1 / std::pow(c, 1 - k), .eps = 0, .k = k});
    for (int t = 0; t < 5; ++t) {
      one_step(one, f(a));
      one_step(other, c * f(b));
    }
    EXPECT_LT((a - b).abs().max().item<double>(), 1e-11);
  }
}

TEST(AdaHessian, IteratesMapUnderADiagonalChangeOfVariables) {
  const Tensor d = at::tensor({2.0, 5.0, 0.3}, kDouble), s = at::tensor({1e3, 0.1, 7.0}, kDouble);
  const Tensor start = at::tensor({1.0, -2.0, 3.0}, kDouble);
  const Tensor theta = leaf(start), phi = leaf(start / s);
  AdaHessian a({theta}, {.eps = 0}), b({phi}, {.eps = 0});
  for (int t = 0; t < 6; ++t) {
    one_step(a, (d * theta.square()).sum() + (d * theta.pow(4)).sum());
    const Tensor x = s * phi;
    one_step(b, (d * x.square()).sum() + (d * x.pow(4)).sum());
  }
  EXPECT_LT(((theta - s * phi) / theta).abs().max().item<double>(), 1e-11);
}

TEST(AdaHessian, GoesDownhillWhereCurvatureIsNegative) {
  const Tensor w = leaf(at::tensor({0.5}, kDouble));
  AdaHessian optimizer({w}, {.lr = 0.1, .eps = 0});
  one_step(optimizer, -w.square().sum());
  EXPECT_NEAR(w.item<double>(), 0.55, 1e-14);  // away from the maximum at 0
}

TEST(AdaHessian, DecayAloneShrinksWeights) {
  const Tensor w = leaf(at::tensor({2.0, -4.0}, kDouble));
  AdaHessian optimizer({w}, {.lr = 0.1, .weight_decay = 0.3});
  one_step(optimizer, (w * 0).sum() + 0 * w.square().sum());
  EXPECT_LT((w.detach() - at::tensor({2.0, -4.0}, kDouble) * 0.97).abs().max().item<double>(),
            1e-15);
}

TEST(AdaHessian, BetweenLooksReuseRepeatsTheDiagonalAndHoldRests) {
  const auto f = random_quadratic(6);
  for (const bool hold : {false, true}) {
    const Tensor w = leaf(at::ones({6}, kDouble));
    AdaHessian optimizer({w}, {.lr = 1e-3, .beta2 = 0.5}, {.f = 3, .warmup = 0, .hold = hold});
    Tensor D2, v = at::zeros({6}, kDouble);
    for (int t = 1; t <= 7; ++t) {
      const Tensor before = t > 1 ? block_squares(optimizer) : v;
      one_step(optimizer, f(w));
      const Tensor after = block_squares(optimizer);
      const bool look = (t - 1) % 3 == 0;
      EXPECT_EQ(optimizer.statistics()[0].second, look ? 1 : 0);
      if (look) {
        D2 = 2 * (after - 0.5 * before);
      } else if (hold) {
        EXPECT_TRUE(at::equal(after, before));
      } else {
        EXPECT_LT((after - (0.5 * before + 0.5 * D2)).abs().max().item<double>(), 1e-10);
      }
    }
  }
}

TEST(AdaHessian, WarmUpLooksAtEveryStep) {
  const auto f = random_quadratic(4);
  const Tensor w = leaf(at::ones({4}, kDouble));
  AdaHessian optimizer({w}, {.lr = 1e-3}, {.f = 5, .warmup = 3});
  std::vector<double> looked;
  for (int t = 1; t <= 7; ++t) {
    one_step(optimizer, f(w));
    looked.push_back(optimizer.statistics()[0].second);
  }
  EXPECT_EQ(looked, (std::vector<double>{1, 1, 1, 0, 0, 1, 0}));
}

TEST(AdaHessian, FiniteDifferencesAndGaussNewtonAgreeWithTheirDefinitions) {
  const auto make = [] {
    return ritz::nn::make_network("mlp:5-7-3:tanh",
                                  {.tensor = at::TensorOptions(kDouble), .seed = 2});
  };
  ritz::RandomStream random(4, ritz::stream_id("test/samples"));
  const Tensor x = random.normal({11, 5}, at::TensorOptions(kDouble));
  const Tensor y = random.integers({11}, 0, 3);
  const ritz::nn::Loss loss;
  const auto squares = [&](HessianProducts how, const ritz::nn::Loss& rule, const Tensor& targets) {
    const auto network = make();
    AdaHessian optimizer(network.parameter_values(), {.lr = 0, .beta2 = 0}, {.products = how});
    const Tensor z = network.forward(x);
    optimizer.backward({.loss = rule(z, targets), .outputs = z, .rule = &rule, .again = [&] {
                          return rule(network.forward(x), targets);
                        }});
    optimizer.step();
    std::vector<Tensor> all;
    for (int64_t i = 0; i < 4; ++i) all.push_back(block_squares(optimizer, i));
    return at::cat(all);
  };
  const Tensor exact = squares(HessianProducts::double_backward, loss, y);
  const Tensor differences = squares(HessianProducts::finite_difference, loss, y);
  EXPECT_LT((exact.sqrt() - differences.sqrt()).abs().max().item<double>(), 1e-7);
  // Of a network that is linear in its parameters Hessian and Gauss-Newton matrix are the same.
  const auto linear = [&](HessianProducts how) {
    const auto network =
        ritz::nn::make_network("mlp:5-3", {.tensor = at::TensorOptions(kDouble), .seed = 2});
    AdaHessian optimizer(network.parameter_values(), {.lr = 0, .beta2 = 0}, {.products = how});
    const Tensor z = network.forward(x);
    optimizer.backward({.loss = 0.5 * loss(z, y), .outputs = z, .rule = &loss, .weight = 0.5});
    optimizer.step();
    return at::cat({block_squares(optimizer, 0), block_squares(optimizer, 1)});
  };
  EXPECT_LT((linear(HessianProducts::gauss_newton) - linear(HessianProducts::double_backward))
                .abs()
                .max()
                .item<double>(),
            1e-14);
  EXPECT_FALSE(at::allclose(exact, squares(HessianProducts::gauss_newton, loss, y)));
}

TEST(AdaHessian, MicroBatchesAreOneLargeBatch) {
  ritz::RandomStream random(4, ritz::stream_id("test/samples"));
  const Tensor x = random.normal({12, 5}, at::TensorOptions(kDouble));
  const Tensor y = random.normal({12, 1}, at::TensorOptions(kDouble));
  const Tensor a = leaf(at::ones({5, 1}, kDouble)), b = leaf(at::ones({5, 1}, kDouble));
  const auto loss = [&](const Tensor& w, int64_t begin, int64_t n) {
    return (x.narrow(0, begin, n).mm(w).tanh() - y.narrow(0, begin, n)).square().sum() / 12;
  };
  AdaHessian whole({a}), parts({b});
  for (int t = 0; t < 3; ++t) {
    one_step(whole, loss(a, 0, 12));
    parts.zero_grad();
    for (int64_t k = 0; k < 3; ++k) parts.backward(loss(b, 4 * k, 4));
    parts.step();
  }
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-13);
}

TEST(AdaHessian, ResumesToTheSameBits) {
  const auto f = random_quadratic(12);
  for (const bool hold : {false, true}) {
    const HessianSchedule schedule{.f = 3, .warmup = 2, .hold = hold, .seed = 9};
    const AdaHessianOptions options{.lr = 0.01, .block = {Rule::chunk, 5}};
    const Tensor a = leaf(at::ones({3, 4}, kDouble)), b = leaf(at::ones({3, 4}, kDouble));
    AdaHessian whole({a}, options, schedule), first({b}, options, schedule);
    for (int t = 0; t < 4; ++t) {
      one_step(whole, f(a.flatten()));
      one_step(first, f(b.flatten()));
    }
    AdaHessian second({b}, options, schedule);
    std::vector<ritz::nn::NamedTensor> state;
    for (const auto& [name, value] : first.state_dict()) state.push_back({name, value.clone()});
    second.load_state_dict(state);
    for (int t = 0; t < 5; ++t) {
      one_step(whole, f(a.flatten()));
      one_step(second, f(b.flatten()));
    }
    EXPECT_TRUE(at::equal(a, b));
  }
}

TEST(AdaHessian, ProbesDependOnSeedStepAndPlaceAlone) {
  const auto f = random_quadratic(6);
  const Tensor a = leaf(at::ones({6}, kDouble)), b = leaf(at::ones({6}, kDouble)),
               c = leaf(at::ones({6}, kDouble)), unused = leaf(at::ones({1000}, kDouble));
  AdaHessian one({a}, {.lr = 0}), same({b, unused}, {.lr = 0}), other({c}, {.lr = 0}, {.seed = 1});
  one_step(one, f(a));
  one_step(same, f(b));
  one_step(other, f(c));
  EXPECT_TRUE(at::equal(block_squares(one), block_squares(same)));
  EXPECT_FALSE(at::equal(block_squares(one), block_squares(other)));
  EXPECT_TRUE(at::equal(unused, at::ones({1000}, kDouble)));  // not in the loss: skipped
}

TEST(AdaHessian, GraphsAreReleasedOverManySteps) {
  const auto network = ritz::nn::make_network("mlp:20-30-4", {.seed = 1});
  ritz::RandomStream random(1, ritz::stream_id("test/samples"));
  const Tensor x = random.normal({16, 20}, at::TensorOptions(at::kFloat));
  const Tensor y = random.integers({16}, 0, 4);
  const ritz::nn::Loss loss;
  AdaHessian optimizer(network.parameter_values(), {.lr = 0.01}, {.f = 2});
  const auto step = [&] { one_step(optimizer, loss(network.forward(x), y)); };
  const ritz::nn::detail::MemoryMeter meter;
  for (int t = 0; t < 12; ++t) step();  // gradients and state are there
  const int64_t live = meter.live();
  for (int t = 0; t < 1000; ++t) step();
  EXPECT_EQ(meter.live(), live);
  EXPECT_GT(meter.peak(), 0);
}

TEST(AdaHessian, StepsThatDoNotLookNeedNoGradientGraph) {
  const auto network = ritz::nn::make_network("mlp:50-60-60-4", {.seed = 1});
  const Tensor x = at::ones({64, 50}), y = at::zeros({64}, at::kLong);
  const ritz::nn::Loss loss;
  AdaHessian optimizer(network.parameter_values(), {.lr = 0.01}, {.f = 4, .warmup = 0});
  std::vector<int64_t> peaks;
  for (int t = 0; t < 8; ++t) {
    const ritz::nn::detail::MemoryMeter meter;
    one_step(optimizer, loss(network.forward(x), y));
    peaks.push_back(meter.peak());
  }
  EXPECT_LT(peaks[5], 0.8 * peaks[4]);
}

TEST(AdaHessian, NonFiniteHessiansAndGradientsAreSkippedAndCounted) {
  const Tensor w = leaf(at::tensor({1.0, 2.0}, kDouble));
  AdaHessian optimizer({w}, {.lr = 0.1}, {.warmup = 0});
  one_step(optimizer, w.square().sum());
  const Tensor before = block_squares(optimizer), at_w = w.detach().clone();
  // |x|^1.5 at 0: a finite gradient (0) with an infinite second derivative.
  one_step(optimizer, w.square().sum() + (w - w.detach()).abs().pow(1.5).sum());
  EXPECT_TRUE(at::equal(block_squares(optimizer), before));
  EXPECT_FALSE(at::equal(w, at_w));
  const Tensor then = w.detach().clone();
  one_step(optimizer, (w / 0.0).sum() + w.square().sum());
  EXPECT_TRUE(at::equal(w, then));
  const auto statistics = optimizer.statistics();
  EXPECT_EQ(statistics[3], (std::pair<std::string, double>{"skipped_hessians", 1}));
  EXPECT_EQ(statistics[4], (std::pair<std::string, double>{"skipped_steps", 1}));
}

TEST(AdaHessian, LossScaleLeavesNoTraceButSkipsOverflow) {
  const auto f = random_quadratic(5);
  const Tensor a = leaf(at::ones({5}, kDouble)), b = leaf(at::ones({5}, kDouble));
  AdaHessian plain({a}), scaled({b});
  scaled.set_loss_scale(1024);  // a power of two: exact
  for (int t = 0; t < 3; ++t) {
    one_step(plain, f(a));
    one_step(scaled, 1024 * f(b));
  }
  EXPECT_TRUE(at::equal(a, b));
  one_step(scaled, INFINITY * f(b));
  EXPECT_TRUE(at::equal(a, b));
}

TEST(AdaHessian, LimitsCutTheDirection) {
  const Tensor d = at::tensor({1.0, 1.0, 1e-12}, kDouble);
  const auto step_of = [&](AdaHessianOptions options) {
    const Tensor w = leaf(at::zeros({3}, kDouble));
    options.lr = 1;
    options.beta1 = 0;
    options.eps = 1e-6;
    AdaHessian optimizer({w}, options);
    one_step(optimizer, 0.5 * (d * w * w).sum() + w.sum());
    return -w.detach();
  };
  EXPECT_GT(step_of({})[2].item<double>(), 1e5);
  EXPECT_NEAR(step_of({.cap = 3})[2].item<double>(), 3, 1e-4);
  EXPECT_NEAR(step_of({.clip = 2}).square().mean().sqrt().item<double>(), 2, 1e-9);
}

TEST(AdaHessian, ClosuresReturnTheLossWithItsGraph) {
  const Tensor w = leaf(at::ones({2}, kDouble));
  AdaHessian optimizer({w}, {.lr = 1, .beta1 = 0, .eps = 0});
  const Tensor loss = optimizer.step([&] {
    optimizer.zero_grad();
    return w.square().sum();
  });
  EXPECT_EQ(loss.item<double>(), 2);
  EXPECT_LT(w.detach().abs().max().item<double>(), 1e-15);
}

TEST(AdaHessian, GroupsHaveTheirOwnOptionsAndFrozenParametersRest) {
  const Tensor a = leaf(at::ones({2}, kDouble)), b = leaf(at::ones({2}, kDouble)),
               frozen = at::ones({2}, kDouble);
  const AdaHessianOptions newton{.lr = 1, .beta1 = 0, .eps = 0};
  AdaHessianOptions half = newton;
  half.lr = 0.5;
  AdaHessian optimizer({group({frozen, a}, newton), group({b}, half)});
  one_step(optimizer, (a.square() + 3 * b.square() + frozen).sum());
  EXPECT_LT(a.detach().abs().max().item<double>(), 1e-15);
  EXPECT_LT((b.detach() - 0.5).abs().max().item<double>(), 1e-15);
  EXPECT_TRUE(at::equal(frozen, at::ones({2}, kDouble)));
}

template <class Error, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error of that kind";
}

TEST(AdaHessian, BadInputIsNamed) {
  const Tensor w = leaf(at::ones({2}, kDouble));
  const auto with = [&](AdaHessianOptions o, HessianSchedule s = {}) {
    return message_of<ritz::InvalidArgument>([&] { AdaHessian({w}, o, s); });
  };
  EXPECT_NE(with({.lr = -1}).find("lr"), std::string::npos);
  EXPECT_NE(with({.beta1 = 1}).find("beta1"), std::string::npos);
  EXPECT_NE(with({.beta2 = -0.1}).find("beta2"), std::string::npos);
  EXPECT_NE(with({.eps = -1}).find("eps"), std::string::npos);
  EXPECT_NE(with({.k = 1.5}).find("k:"), std::string::npos);
  EXPECT_NE(with({.block = {Rule::chunk, 0}}).find("block"), std::string::npos);
  EXPECT_NE(with({}, {.f = 0}).find("f:"), std::string::npos);
  EXPECT_NE(with({}, {.probes = 0}).find("probes"), std::string::npos);

  AdaHessian optimizer({w});
  EXPECT_NE(message_of<ritz::InvalidArgument>([&] {
              optimizer.backward(at::ones({}));
            }).find("loss: expected a tensor with its graph"),
            std::string::npos);
  EXPECT_NE(message_of<ritz::InvalidArgument>([&] {
              w.square().sum().backward();
              optimizer.step();
            }).find("backward(loss)"),
            std::string::npos);
  AdaHessian differences({w}, {}, {.products = HessianProducts::finite_difference});
  EXPECT_NE(message_of<ritz::InvalidArgument>([&] { differences.backward(w.sum()); }).find("again"),
            std::string::npos);

  const Tensor table = leaf(at::ones({4, 2}, kDouble));
  AdaHessian sparse({table});
  const Tensor rows = at::embedding(table, at::tensor({1, 2}, at::kLong), -1, false, true);
  EXPECT_NE(
      message_of<ritz::Unsupported>([&] { sparse.backward(rows.square().sum()); }).find("sparse"),
      std::string::npos);
}

TEST(AdaHessian, NamesTheOperationThatHasNoSecondDerivative) {
  ritz::RandomStream random(1, ritz::stream_id("test/attention"));
  const Tensor q = leaf(random.normal({1, 2, 8, 4}, at::TensorOptions(at::kFloat)));
  const auto flash = at::_scaled_dot_product_flash_attention_for_cpu(q, q, q);
  AdaHessian optimizer({q});
  const std::string message =
      message_of<ritz::Unsupported>([&] { optimizer.backward(std::get<0>(flash).sum()); });
  EXPECT_NE(message.find("flash_attention"), std::string::npos) << message;
  EXPECT_NE(message.find("finite differences"), std::string::npos) << message;
}

/// Rank r of P takes rows r, r + P, ... of the batch; the same iterates as one process.
Tensor trained(ritz::dist::ProcessGroup& group, bool is_signed) {
  const int64_t ranks = group.world_size();
  ritz::RandomStream random(4, ritz::stream_id("test/samples"));
  const Tensor x =
      random.normal({12, 5}, at::TensorOptions(kDouble)).slice(0, group.rank(), 12, ranks);
  const Tensor w = leaf(at::ones({5, 4}, kDouble));
  AdaHessian optimizer({w}, {.block = {Rule::row}, .signed_mean = is_signed}, {.f = 2, .warmup = 0},
                       &group);
  for (int t = 0; t < 5; ++t) {
    optimizer.zero_grad();
    optimizer.backward((x.mm(w).tanh().sum(1).sin()).mean());
    group.all_reduce_sum(w.mutable_grad());
    w.mutable_grad() /= ranks;
    optimizer.step();
  }
  return w.detach();
}

TEST(AdaHessian, DISABLED_Rank) {
  auto group = ritz::dist::ProcessGroup::from_environment();
  ritz::dist::ProcessGroup alone;
  for (const bool is_signed : {false, true}) {
    EXPECT_LT((trained(group, is_signed) - trained(alone, is_signed)).abs().max().item<double>(),
              1e-12);
  }
}

TEST(AdaHessian, RanksAreOneLargeBatch) {
  for (const int ranks : {2, 3}) {
    for (const pid_t pid : ritz::test::start_ranks(ranks, "AdaHessian.DISABLED_Rank")) {
      EXPECT_EQ(ritz::test::finish(pid), 0);
    }
  }
}

}  // namespace
