// The fused optimisers against libtorch's own, their reference twins, and plain formulas.
#include "ritz/optim/first_order.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <sstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/optim/detail/kernels.h"
#include "ritz/optim/lamb.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

// Odd sizes: below a vector, no multiple of one, above one thread's share, a scalar.
const std::vector<std::vector<int64_t>> kShapes{{3}, {17, 13}, {70001}, {}};

std::vector<Tensor> parameters(at::ScalarType dtype, bool transposed = false) {
  ritz::RandomStream random(1, ritz::stream_id("test/parameters"));
  std::vector<Tensor> all;
  for (const auto& shape : kShapes) {
    Tensor value = random.normal(shape, at::TensorOptions(dtype));
    if (transposed && shape.size() == 2) value = value.t().contiguous().t();
    all.push_back(value.requires_grad_());
  }
  return all;
}

void set_gradients(const std::vector<Tensor>& all, uint64_t step) {
  ritz::RandomStream random(2, ritz::stream_id("test/gradients", step));
  for (const Tensor& parameter : all) {
    parameter.mutable_grad() =
        random.normal(parameter.sizes(), parameter.options().requires_grad(false));
  }
}

double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double most = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    const Tensor d = (a[k].detach() - b[k].detach()).abs().max();
    most = std::max(most, d.item<double>());
  }
  return most;
}

template <class Optimizer>
std::vector<Tensor> after_steps(Optimizer&& optimizer, std::vector<Tensor> all, int steps) {
  for (int step = 1; step <= steps; ++step) {
    set_gradients(all, step);
    optimizer.step();
  }
  return all;
}

template <class Theirs, class TheirOptions, class Ours, class OurOptions>
void expect_same(const TheirOptions& theirs, const OurOptions& ours) {
  // 7 updates of size lr <= 0.1, each rounded a few times: 1e-14 and 1e-5 bound the differences.
  for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 1e-13}, {at::kFloat, 2e-5}}) {
    auto a = parameters(dtype), b = parameters(dtype);
    after_steps(Theirs(a, theirs), a, 7);
    after_steps(Ours(b, ours), b, 7);
    EXPECT_LT(distance(a, b), tolerance);
    EXPECT_GT(distance(b, parameters(dtype)), 1e-3);
  }
}

TEST(Sgd, EqualsLibtorchs) {
  using torch::optim::SGDOptions;
  expect_same<torch::optim::SGD, SGDOptions, Sgd>(SGDOptions(0.1), SgdOptions{.lr = 0.1});
  expect_same<torch::optim::SGD, SGDOptions, Sgd>(
      SGDOptions(0.1).momentum(0.9).dampening(0.2).weight_decay(0.03),
      SgdOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.03});
  expect_same<torch::optim::SGD, SGDOptions, Sgd>(
      SGDOptions(0.1).momentum(0.9).nesterov(true),
      SgdOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true});
}

TEST(Adam, EqualsLibtorchsCoupledAndDecoupled) {
  expect_same<torch::optim::Adam, torch::optim::AdamOptions, Adam>(
      torch::optim::AdamOptions(0.01).weight_decay(0.1),
      AdamOptions{.lr = 0.01, .weight_decay = 0.1});
  expect_same<torch::optim::AdamW, torch::optim::AdamWOptions, Adam>(
      torch::optim::AdamWOptions(0.01).weight_decay(0.1).betas({0.8, 0.95}),
      AdamOptions{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1, .decoupled = true});
}

TEST(Adagrad, EqualsLibtorchs) {
  expect_same<torch::optim::Adagrad, torch::optim::AdagradOptions, Adagrad>(
      torch::optim::AdagradOptions(0.1).lr_decay(0.1).initial_accumulator_value(0.3).weight_decay(
          0.01),
      AdagradOptions{.lr = 0.1, .lr_decay = 0.1, .initial = 0.3, .weight_decay = 0.01});
}

/// The formula of lamb.h, tensor by tensor, in double.
void plain_lamb(std::vector<Tensor>& all, int steps, const LambOptions& o) {
  std::vector<Tensor> m, v;
  for (const Tensor& w : all) {
    m.push_back(at::zeros_like(w));
    v.push_back(at::zeros_like(w));
  }
  const at::NoGradGuard no_graph;
  for (int t = 1; t <= steps; ++t) {
    set_gradients(all, t);
    for (size_t k = 0; k < all.size(); ++k) {
      const Tensor g = all[k].grad();
      m[k] = o.beta1 * m[k] + (1 - o.beta1) * g;
      v[k] = o.beta2 * v[k] + (1 - o.beta2) * g * g;
      const bool corrected = o.form == LambForm::corrected;
      const Tensor mh = corrected ? m[k] / (1 - std::pow(o.beta1, t)) : m[k];
      const Tensor vh = corrected ? v[k] / (1 - std::pow(o.beta2, t)) : v[k];
      const Tensor r = mh / (vh.sqrt() + o.eps) + o.weight_decay * all[k];
      double phi = all[k].norm().item<double>();
      if (!corrected) phi = std::min(phi, 10.);
      all[k].sub_(o.lr * phi / r.norm().item<double>() * r);
    }
  }
}

