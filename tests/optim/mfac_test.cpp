// The windowed optimisers against the static inverse of what the window holds, by the definition.
#include "ritz/optim/mfac.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/optim/ggt.h"
#include "ritz/optim/inverse_fisher.h"
#include "tests/dist/launch.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

Tensor numbers(at::IntArrayRef shape, at::ScalarType dtype, uint64_t seed) {
  return ritz::RandomStream(seed, ritz::stream_id("test/numbers"))
      .normal(shape, at::TensorOptions(dtype));
}

std::vector<Tensor> parameters(at::ScalarType dtype = at::kDouble) {
  std::vector<Tensor> all;
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5, 7}, {7}, {3000}, {}}) {
    all.push_back(numbers(shape, dtype, all.size()).requires_grad_());
  }
  return all;
}

void set_gradients(const std::vector<Tensor>& all, uint64_t step) {
  for (size_t k = 0; k < all.size(); ++k) {
    all[k].mutable_grad() = numbers(all[k].sizes(), all[k].scalar_type(), 100 * step + k) * 0.3;
  }
}

Tensor flat(const std::vector<Tensor>& all, bool gradients = false) {
  std::vector<Tensor> parts;
  for (const Tensor& each : all) {
    parts.push_back((gradients ? each.grad() : each.detach()).reshape(-1).to(at::kDouble));
  }
  return at::cat(parts);
}

