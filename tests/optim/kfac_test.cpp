#include "ritz/optim/kfac.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "tests/optim/kronecker/passes.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::test::difference;
using ritz::test::Problem;

Tensor eye_like(const Tensor& M) {
  return at::eye(M.size(0), M.options());
}

/// The moments of K-FAC's definition, dense, after one update from I.
struct Moments {
  Tensor A, G;
};
Moments moments_of(const LayerSamples& s, double decay, const Tensor& A, const Tensor& G) {
  const double rows = static_cast<double>(s.inputs.size(0));
  const double t = rows / static_cast<double>(s.samples);
  const auto updated = [&](const Tensor& M, const Tensor& X) {
    const Tensor scaled = X / t;
    return decay * M + (1 - decay) * scaled.t().mm(scaled) / rows;
  };
  return {updated(A, s.inputs), updated(G, s.output_gradients)};
}
Moments first_moments(const LayerSamples& s) {
  return moments_of(s, 0.95, at::eye(s.inputs.size(1), s.inputs.options()),
                    at::eye(s.output_gradients.size(1), s.inputs.options()));
}

/// (A kron G ...)^-1 X by dense linear algebra.
Tensor divided(const Moments& m, const Tensor& X, double damping, KfacForm form) {
  if (form == KfacForm::inverse) {
    const Tensor left = at::linalg_solve(m.G + damping * eye_like(m.G), X);
    return at::linalg_solve((m.A + damping * eye_like(m.A)).t(), left.t()).t();
  }
  const Tensor K = at::kron(m.G, m.A);
  return at::linalg_solve(K + damping * eye_like(K), X.reshape({-1, 1})).view(X.sizes());
}

struct Case {
  std::string name, model;
  std::vector<int64_t> shape;
  KfacForm form;
  at::ScalarType dtype = at::kDouble;
};

class KfacOf : public testing::TestWithParam<Case> {
 protected:
  Problem problem() const {
    return Problem(GetParam().model, GetParam().shape, 7, GetParam().dtype);
  }
  KfacOptions options() const {
    return {.f = 1, .damping = 0.1, .form = GetParam().form, .rescale = Rescale::none};
  }
  double tolerance() const { return GetParam().dtype == at::kDouble ? 1e-11 : 1e-4; }
};

// Wide layers take the batch's factors, narrow ones and convolutions the whole gradient.
TEST_P(KfacOf, DividesByItsDampedFactors) {
  const auto p = problem();
  const auto seen = p.look();
  const auto before = p.weights();
  Kfac kfac(p.network, p.descent(), options());
  p.passes();
  kfac.step();
  const auto after = p.weights();
  for (size_t k = 0; k < before.size(); ++k) {
    const Tensor D =
        divided(first_moments(seen.samples[k]), seen.gradients[k], 0.1, options().form);
    EXPECT_LT(difference(before[k] - after[k], D), tolerance()) << k;
  }
}

TEST_P(KfacOf, InvertsAndUpdatesAtTheirOwnSteps) {
  const auto p = problem();
  auto o = options();
  o.f = 3;
  o.factor_every = 2;
  Kfac kfac(p.network, p.descent(0.1), o);
  std::vector<Moments> moments, inverted;
  for (int step = 1; step <= 7; ++step) {
    const auto seen = [&] {
      // A second look in between would release the optimiser's records: on a copy.
      Problem copy = problem();
      copy.network.set_flat_parameters(p.network.flat_parameters());
      return copy.look();
    }();
    for (size_t k = 0; k < seen.samples.size(); ++k) {
      if (step == 1) {
        moments.push_back(first_moments(seen.samples[k]));
      } else if (step % 2 == 1) {
        moments[k] = moments_of(seen.samples[k], 0.95, moments[k].A, moments[k].G);
      }
    }
    if (step % 3 == 1) inverted = moments;
    const auto before = p.weights();
    kfac.zero_grad();
    p.passes();
    kfac.step();
    const auto after = p.weights();
    for (size_t k = 0; k < before.size(); ++k) {
      const Tensor D = divided(inverted[k], seen.gradients[k], 0.1, o.form);
      EXPECT_LT(difference(before[k] - after[k], 0.1 * D), 100 * tolerance()) << step;
    }
  }
}

TEST_P(KfacOf, GoesOnFromItsStateToTheSameBits) {
  const auto whole = problem(), halved = problem();
  auto o = options();
  o.f = 4;
  const auto run = [](const Problem& p, Kfac& kfac, int steps) {
    for (int k = 0; k < steps; ++k) {
      kfac.zero_grad();
      p.passes();
      kfac.step();
    }
  };
  Kfac first(whole.network, whole.descent(0.05), o),
      second(halved.network, halved.descent(0.05), o);
  run(whole, first, 9);
  run(halved, second, 6);  // between two inversions, after another update of the factors
  std::vector<ritz::nn::NamedTensor> state;
  for (const auto& [name, value] : second.state_dict()) state.push_back({name, value.clone()});
  Kfac third(halved.network, halved.descent(0.05), o);
  third.load_state_dict(state);
  run(halved, third, 3);
  EXPECT_TRUE(at::equal(whole.network.flat_parameters(), halved.network.flat_parameters()));
}