TEST(Lamb, EqualsItsFormulaInBothForms) {
  for (const LambForm form : {LambForm::corrected, LambForm::clamped}) {
    const LambOptions options{.lr = 0.02, .weight_decay = 0.01, .form = form};
    auto expected = parameters(at::kDouble), found = parameters(at::kDouble);
    plain_lamb(expected, 5, options);
    after_steps(Lamb(found, options), found, 5);
    EXPECT_LT(distance(expected, found), 1e-12);
    auto single = parameters(at::kFloat);
    plain_lamb(single, 5, options);
    auto fused = parameters(at::kFloat);
    after_steps(Lamb(fused, options), fused, 5);
    EXPECT_LT(distance(single, fused), 1e-5);
  }
}

// Large tensors make r a second time instead of keeping it.
TEST(Lamb, DirectionKeptOrMadeAgainGivesTheSameBits) {
  const ritz::optim::detail::LambScalars s{
      .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.1, .m_scale = 2, .root_scale = 3};
  for (const int64_t n : {1, 31, 20003}) {
    ritz::RandomStream random(8);
    const Tensor w = random.normal({n}, at::kFloat), g = random.normal({n}, at::kFloat);
    const auto updated = [&](bool kept) {
      Tensor x = w.clone(), m = at::zeros({n}), v = at::zeros({n}), r = at::empty({n});
      float *xp = x.data_ptr<float>(), *mp = m.data_ptr<float>(), *vp = v.data_ptr<float>();
      float* rp = kept ? r.data_ptr<float>() : nullptr;
      const auto norms =
          ritz::optim::detail::lamb_moments(xp, g.const_data_ptr<float>(), mp, vp, rp, n, s);
      // Runs of float32 sums: n eps at the very worst.
      EXPECT_NEAR(norms.w2 / w.square().sum(at::kDouble).item<double>(), 1, 1e-5);
      ritz::optim::detail::lamb_apply<float>(xp, mp, vp, rp, n, 0.05, s);
      return x;
    };
    EXPECT_TRUE(at::equal(updated(true), updated(false))) << n;
  }
}

TEST(Lamb, TakesTheRatioForOneWhereANormIsZero) {
  auto w = at::zeros({4}, at::kDouble).requires_grad_();
  w.mutable_grad() = at::ones({4}, at::kDouble);
  Lamb optimizer({w}, {.lr = 0.5, .eps = 0});
  optimizer.step();
  EXPECT_TRUE(at::allclose(w, at::full({4}, -0.5, at::kDouble)));
  auto still = at::ones({4}, at::kDouble).requires_grad_();
  still.mutable_grad() = at::zeros({4}, at::kDouble);
  Lamb(std::vector<Tensor>{still}, LambOptions{}).step();
  EXPECT_TRUE(at::equal(still, at::ones({4}, at::kDouble)));
}

template <class T>
class Family : public testing::Test {};

struct SgdCase {
  using Optimizer = Sgd;
  static SgdOptions options() { return {.lr = .1, .momentum = .9, .weight_decay = .1}; }
};
struct AdamCase {
  using Optimizer = Adam;
  static AdamOptions options() { return {.lr = .1, .weight_decay = .1}; }
};
struct AdagradCase {
  using Optimizer = Adagrad;
  static AdagradOptions options() { return {.lr = .1, .weight_decay = .1}; }
};
struct LambCase {
  using Optimizer = Lamb;
  static LambOptions options() { return {.lr = .1, .weight_decay = .1}; }
};
using Cases = testing::Types<SgdCase, AdamCase, AdagradCase, LambCase>;
TYPED_TEST_SUITE(Family, Cases);

TYPED_TEST(Family, StridedParametersTakeTheReferencePathToTheSameResult) {
  using Optimizer = typename TypeParam::Optimizer;
  auto fused = parameters(at::kDouble), reference = parameters(at::kDouble, true);
  ASSERT_FALSE(reference[1].is_contiguous());
  after_steps(Optimizer(fused, TypeParam::options()), fused, 4);
  after_steps(Optimizer(reference, TypeParam::options()), reference, 4);
  EXPECT_LT(distance(fused, reference), 1e-12);
}

