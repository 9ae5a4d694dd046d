#include "ritz/optim/eva.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "tests/optim/kronecker/passes.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::test::difference;
using ritz::test::Problem;

const EvaOptions kPlain{.damping = 0.02, .rescale = Rescale::none};

/// (c c^T + damping I)^-1 vec(X) with c = vec(g a^T), dense.
Tensor dense_direction(const Tensor& X, const Tensor& g, const Tensor& a, double damping) {
  const Tensor c = at::outer(g, a).flatten();
  const Tensor S = at::outer(c, c) + damping * at::eye(c.numel(), c.options());
  return at::linalg_solve(S, X.reshape({-1, 1})).view(X.sizes());
}

TEST(Eva, DirectionInvertsTheDampedOuterProduct) {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    ritz::RandomStream random(2);
    const at::TensorOptions options(dtype);
    const Tensor X = random.normal({4, 5}, options), g = random.normal({4}, options);
    const Tensor a = random.normal({5}, options);
    EXPECT_LT(difference(eva_direction(X, g, a, 0.5), dense_direction(X, g, a, 0.5)),
              dtype == at::kDouble ? 1e-13 : 1e-5);
  }
}

class EvaOf : public testing::TestWithParam<std::string> {};

TEST_P(EvaOf, FollowsItsVectors) {
  const bool image = GetParam()[0] == 'c';
  const std::vector<int64_t> shape =
      image ? std::vector<int64_t>{1, 5, 5} : std::vector<int64_t>{5};
  const Problem p(GetParam(), shape);
  Eva eva(p.network, p.descent(0.05), kPlain);
  std::vector<Tensor> a, g;
  for (int step = 1; step <= 3; ++step) {
    Problem copy(GetParam(), shape);
    copy.network.set_flat_parameters(p.network.flat_parameters());
    const auto seen = copy.look();
    for (size_t k = 0; k < seen.samples.size(); ++k) {
      const Tensor mean_a = seen.samples[k].inputs.mean(0);
      const Tensor mean_g = seen.samples[k].output_gradients.mean(0) / 7;  // of the mean loss
      if (step == 1) {
        a.push_back(mean_a);
        g.push_back(mean_g);
      } else {
        a[k] = 0.05 * a[k] + 0.95 * mean_a;
        g[k] = 0.05 * g[k] + 0.95 * mean_g;
      }
    }
    const auto before = p.weights();
    eva.zero_grad();
    p.passes();
    eva.step();
    const auto after = p.weights();
    for (size_t k = 0; k < before.size(); ++k) {
      const Tensor D = dense_direction(seen.gradients[k], g[k], a[k], 0.02);
      EXPECT_LT(difference(before[k] - after[k], 0.05 * D), 1e-9) << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EvaOf, testing::Values("mlp:5-4-3:tanh", "cnn:2-3"),
                         [](const auto& info) { return info.param.substr(0, 3); });

TEST(Eva, WordsAreTheLayersWidths) {
  const Problem p("mlp:5-4-3:tanh", {5});
  ritz::dist::ProcessGroup alone;
  Eva eva(p.network, p.descent(1e-3), kPlain, &alone);
  for (int k = 0; k < 3; ++k) {
    eva.zero_grad();
    p.passes();
    eva.step();
  }
  EXPECT_EQ(alone.words_sent(), 3 * (6 + 4 + 5 + 3));
}

TEST(Eva, GoesOnFromItsStateToTheSameBits) {
  const Problem whole("mlp:5-4-3:tanh", {5}), halved("mlp:5-4-3:tanh", {5});
  const auto run = [](const Problem& p, Eva& eva, int steps) {
    for (int k = 0; k < steps; ++k) {
      eva.zero_grad();
      p.passes();
      eva.step();
    }
  };
  auto o = kPlain;
  o.f = 3;
  Eva first(whole.network, whole.descent(0.05), o), second(halved.network, halved.descent(0.05), o);
  run(whole, first, 8);
  run(halved, second, 5);
  Eva third(halved.network, halved.descent(0.05), o);
  third.load_state_dict(second.state_dict());
  run(halved, third, 3);
  EXPECT_TRUE(at::equal(whole.network.flat_parameters(), halved.network.flat_parameters()));
}

TEST(Eva, RefusesWhatCannotBe) {
  const Problem p("mlp:5-4-3:tanh", {5});
  const auto refused = [&](EvaOptions o) {
    EXPECT_THROW(Eva(p.network, p.descent(), o), ritz::InvalidArgument);
  };
  refused({.f = 0});
  refused({.damping = 0});
  refused({.weight = 0});
  refused({.weight = 1.5});
  refused({.kl_clip = -1});
}

}  // namespace