INSTANTIATE_TEST_SUITE_P(
    Forms, KfacOf,
    testing::Values(Case{"inverse", "mlp:5-4-3:tanh", {5}, KfacForm::inverse},
                    Case{"eigen", "mlp:5-4-3:tanh", {5}, KfacForm::eigen},
                    Case{"inverse_wide", "mlp:37-41-3:tanh", {37}, KfacForm::inverse},
                    Case{"eigen_wide", "mlp:23-29-3:tanh", {23}, KfacForm::eigen},
                    Case{"inverse_cnn", "cnn:3-4", {1, 6, 6}, KfacForm::inverse},
                    Case{"eigen_cnn", "cnn:3-4", {1, 6, 6}, KfacForm::eigen},
                    Case{"inverse_float", "mlp:37-41-3:tanh", {37}, KfacForm::inverse, at::kFloat},
                    Case{"eigen_float", "mlp:5-4-3:tanh", {5}, KfacForm::eigen, at::kFloat}),
    [](const auto& info) { return info.param.name; });

const KfacOptions kPlain{
    .f = 1, .damping = 0.1, .form = KfacForm::inverse, .rescale = Rescale::none};

// Someone clips a gradient by hand, or adds to it: then the batch's factors are not what it is made
// of, and the whole of it is divided.
TEST(Kfac, DividesTheGradientThatIsThere) {
  const Problem p("mlp:37-41-3:tanh", {37});
  const auto seen = p.look();
  const auto before = p.weights();
  Kfac kfac(p.network, p.descent(), kPlain);
  p.passes();
  const auto& layers = kfac.layers();
  layers[0].weight().grad().mul_(0.5);
  layers[0].bias().grad().mul_(0.5);
  layers[1].weight().grad().clamp_(-0.01, 0.01);
  const Tensor altered = layers[1].gradient();
  kfac.step();
  const auto after = p.weights();
  const auto D = [&](size_t k, const Tensor& X) {
    return divided(first_moments(seen.samples[k]), X, 0.1, KfacForm::inverse);
  };
  EXPECT_LT(difference(before[0] - after[0], 0.5 * D(0, seen.gradients[0])), 1e-11);
  EXPECT_LT(difference(before[1] - after[1], D(1, altered)), 1e-11);
}

TEST(Kfac, MicroBatchesAreOneBatch) {
  const Problem whole("mlp:5-4-3:tanh", {5}, 6), parts("mlp:5-4-3:tanh", {5}, 6);
  Kfac one(whole.network, whole.descent(0.1), kPlain),
      three(parts.network, parts.descent(0.1), kPlain);
  for (int64_t step = 1; step <= 3; ++step) {
    one.zero_grad();
    whole.passes();
    one.step();
    three.zero_grad();
    three.begin_step({.step = step, .micro_batches = 3});
    for (int64_t micro = 0; micro < 3; ++micro) parts.passes(2 * micro, 2, 1.0 / 3);
    three.step();
  }
  EXPECT_LT(difference(parts.network.flat_parameters(), whole.network.flat_parameters()), 1e-12);
}

TEST(Kfac, KlClipScalesAllLayersByOneNumber) {
  const Problem p("mlp:5-4-3:tanh", {5});
  const auto seen = p.look();
  const auto before = p.weights();
  auto o = kPlain;
  o.rescale = Rescale::kl_clip;
  o.kl_clip = 1e-4;
  const double lr = 0.2;
  Kfac kfac(p.network, p.descent(lr), o);
  p.passes();
  kfac.step();
  const auto after = p.weights();
  std::vector<Tensor> D;
  double sum = 0;
  for (size_t k = 0; k < before.size(); ++k) {
    D.push_back(divided(first_moments(seen.samples[k]), seen.gradients[k], 0.1, o.form));
    sum += (D[k] * seen.gradients[k]).sum().item<double>() * lr * lr;
  }
  const double nu = std::sqrt(1e-4 / sum);
  ASSERT_LT(nu, 1);
  for (size_t k = 0; k < before.size(); ++k) {
    EXPECT_LT(difference(before[k] - after[k], lr * nu * D[k]), 1e-11);
  }
}