TYPED_TEST(Family, ResumesToTheSameBitsThroughTorchSaveAndLoad) {
  using Optimizer = typename TypeParam::Optimizer;
  auto whole = parameters(at::kFloat), halved = parameters(at::kFloat);
  after_steps(Optimizer(whole, TypeParam::options()), whole, 6);

  std::stringstream file;
  {
    Optimizer first(halved, TypeParam::options());
    after_steps(first, halved, 3);
    torch::save(first, file);
  }
  Optimizer second(halved, TypeParam::options());
  torch::load(second, file);
  for (int step = 4; step <= 6; ++step) {
    set_gradients(halved, step);
    second.step();
  }
  for (size_t k = 0; k < whole.size(); ++k) EXPECT_TRUE(at::equal(whole[k], halved[k]));
}

TYPED_TEST(Family, ResultsDoNotDependOnTheNumberOfThreads) {
  using Optimizer = typename TypeParam::Optimizer;
  auto one = parameters(at::kFloat), two = parameters(at::kFloat);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  after_steps(Optimizer(one, TypeParam::options()), one, 3);
  at::set_num_threads(2);
  after_steps(Optimizer(two, TypeParam::options()), two, 3);
  at::set_num_threads(threads);
  for (size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(at::equal(one[k], two[k]));
}

TYPED_TEST(Family, RefusesAStateOfOtherShapes) {
  using Optimizer = typename TypeParam::Optimizer;
  auto all = parameters(at::kFloat);
  Optimizer optimizer(all, TypeParam::options());
  auto state = optimizer.state_dict();
  state[1].value = at::zeros({5});
  EXPECT_THROW(optimizer.load_state_dict(state), ritz::DataError);
  state.pop_back();
  EXPECT_THROW(optimizer.load_state_dict(state), ritz::DataError);
  state = optimizer.state_dict();
  state.push_back({"square_of_hope", at::zeros({1})});
  EXPECT_THROW(optimizer.load_state_dict(state), ritz::DataError);
}

TYPED_TEST(Family, LeavesParametersWithoutGradientAlone) {
  using Optimizer = typename TypeParam::Optimizer;
  auto all = parameters(at::kFloat);
  set_gradients(all, 1);
  all[1].mutable_grad() = Tensor();
  Optimizer(all, TypeParam::options()).step();
  EXPECT_TRUE(at::equal(all[1], parameters(at::kFloat)[1]));
  EXPECT_FALSE(at::equal(all[0], parameters(at::kFloat)[0]));
}

TEST(Groups, KeepTheirOwnOptionsAndShareSetLr) {
  auto a = at::ones({2}, at::kDouble).requires_grad_();
  auto b = at::ones({2}, at::kDouble).requires_grad_();
  Sgd optimizer({group({a}, SgdOptions{.lr = 0.5}), group({b}, SgdOptions{.lr = 0.25})});
  a.mutable_grad() = at::ones({2}, at::kDouble);
  b.mutable_grad() = at::ones({2}, at::kDouble);
  optimizer.step();
  EXPECT_EQ(a[0].item<double>(), 0.5);
  EXPECT_EQ(b[0].item<double>(), 0.75);
  optimizer.set_lr(0.125);
  optimizer.step();
  EXPECT_EQ(a[0].item<double>(), 0.375);
  EXPECT_EQ(b[0].item<double>(), 0.625);
}

TEST(Options, OutOfRangeAreRefused) {
  auto all = parameters(at::kFloat);
  EXPECT_THROW(Sgd(all, {.lr = -1}), ritz::InvalidArgument);
  EXPECT_THROW(Sgd(all, {.momentum = 1}), ritz::InvalidArgument);
  EXPECT_THROW(Sgd(all, {.nesterov = true}), ritz::InvalidArgument);
  EXPECT_THROW(Adam(all, {.beta2 = 1}), ritz::InvalidArgument);
  EXPECT_THROW(Adam(all, {.eps = std::nan("")}), ritz::InvalidArgument);
  EXPECT_THROW(Adagrad(all, {.initial = -1}), ritz::InvalidArgument);
  EXPECT_THROW(Lamb(all, {.weight_decay = -1}), ritz::InvalidArgument);
  EXPECT_THROW(Adagrad(all).set_momentum(0.5), ritz::Unsupported);
}

TEST(Autograd, NoticesThatAParameterChanged) {
  auto w = at::ones({2}).requires_grad_();
  const Tensor loss = (w * w).sum();
  w.mutable_grad() = at::ones({2});
  Sgd(std::vector<Tensor>{w}).step();
  EXPECT_THROW(loss.backward(), c10::Error);
}

}  // namespace