double relative(const Tensor& found, const Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

/// The formulas of the sheet on a window of plain rows, in double.
struct Plain {
  MfacOptions o;
  Tensor G, v;
  int64_t t = 0;
  Tensor step(const Tensor& w, const Tensor& gradient) {
    const Tensor g = gradient + o.weight_decay * w;
    if (!G.defined()) G = at::zeros({o.m, g.numel()}, at::kDouble);
    G[t++ % o.m].copy_(g);
    const Tensor u = InverseFisher(G, {.damping = o.damping}).apply(g);
    v = o.momentum == 0 || !v.defined() ? (1 - o.momentum) * u
                                        : o.momentum * v + (1 - o.momentum) * u;
    return w - o.lr * v;
  }
};

TEST(Mfac, IsTheStaticInverseOfItsWindowAfterAnyNumberOfSteps) {
  for (const auto mode : {WindowMode::cholesky, WindowMode::paper, WindowMode::updown}) {
    for (const int64_t m : {1, 4}) {
      const MfacOptions options{
          .lr = 1e-3, .momentum = 0.5, .weight_decay = 0.1, .m = m, .damping = 1e-3, .mode = mode};
      auto all = parameters();
      Mfac optimizer(all, options);
      Plain plain{options, {}, {}};
      for (uint64_t step = 1; step <= 11; ++step) {
        set_gradients(all, step);
        const Tensor expected = plain.step(flat(all), flat(all, true));
        optimizer.step();
        // Condition 1e3 / 1e-3 of F: ten digits remain of the sixteen.
        EXPECT_LT(relative(flat(all), expected), 1e-10) << "step " << step;
      }
    }
  }
}

TEST(Mfac, InSinglePrecisionFollowsDouble) {
  // A rate at which a step is not lost in the rounding of the weights.
  const MfacOptions options{.lr = 1, .m = 4, .damping = 1e-3};
  auto single = parameters(at::kFloat), exact = parameters(at::kFloat);
  for (Tensor& each : exact) each = each.detach().to(at::kDouble).requires_grad_();
  Mfac a(single, options), b(exact, options);
  for (uint64_t step = 1; step <= 9; ++step) {
    set_gradients(single, step);
    for (size_t k = 0; k < exact.size(); ++k)
      exact[k].mutable_grad() = single[k].grad().to(at::kDouble);
    const Tensor before = flat(single), before_exact = flat(exact);
    a.step();
    b.step();
    EXPECT_LT(relative(flat(single) - before, flat(exact) - before_exact), 1e-3);
  }
}

// F^-1 of what lies outside the window is that over lambda: were the gradient not rounded with its
// row, the step would be 1e4 times too long.
TEST(Mfac, HalfPrecisionWindowsGiveTheStepOfTheRoundedGradients) {
  for (const std::string storage : {"bfloat16", "float16"}) {
    auto half = parameters(at::kFloat), full = parameters(at::kFloat);
    const double tiny = 1e-6;  // float16 alone would lose such gradients
    Mfac a(half, {.lr = 1, .m = 5, .damping = 1e-18, .storage = storage});
    Mfac b(full, {.lr = 1, .m = 5, .damping = 1e-18});
    for (uint64_t step = 1; step <= 7; ++step) {
      set_gradients(half, step);
      set_gradients(full, step);
      for (size_t k = 0; k < half.size(); ++k) {
        half[k].mutable_grad() *= tiny;
        full[k].mutable_grad() *= tiny;
      }
      a.step();
      b.step();
      const double ratio = a.statistics()[2].second / b.statistics()[2].second;
      EXPECT_NEAR(ratio, 1, 0.02) << storage << ", step " << step;
    }
    // Rounding to 8 bits turns a direction by less than 2^-8.
    EXPECT_LT(relative(flat(half), flat(full)), 2e-2);
  }
}

TEST(Mfac, OneGradientGivesTheStepOfItsOwnRow) {
  for (const int64_t m : {1, 16}) {
    auto all = parameters();
    set_gradients(all, 1);
    const Tensor w = flat(all), g = flat(all, true);
    Mfac optimizer(all, {.lr = 1, .m = m, .damping = 1e-2});
    optimizer.step();
    const double norm2 = g.square().sum().item<double>();
    EXPECT_LT(relative(w - flat(all), g / (1e-2 + norm2 / static_cast<double>(m))), 1e-10);
  }
}

TEST(Mfac, SkipsTheWindowUntilItIsFull) {
  const int64_t m = 3;
  auto all = parameters();
  Mfac optimizer(all, {.lr = 1, .m = m, .damping = 1e-2, .fill = WindowFill::skip});
  double sum = 0;
  std::vector<Tensor> seen;
  for (uint64_t step = 1; step <= 5; ++step) {
    set_gradients(all, step);
    const Tensor w = flat(all), g = flat(all, true);
    seen.push_back(g);
    sum += g.square().sum().item<double>();
    optimizer.step();
    if (step < 3) {
      const double scale = 1e-2 + sum / static_cast<double>(step) / static_cast<double>(m);
      EXPECT_LT(relative(w - flat(all), g / scale), 1e-10);
    } else {
      const Tensor G = at::stack({seen[step - 3], seen[step - 2], seen[step - 1]});
      EXPECT_LT(relative(w - flat(all), InverseFisher(G, {.damping = 1e-2}).apply(g)), 1e-10);
    }
  }
}

TEST(Mfac, SparseTrainingLeavesZerosAndIsTheOptimiserOfTheOthers) {
  auto all = parameters();
  {
    const at::NoGradGuard no_graph;
    all[0].mul_(numbers({5, 7}, at::kDouble, 50) > 0);
    all[1].zero_();  // a fresh bias
  }
  const Tensor kept = all[0].detach().ne(0);
  ASSERT_LT(kept.sum().item<int64_t>(), 35);
  Mfac optimizer(all, {.lr = 1e-2, .m = 4, .damping = 1e-2, .sparse = true});
  EXPECT_EQ(optimizer.active(), flat(all).numel() - 35 + kept.sum().item<int64_t>());

  // The same gradients, zero where the mask is, in a window without one.
  auto masked = parameters();
  {
    const at::NoGradGuard no_graph;
    for (size_t k = 0; k < all.size(); ++k) masked[k].copy_(all[k]);
  }
  Mfac other(masked, {.lr = 1e-2, .m = 4, .damping = 1e-2});
  for (uint64_t step = 1; step <= 6; ++step) {
    set_gradients(all, step);
    set_gradients(masked, step);
    masked[0].mutable_grad().mul_(kept);
    optimizer.step();
    other.step();
    EXPECT_TRUE(all[0].detach().ne(0).logical_and(kept.logical_not()).sum().item<int64_t>() == 0);
    EXPECT_LT(relative(flat(all), flat(masked)), 1e-12);
  }
  EXPECT_GT(all[1].detach().abs().min().item<double>(), 0);
}

TEST(Mfac, ResumesToTheSameBitsInEveryMode) {
  for (const auto mode : {WindowMode::cholesky, WindowMode::paper, WindowMode::updown}) {
    for (const std::string storage : {"full", "bfloat16"}) {
      const MfacOptions options{
          .lr = 1e-3, .momentum = 0.9, .m = 4, .damping = 1e-3, .mode = mode, .storage = storage};
      auto whole = parameters(at::kFloat), halved = parameters(at::kFloat);
      Mfac first(whole, options);
      for (uint64_t step = 1; step <= 13; ++step) set_gradients(whole, step), first.step();
      std::vector<NamedTensor> state;
      {
        Mfac before(halved, options);
        for (uint64_t step = 1; step <= 6; ++step) set_gradients(halved, step), before.step();
        for (const auto& each : before.state_dict())
          state.push_back({each.name, each.value.clone()});
      }
      Mfac after(halved, options);
      after.load_state_dict(state);
      for (uint64_t step = 7; step <= 13; ++step) set_gradients(halved, step), after.step();
      EXPECT_TRUE(at::equal(flat(whole), flat(halved)));
    }
  }
}

TEST(Mfac, GroupsHaveRatesOfTheirOwnAndOneWindow) {
  auto all = parameters(), single = parameters();
  const MfacOptions options{.lr = 1e-2, .m = 4, .damping = 1e-2};
  auto slow = options;
  slow.lr = 0;
  Mfac grouped({group({all[0], all[1]}, options), group({all[2], all[3]}, slow)}, options);
  Mfac plain(single, options);
  set_gradients(all, 1);
  set_gradients(single, 1);
  const Tensor before = all[2].detach().clone();
  grouped.step();
  plain.step();
  EXPECT_TRUE(at::equal(all[0], single[0]));
  EXPECT_TRUE(at::equal(all[2], before));
  auto other = options;
  other.damping = 1;
  EXPECT_THROW(Mfac({group({all[0]}, options), group({all[1]}, other)}, options),
               ritz::InvalidArgument);
}

TEST(Mfac, LeavesParametersWithoutGradientAlone) {
  auto all = parameters();
  set_gradients(all, 1);
  all[0].mutable_grad() = Tensor();
  const Tensor before = all[0].detach().clone();
  Mfac optimizer(all, {.m = 3});
  optimizer.step();
  EXPECT_TRUE(at::equal(all[0], before));
}

TEST(Mfac, NamesTheRowOfAGradientThatIsNotFiniteAndChangesNothing) {
  auto all = parameters();
  Mfac optimizer(all, {.m = 3});
  for (uint64_t step = 1; step <= 4; ++step) set_gradients(all, step), optimizer.step();
  set_gradients(all, 5);
  all[2].mutable_grad()[17] = std::numeric_limits<double>::infinity();
  const Tensor before = flat(all);
  try {
    optimizer.step();
    ADD_FAILURE() << "not refused";
  } catch (const ritz::InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("row 1 of the window, step 5"), std::string::npos)
        << error.what();
  }
  EXPECT_TRUE(at::equal(flat(all), before));
  set_gradients(all, 5);
  optimizer.step();
  EXPECT_TRUE(at::isfinite(flat(all)).all().item<bool>());
}