TEST(Kfac, NeverInvertedIsItsBackendBitForBit) {
  const Problem first("mlp:5-4-3:tanh", {5}), second("mlp:5-4-3:tanh", {5});
  Kfac kfac(first.network, first.descent(0.1), {.f = kNever});
  const auto plain = second.descent(0.1);
  for (int k = 0; k < 3; ++k) {
    kfac.zero_grad();
    first.passes();
    kfac.step();
    plain->zero_grad();
    second.passes();
    plain->step();
  }
  EXPECT_TRUE(at::equal(first.network.flat_parameters(), second.network.flat_parameters()));
}

TEST(Kfac, OverflowedStepChangesNothing) {
  const Problem p("mlp:5-4-3:tanh", {5}, 7, at::kFloat);
  Kfac kfac(p.network, p.descent(), kPlain);
  const Tensor before = p.network.flat_parameters();
  kfac.set_loss_scale(1e38);
  p.passes(0, 7, 1e38);  // times a weight or two is beyond float32
  p.network.parameters[0].value.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  kfac.step();
  EXPECT_EQ(kfac.steps_skipped(), 1);
  EXPECT_TRUE(at::equal(p.network.flat_parameters(), before));
  for (const auto& [name, value] : kfac.state_dict()) {
    if (name[0] == 'A' || name[0] == 'G') {
      EXPECT_TRUE(at::equal(value, eye_like(value))) << name;
    }
  }
  EXPECT_EQ(kfac.report()[0].skipped, 1);
  kfac.set_loss_scale(1);
  kfac.zero_grad();
  p.passes();
  kfac.step();
  EXPECT_TRUE(at::isfinite(p.network.flat_parameters()).all().item<bool>());
  EXPECT_FALSE(at::equal(p.network.flat_parameters(), before));
}

// The identity of the paper's table: 2 sum (i'^2 + o^2) words a refresh where all hold the
// inverses, half of that where one does.
TEST(Kfac, WordsAreThoseOfItsTable) {
  const Problem p("mlp:5-4-3:tanh", {5});
  const int64_t squares = 6 * 6 + 4 * 4 + 5 * 5 + 3 * 3, sizes = 6 + 4 + 5 + 3;
  const auto words = [&](KfacForm form, Placement placement, int steps) {
    ritz::dist::ProcessGroup alone;
    auto o = kPlain;
    o.f = o.factor_every = 2;
    o.form = form;
    o.placement = placement;
    Kfac kfac(p.network, p.descent(1e-3), o, &alone);
    for (int k = 0; k < steps; ++k) {
      kfac.zero_grad();
      p.passes();
      kfac.step();
    }
    return alone.words_sent();
  };
  EXPECT_EQ(words(KfacForm::inverse, Placement::comm, 1), 2 * squares);
  EXPECT_EQ(words(KfacForm::inverse, Placement::comm, 4), 2 * 2 * squares);
  EXPECT_EQ(words(KfacForm::eigen, Placement::comm, 1), 2 * squares + sizes);
  EXPECT_EQ(words(KfacForm::inverse, Placement::mem, 1), squares);
}

TEST(Kfac, ExcludedLayersTrainFirstOrder) {
  const Problem p("mlp:5-4-3:tanh", {5});
  const auto seen = p.look();
  const auto before = p.weights();
  auto o = kPlain;
  o.exclude = {"layers.0"};
  Kfac kfac(p.network, p.descent(), o);
  ASSERT_EQ(kfac.layers().size(), 1U);
  p.passes();
  kfac.step();
  EXPECT_TRUE(at::equal(p.weights()[0], before[0] - seen.gradients[0]));
}

TEST(Kfac, RefusesWhatCannotBe) {
  const Problem p("mlp:5-4-3:tanh", {5});
  const auto refused = [&](KfacOptions o) {
    EXPECT_THROW(Kfac(p.network, p.descent(), o), ritz::InvalidArgument);
  };
  refused({.f = 0});
  refused({.factor_every = 0});
  refused({.warmup = -1});
  refused({.damping = 0});
  refused({.decay = 1});
  refused({.decay = -0.1});
  refused({.kl_clip = 0});
  refused({.placement = Placement::hybrid, .grad_worker_fraction = 2});
  refused({.exclude = {"nothing"}});
  EXPECT_THROW(Kfac(p.network, nullptr), ritz::InvalidArgument);
  auto no_layers = p.network;
  no_layers.layers.clear();
  EXPECT_THROW(Kfac(no_layers, p.descent()), ritz::Unsupported);
}

TEST(Kfac, RefusesAnotherStateByName) {
  const Problem small("mlp:5-4-3:tanh", {5}), large("mlp:5-6-3:tanh", {5});
  Kfac from(large.network, large.descent(), kPlain), into(small.network, small.descent(), kPlain);
  try {
    into.load_state_dict(from.state_dict());
    FAIL();
  } catch (const ritz::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("G.layers.0"), std::string::npos) << error.what();
  }
  EXPECT_THROW(into.load_state_dict(small.descent()->state_dict()), ritz::DataError);
}

}  // namespace