TEST(Mfac, RefusesBadOptionsAndAWindowOverTheLimit) {
  auto all = parameters();
  using ritz::InvalidArgument;
  EXPECT_THROW(Mfac(all, {.lr = -1}), InvalidArgument);
  EXPECT_THROW(Mfac(all, {.momentum = 1}), InvalidArgument);
  EXPECT_THROW(Mfac(all, {.weight_decay = -1}), InvalidArgument);
  EXPECT_THROW(Mfac(all, {.m = 0}), InvalidArgument);
  EXPECT_THROW(Mfac(all, {.damping = 0}), InvalidArgument);
  EXPECT_THROW(Mfac(all, {.storage = "int8"}), InvalidArgument);
  EXPECT_THROW(Mfac(std::vector<Tensor>{}, MfacOptions{}), InvalidArgument);
  EXPECT_THROW(parse_window_fill("ones"), InvalidArgument);
  try {
    Mfac(all, {.m = 64, .memory_limit = 1000});
    ADD_FAILURE() << "not refused";
  } catch (const InvalidArgument& error) {
    const std::string text = error.what();
    // 35 + 7 + 3000 + 1 numbers
    EXPECT_NE(text.find(std::to_string(64 * 3043 * 8) + " bytes"), text.npos) << text;
    EXPECT_NE(text.find("bfloat16"), text.npos) << text;
  }
}

TEST(Mfac, RefusesAStateOfAnotherWindow) {
  auto all = parameters();
  Mfac four(all, {.m = 4}), five(all, {.m = 5});
  EXPECT_THROW(five.load_state_dict(four.state_dict()), ritz::DataError);
}

template <class Optimizer, class Options>
void runs_on_ranks(Options options) {
  auto group = ritz::dist::ProcessGroup::from_environment();
  auto whole = parameters(), shared = parameters();
  Optimizer alone(whole, options);
  options.group = &group;
  Optimizer sharded(shared, options);
  const int64_t words = group.words_sent();
  for (uint64_t step = 1; step <= 9; ++step) {
    set_gradients(whole, step);
    set_gradients(shared, step);
    alone.step();
    sharded.step();
    // The dots are summed in another order.
    EXPECT_LT(relative(flat(shared), flat(whole)), 1e-9);
  }
  const int64_t d = flat(shared).numel(),
                own = ritz::dist::shard_of(d, group.rank(), group.world_size()).end -
                      ritz::dist::shard_of(d, group.rank(), group.world_size()).begin;
  // m dots and this rank's share of the direction, each step.
  EXPECT_EQ(group.words_sent() - words, group.world_size() > 1 ? 9 * (options.m + own) : 0);
  EXPECT_TRUE(at::equal(group.all_gather(flat(shared))[0], flat(shared)));

  // The checkpoint is whole, and gives the same bits on the same ranks.
  std::vector<NamedTensor> state;
  for (const auto& each : sharded.state_dict()) state.push_back({each.name, each.value.clone()});
  for (const auto& each : state) {
    if (each.name == "rows") {
      EXPECT_EQ(each.value.size(1), d);
    }
  }
  const Tensor kept = flat(shared);
  set_gradients(shared, 10);
  sharded.step();
  auto again = parameters();
  {
    const at::NoGradGuard no_graph;
    int64_t begin = 0;
    for (Tensor& each : again) {
      each.copy_(kept.narrow(0, begin, each.numel()).view(each.sizes()));
      begin += each.numel();
    }
  }
  Optimizer resumed(again, options);
  resumed.load_state_dict(state);
  set_gradients(again, 10);
  resumed.step();
  EXPECT_TRUE(at::equal(flat(again), flat(shared)));
}

TEST(Mfac, DISABLED_OnRanks) {
  runs_on_ranks<Mfac>(MfacOptions{.lr = 1e-3, .momentum = 0.5, .m = 4, .damping = 1e-3});
  runs_on_ranks<Ggt>(GgtOptions{.m = 4});
}

TEST(Mfac, SharesOutItsColumnsOverRanks) {
  for (const int world : {1, 3})
    for (const auto pid : ritz::test::start_ranks(world, "Mfac.DISABLED_OnRanks"))
      EXPECT_EQ(ritz::test::finish(pid), 0);
}

TEST(Ggt, IsTheInverseRootOfTheWindowsSecondMoment) {
  auto all = std::vector<Tensor>{numbers({4, 6}, at::kDouble, 1).requires_grad_()};
  const double eps = 1e-2;
  Ggt optimizer(all, {.lr = 1, .momentum = 0, .m = 5, .eps = eps});
  Tensor G = at::zeros({5, 24}, at::kDouble);
  for (uint64_t step = 1; step <= 8; ++step) {
    set_gradients(all, step);
    const Tensor w = flat(all), g = flat(all, true);
    G[static_cast<int64_t>(step - 1) % 5].copy_(g);
    optimizer.step();
    const auto [values, Q] = at::linalg_eigh(G.t().mm(G));
    const Tensor root = values.clamp_min(0).sqrt();
    const Tensor expected = Q.mv(Q.t().mv(g) / (root + eps));
    // A root of rounding, sqrt(1e-16 |G|^2), beside eps.
    EXPECT_LT(relative(w - flat(all), expected), 1e-5);
  }
}

TEST(Ggt, FirstStepIsTheNormalisedGradient) {
  auto all = parameters();
  set_gradients(all, 1);
  const Tensor w = flat(all), g = flat(all, true);
  Ggt optimizer(all, {.lr = 1, .momentum = 0, .eps = 1e-3});
  optimizer.step();
  EXPECT_LT(relative(w - flat(all), g / (g.norm() + 1e-3)), 1e-10);
}

TEST(Ggt, ResumesToTheSameBits) {
  const GgtOptions options{.lr = 1e-2, .m = 4};
  auto whole = parameters(at::kFloat), halved = parameters(at::kFloat);
  Ggt first(whole, options);
  for (uint64_t step = 1; step <= 9; ++step) set_gradients(whole, step), first.step();
  std::vector<NamedTensor> state;
  {
    Ggt before(halved, options);
    for (uint64_t step = 1; step <= 5; ++step) set_gradients(halved, step), before.step();
    for (const auto& each : before.state_dict()) state.push_back({each.name, each.value.clone()});
  }
  Ggt after(halved, options);
  after.load_state_dict(state);
  for (uint64_t step = 6; step <= 9; ++step) set_gradients(halved, step), after.step();
  EXPECT_TRUE(at::equal(flat(whole), flat(halved)));
}

TEST(Ggt, RefusesBadOptions) {
  auto all = parameters();
  EXPECT_THROW(Ggt(all, {.lr = -1}), ritz::InvalidArgument);
  EXPECT_THROW(Ggt(all, {.m = 0}), ritz::InvalidArgument);
  EXPECT_THROW(Ggt(all, {.eps = 0}), ritz::InvalidArgument);
  EXPECT_THROW(Ggt(all, {.momentum = 1}), ritz::InvalidArgument);
}

}  // namespace
