// MKOR in a training loop: identities, shared and accumulated samples, state, bad input.
#include "ritz/optim/mkor.h"

#include <gtest/gtest.h>
#include <torch/serialize.h>
#include <torch/types.h>

#include <cmath>
#include <sstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/layers.h"
#include "ritz/nn/loss.h"
#include "ritz/nn/models.h"
#include "ritz/nn/wrap.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/lamb.h"
#include "ritz/optim/make_optimizer.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

constexpr int64_t kBatch = 24;

Tensor draws(at::IntArrayRef shape, uint64_t index, at::ScalarType dtype = at::kDouble) {
  return ritz::RandomStream(6, ritz::stream_id("test/draws", index))
      .normal(shape, at::TensorOptions(dtype));
}

struct Batch {
  Tensor x, y;
};
Batch batch(uint64_t step, at::ScalarType dtype = at::kDouble, std::vector<int64_t> shape = {6}) {
  shape.insert(shape.begin(), kBatch);
  const Tensor x = draws(shape, step, dtype);
  return {x, x.flatten(1).narrow(1, 0, 3).argmax(1)};
}

ritz::nn::Network model(at::ScalarType dtype = at::kDouble,
                        const std::string& description = "mlp:6-9-3:tanh",
                        std::vector<int64_t> shape = {6}) {
  return ritz::nn::make_network(
      description, {.input_shape = std::move(shape), .outputs = 3, .tensor = dtype, .seed = 1});
}

std::unique_ptr<Optimizer> sgd(const ritz::nn::Network& network, double lr = 0.1) {
  return std::make_unique<Sgd>(network.parameter_values(), SgdOptions{.lr = lr, .momentum = 0.9});
}

/// Options for exact comparisons: nothing in half precision.
MkorOptions exact(MkorOptions options = {}) {
  options.half = HalfPrecision::none;
  return options;
}

void passes(const ritz::nn::Network& network, const Batch& b, double scale = 1) {
  (ritz::nn::Loss{}(network.forward(b.x), b.y) * scale).backward();
}

void train(const ritz::nn::Network& network, Optimizer& optimizer, int steps, int first = 1,
           at::ScalarType dtype = at::kDouble, std::vector<int64_t> shape = {6}) {
  for (int step = first; step < first + steps; ++step) {
    optimizer.zero_grad();
    passes(network, batch(static_cast<uint64_t>(step), dtype, shape));
    optimizer.step();
  }
}

double distance(const ritz::nn::Network& a, const ritz::nn::Network& b) {
  return (a.flat_parameters() - b.flat_parameters()).abs().max().item<double>();
}

// ---- the step ----

/// D of one layer, by the header's formulas on dense matrices.
TEST(Mkor, StepIsTheFormulaOnDenseMatrices) {
  for (const bool few : {true, false}) {  // b < d takes the samples, else P X Q
    const int64_t d = few ? 40 : 5;
    const auto network =
        model(at::kDouble, "mlp:" + std::to_string(d) + "-" + std::to_string(d), {d});
    Mkor optimizer(network, std::make_unique<Sgd>(network.parameter_values(), SgdOptions{.lr = 1}),
                   exact());
    Batch b = batch(1, at::kDouble, {d});
    const Tensor before = network.flat_parameters();
    const Tensor outputs = network.forward(b.x).detach();
    passes(network, b);
    const Tensor A = at::cat({b.x, at::ones({kBatch, 1}, at::kDouble)}, 1);
    const Tensor G = ritz::nn::Loss{}.output_gradient(outputs, b.y);
    const Tensor X = G.t().mm(A) / kBatch;
    const auto factor = [](const Tensor& v) {  // N = I at first
      return at::eye(v.size(0), at::kDouble) - at::outer(v, v) / (1 + v.dot(v));
    };
    const Tensor hat = factor(G.mean(0)).mm(X).mm(factor(A.mean(0)));
    const Tensor D = hat * X.norm() / hat.norm();
    optimizer.step();
    const Tensor moved = before - network.flat_parameters();  // [W, b], lr = 1
    const Tensor expected = at::cat({D.narrow(1, 0, d).flatten(), D.select(1, d)});
    EXPECT_LT((moved - expected).abs().max().item<double>(), 1e-12);
    EXPECT_LT((optimizer.input_factor(0) - factor(A.mean(0))).abs().max().item<double>(), 1e-12);
    EXPECT_LT((optimizer.output_factor(0) - factor(G.mean(0))).abs().max().item<double>(), 1e-12);
  }
}

TEST(Mkor, TakesSamplesOnlyWhereTheyMakeTheGradient) {
  // A penalty on the weights is not seen by the layer: the shorter way would forget it.
  const std::string wide = "mlp:50-50:tanh";
  const auto a = model(at::kDouble, wide, {50}), b = model(at::kDouble, wide, {50});
  Mkor whole(a, sgd(a), exact()), halves(b, sgd(b), exact());
  for (uint64_t step = 1; step < 4; ++step) {
    const Batch data = batch(step, at::kDouble, {50});
    whole.zero_grad();
    halves.zero_grad();
    for (const auto& [network, pieces] : {std::pair{&a, 1}, {&b, 2}}) {
      // Two micro-batches keep no samples between renewals: they take P X Q.
      (pieces == 1 ? whole : halves)
          .begin_step({.step = static_cast<int64_t>(step), .micro_batches = pieces});
      const auto xs = data.x.chunk(pieces), ys = data.y.chunk(pieces);
      for (int k = 0; k < pieces; ++k) {
        passes(*network, {xs[k], ys[k]}, 1.0 / pieces);
      }
      for (const auto& p : network->parameters) (0.3 * p.value.square().sum()).backward();
    }
    whole.step();
    halves.step();
  }
  EXPECT_LT(distance(a, b), 1e-10);
}

TEST(Mkor, WithoutRenewalIsItsBackendBitForBit) {
  const auto a = model(), b = model();
  Mkor optimizer(a, sgd(a), {.f = kNever});
  Sgd backend(b.parameter_values(), {.lr = 0.1, .momentum = 0.9});
  train(a, optimizer, 5);
  train(b, backend, 5);
  EXPECT_TRUE(at::equal(a.flat_parameters(), b.flat_parameters()));
}

TEST(Mkor, KeepsTheLengthOfEveryLayersGradient) {
  for (const auto rescale : {Rescale::layer, Rescale::parts, Rescale::none, Rescale::kl_clip}) {
    const auto network = model(at::kFloat);
    Mkor optimizer(network, sgd(network), {.rescale = rescale});
    for (uint64_t step = 1; step < 4; ++step) {
      optimizer.zero_grad();
      passes(network, batch(step, at::kFloat));
      std::vector<Tensor> before;
      for (const auto& layer : optimizer.layers()) before.push_back(layer.gradient().clone());
      optimizer.step();
      for (size_t k = 0; k < before.size(); ++k) {
        const Tensor after = optimizer.layers()[k].gradient();
        const auto parts = [](const Tensor& X) {
          const int64_t i = X.size(1) - 1;
          return (X.narrow(1, 0, i).norm() + X.select(1, i).norm()).item<double>();
        };
        const double joint = before[k].norm().item<double>();
        const auto report = optimizer.report()[k];
        if (rescale == Rescale::layer) {
          EXPECT_NEAR(after.norm().item<double>() / joint, 1, 1e-6);
        } else if (rescale == Rescale::parts) {
          EXPECT_NEAR(parts(after) / parts(before[k]), 1, 1e-6);
        } else {
          EXPECT_NEAR(report.gradient_norm / joint, 1, 1e-6);
        }
        if (rescale == Rescale::none) {
          EXPECT_NEAR(after.norm().item<double>() / report.preconditioned_norm, 1, 1e-6);
        }
        EXPECT_FALSE(at::allclose(after, before[k]));
      }
    }
  }
}

TEST(Mkor, KlClipShortensAllLayersByOneFactor) {
  const auto network = model();
  Mkor none(network, sgd(network, 0.5), exact({.rescale = Rescale::none}));
  passes(network, batch(1));
  double quadratic = 0;
  std::vector<Tensor> raw;
  for (const auto& layer : none.layers()) raw.push_back(layer.gradient().clone());
  none.step();
  std::vector<Tensor> hats;
  for (size_t k = 0; k < raw.size(); ++k) {
    hats.push_back(none.layers()[k].gradient().clone());
    quadratic += (raw[k] * hats[k]).sum().item<double>() * 0.25;
  }
  for (const double clip : {quadratic / 9, quadratic * 2}) {
    const auto fresh = model();
    Mkor optimizer(fresh, sgd(fresh, 0.5), exact({.rescale = Rescale::kl_clip, .kl_clip = clip}));
    passes(fresh, batch(1));
    optimizer.step();
    const double nu = clip < quadratic ? 1.0 / 3 : 1;
    for (size_t k = 0; k < hats.size(); ++k) {
      EXPECT_LT((optimizer.layers()[k].gradient() - nu * hats[k]).abs().max().item<double>(),
                1e-12);
    }
  }
}

TEST(Mkor, LeavesAGradientOfZeroAsItIs) {
  const auto network = model();
  Mkor optimizer(network, sgd(network));
  const Tensor before = network.flat_parameters();
  (0 * network.forward(batch(1).x).sum()).backward();
  optimizer.step();
  EXPECT_TRUE(at::equal(network.flat_parameters(), before));
}

TEST(Mkor, LeavesExcludedLayersToTheBackend) {
  const auto a = model(), b = model();
  Mkor optimizer(a, sgd(a), {.exclude = {"layers.2"}});
  Sgd backend(b.parameter_values(), {.lr = 0.1, .momentum = 0.9});
  train(a, optimizer, 1);
  train(b, backend, 1);
  EXPECT_EQ(optimizer.layers().size(), 1);
  for (size_t k = 0; k < 4; ++k) {
    const bool same = at::equal(a.parameters[k].value, b.parameters[k].value);
    EXPECT_EQ(same, k >= 2) << a.parameters[k].name;
  }
  EXPECT_TRUE(optimizer.take_warnings().empty());
}

TEST(Mkor, NamesTheModulesThatTrainFirstOrderOnce) {
  const auto network = model(at::kFloat, "cnn:4-6", {1, 4, 4});
  Mkor optimizer(network, sgd(network));
  const auto warnings = optimizer.take_warnings();
  ASSERT_EQ(warnings.size(), 1);
  EXPECT_EQ(warnings[0].code, "first_order");
  EXPECT_NE(warnings[0].message.find("bn1, bn2"), std::string::npos) << warnings[0].message;
  EXPECT_TRUE(optimizer.take_warnings().empty());
}

// ---- what makes up a step's samples ----

TEST(Mkor, AccumulatedMicroBatchesEqualOneBatch) {
  const std::vector<int64_t> shape{1, 4, 4};
  for (const std::string description : {"mlp:16-9-3:tanh", "transformer:1x8"}) {
    const auto a = model(at::kDouble, description, shape);
    const auto b = model(at::kDouble, description, shape);
    Mkor one(a, sgd(a), exact({.f = 2})), many(b, sgd(b), exact({.f = 2}));
    for (uint64_t step = 1; step < 5; ++step) {
      const Batch data = batch(step, at::kDouble, shape);
      one.zero_grad();
      passes(a, data);
      one.step();
      many.zero_grad();
      many.begin_step({.step = static_cast<int64_t>(step), .micro_batches = 4});
      const auto xs = data.x.chunk(4), ys = data.y.chunk(4);
      for (size_t k = 0; k < 4; ++k) passes(b, {xs[k], ys[k]}, 0.25);
      many.step();
    }
    EXPECT_LT(distance(a, b), 1e-10) << description;
  }
}

/// A linear layer whose bias is a column of its weight, the input having a column of ones.
TEST(Mkor, FoldsTheBiasAsAColumnOfOnes) {
  const auto make = [](int64_t in, bool bias) {
    const auto layer = std::make_shared<ritz::nn::Linear>(in, 3, bias);
    layer->to(at::kDouble);
    return layer;
  };
  const auto with = make(4, true), without = make(5, false);
  const Tensor X = draws({3, 5}, 1);
  {
    const at::NoGradGuard no_graph;
    with->weight.copy_(X.narrow(1, 0, 4));
    with->bias.copy_(X.select(1, 4));
    without->weight.copy_(X);
  }
  const auto a = ritz::nn::wrap(with, "with"), b = ritz::nn::wrap(without, "without");
  Mkor left(a, sgd(a), exact({.f = 1})), right(b, sgd(b), exact({.f = 1}));
  for (uint64_t step = 1; step < 5; ++step) {
    const Batch data = batch(step, at::kDouble, {4});
    left.zero_grad();
    right.zero_grad();
    passes(a, data);
    passes(b, {at::cat({data.x, at::ones({kBatch, 1}, at::kDouble)}, 1), data.y});
    left.step();
    right.step();
  }
  const Tensor joint = at::cat({with->weight, with->bias.unsqueeze(1)}, 1);
  EXPECT_LT((joint - without->weight).abs().max().item<double>(), 1e-12);
}

TEST(Mkor, TrainsASharedLayer) {
  struct Twice : ritz::nn::Layer {
    std::shared_ptr<ritz::nn::Linear> inner = std::make_shared<ritz::nn::Linear>(6, 6);
    std::shared_ptr<ritz::nn::Linear> last = std::make_shared<ritz::nn::Linear>(6, 3);
    Twice() {
      register_module("inner", inner);
      register_module("last", last);
    }
    Tensor forward(const Tensor& x) override {
      return last->forward(inner->forward(inner->forward(x).tanh()).tanh());
    }
  };
  const auto net = std::make_shared<Twice>();
  net->to(at::kDouble);
  ritz::nn::initialise(*net, 3);
  const auto network = ritz::nn::wrap(std::static_pointer_cast<ritz::nn::Layer>(net), "twice");
  Mkor optimizer(network, sgd(network, 0.05), exact());
  const auto loss = [&] {
    const Batch data = batch(50);
    return ritz::nn::Loss{}(network.forward(data.x), data.y).item<double>();
  };
  const double before = loss();
  train(network, optimizer, 30);
  EXPECT_LT(loss(), 0.7 * before);
  // a = mean over both uses: that of x and of tanh(inner x), each with its one.
  EXPECT_EQ(optimizer.layers()[0].name(), "inner");
}

TEST(Mkor, OfAPenaltyOnNoLayerKeepsFactorsAndWarnsOnce) {
  const auto network = model();
  Mkor optimizer(network, sgd(network), {.f = 1});
  train(network, optimizer, 1);
  const Tensor P = optimizer.output_factor(0).clone();
  optimizer.take_warnings();
  for (int k = 0; k < 2; ++k) {
    optimizer.zero_grad();
    network.forward(batch(9).x);  // no backward pass
    network.parameters[0].value.sum().backward();
    optimizer.step();
  }
  EXPECT_TRUE(at::equal(P, optimizer.output_factor(0)));
  const auto warnings = optimizer.take_warnings();
  ASSERT_EQ(warnings.size(), 1);
  EXPECT_EQ(warnings[0].code, "no_samples");
}

TEST(Mkor, SkipsTheRenewalOfALayerWhoseVectorsAreNotFinite) {
  const auto network = model(at::kFloat);
  Mkor optimizer(network, sgd(network), {.f = 1});
  const auto huge = batch(1, at::kFloat);
  passes(network, {huge.x * INFINITY, huge.y});
  optimizer.step();
  EXPECT_EQ(optimizer.report()[0].skipped, 1);
  EXPECT_TRUE(at::equal(optimizer.input_factor(0), at::eye(7, at::kHalf)));
}

TEST(Mkor, ASampleOfNoneIsAnError) {
  const auto network = model();
  Mkor optimizer(network, sgd(network));
  network.forward(at::zeros({0, 6}, at::kDouble)).sum().backward();
  EXPECT_THROW(optimizer.step(), ritz::InvalidArgument);
}

// ---- loss scale ----

TEST(Mkor, UndoesTheLossScale) {
  const auto a = model(), b = model();
  Mkor plain(a, sgd(a), exact({.f = 2})), scaled(b, sgd(b), exact({.f = 2}));
  scaled.set_loss_scale(1024);
  for (uint64_t step = 1; step < 4; ++step) {
    plain.zero_grad();
    scaled.zero_grad();
    passes(a, batch(step));
    passes(b, batch(step), 1024);
    plain.step();
    scaled.step();
  }
  EXPECT_LT(distance(a, b), 1e-12);
}

TEST(Mkor, AnOverflowOfTheScaledLossSkipsRenewalAndStep) {
  const auto network = model(at::kFloat);
  Mkor optimizer(network, sgd(network), {.f = 1});
  optimizer.set_loss_scale(1e30);
  const Tensor before = network.flat_parameters();
  passes(network, batch(1, at::kFloat), 1e38 * 1e10);
  optimizer.step();
  EXPECT_TRUE(at::equal(before, network.flat_parameters()));
  EXPECT_EQ(optimizer.steps_skipped(), 1);
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_TRUE(
        at::equal(optimizer.output_factor(k), at::eye(optimizer.layers()[k].outputs(), at::kHalf)));
  }
  EXPECT_THROW(optimizer.set_loss_scale(0), ritz::InvalidArgument);
}

// ---- half precision ----

TEST(Mkor, HalfFactorsTrainLikeWholeOnes) {
  std::vector<double> losses;
  for (const auto half : {HalfPrecision::none, HalfPrecision::float16, HalfPrecision::bfloat16}) {
    const auto network = model(at::kFloat, "mlp:6-20-3");
    Mkor optimizer(network, sgd(network, 0.05), {.f = 10, .half = half});
    double sum = 0;
    for (int step = 1; step <= 300; ++step) {
      optimizer.zero_grad();
      const Batch data = batch(static_cast<uint64_t>(step), at::kFloat);
      const Tensor loss = ritz::nn::Loss{}(network.forward(data.x), data.y);
      loss.backward();
      optimizer.step();
      if (step > 200) sum += loss.item<double>() / 100;
    }
    losses.push_back(sum);
  }
  EXPECT_NEAR(losses[1] / losses[0], 1, 0.02);
  EXPECT_NEAR(losses[2] / losses[0], 1, 0.02);
}

TEST(Mkor, StoresWhatItsOptionsSay) {
  const auto stored = [](MkorOptions options) {
    const auto network = model(at::kFloat);
    return Mkor(network, sgd(network), std::move(options)).input_factor(0).scalar_type();
  };
  EXPECT_EQ(stored({}), at::kHalf);
  EXPECT_EQ(stored({.half = HalfPrecision::bfloat16}), at::kBFloat16);
  EXPECT_EQ(stored({.half = HalfPrecision::none}), at::kFloat);
  EXPECT_EQ(stored({.renewal = {.form = MkorForm::paper}}), at::kFloat);
}

TEST(Mkor, CountsAndReportsAFactorThatLeftHalfsRange) {
  const auto network = model(at::kFloat);
  Mkor optimizer(network, sgd(network, 1e-6),
                 {.renewal = {.form = MkorForm::ema, .gamma = 0.01, .eps = 1e30}, .f = 1});
  optimizer.take_warnings();
  train(network, optimizer, 8, 1, at::kFloat);
  double resets = -1;
  for (const auto& [name, value] : optimizer.statistics()) {
    if (name == "resets") resets = value;
  }
  EXPECT_GT(resets, 0);
  EXPECT_GT(optimizer.report()[0].resets + optimizer.report()[1].resets, 0);
  const auto warnings = optimizer.take_warnings();
  ASSERT_EQ(warnings.size(), 1);
  EXPECT_EQ(warnings[0].code, "factor_reset");
  EXPECT_TRUE(network.flat_parameters().isfinite().all().item<bool>());
}

// ---- rank r ----

TEST(Mkor, OfFullRankKeepsTheWholeSecondMoment) {
  const int64_t d = 7;
  const auto network = model(at::kDouble, "mlp:6-3");
  Mkor optimizer(network, sgd(network), exact({.rank = 8}));
  const Batch data = batch(1);
  passes(network, data);
  optimizer.step();
  const Tensor A = at::cat({data.x, at::ones({kBatch, 1}, at::kDouble)}, 1);
  const Tensor expected = (at::eye(d, at::kDouble) + A.t().mm(A) / kBatch).inverse();
  EXPECT_LT((optimizer.input_factor(0) - expected).abs().max().item<double>(), 1e-10);
  EXPECT_NEAR(optimizer.report()[0].input_rank1_error, 0, 1e-6);
}

TEST(Mkor, RankOneErrorIsThatOfTheMeanVector) {
  const auto network = model();
  Mkor optimizer(network, sgd(network), exact());
  const Batch data = batch(1);
  passes(network, data);
  optimizer.step();
  const Tensor A = at::cat({data.x, at::ones({kBatch, 1}, at::kDouble)}, 1);
  const Tensor C = A.t().mm(A) / kBatch, a = A.mean(0);
  EXPECT_NEAR(optimizer.report()[0].input_rank1_error,
              ((C - at::outer(a, a)).norm() / C.norm()).item<double>(), 1e-12);
}

// ---- options, groups, state ----

TEST(Mkor, RenewsAtStepsOneAndEveryFAndDuringTheWarmup) {
  const auto network = model();
  Mkor optimizer(network, sgd(network), {.f = 4, .warmup = 3});
  std::vector<double> renewals;
  for (int step = 1; step <= 9; ++step) {
    train(network, optimizer, 1, step);
    renewals.push_back(optimizer.statistics()[0].second);
  }
  EXPECT_EQ(renewals, (std::vector<double>{1, 2, 3, 3, 4, 4, 4, 4, 5}));
}

TEST(Mkor, HandsParameterGroupsToItsBackend) {
  const auto network = model();
  const auto values = network.parameter_values();
  auto backend = std::make_unique<Adam>(
      std::vector{group(std::vector<Tensor>{values[0], values[2]}, AdamOptions{.lr = 0.01}),
                  group(std::vector<Tensor>{values[1], values[3]}, AdamOptions{.lr = 0})});
  Mkor optimizer(network, std::move(backend));
  ASSERT_EQ(optimizer.param_groups().size(), 2);
  const Tensor bias = values[1].detach().clone(), weight = values[0].detach().clone();
  train(network, optimizer, 2);
  EXPECT_TRUE(at::equal(bias, values[1]));
  EXPECT_FALSE(at::equal(weight, values[0]));
  // A libtorch scheduler, or set_lr, changes the optimiser's own groups.
  optimizer.set_lr(0);
  const Tensor now = network.flat_parameters();
  train(network, optimizer, 1);
  EXPECT_TRUE(at::equal(now, network.flat_parameters()));
  optimizer.set_momentum(0.5);
  const auto& options =
      static_cast<GroupOptions<AdamOptions>&>(optimizer.param_groups()[0].options()).values;
  EXPECT_EQ(options.beta1, 0.5);
}

TEST(Mkor, TakesEveryBackendAndAClosure) {
  const auto network = model();
  std::vector<std::unique_ptr<Optimizer>> backends;
  backends.push_back(std::make_unique<Lamb>(network.parameter_values()));
  backends.push_back(std::make_unique<Adagrad>(network.parameter_values()));
  backends.push_back(std::make_unique<Adam>(network.parameter_values()));
  for (auto& backend : backends) {
    Mkor optimizer(network, std::move(backend));
    const Batch data = batch(1);
    double first = 0, last = 0;
    for (int step = 0; step < 10; ++step) {
      const Tensor loss = optimizer.step([&] {
        optimizer.zero_grad();
        Tensor value = ritz::nn::Loss{}(network.forward(data.x), data.y);
        value.backward();
        return value;
      });
      (step == 0 ? first : last) = loss.item<double>();
    }
    EXPECT_LT(last, first);
  }
  EXPECT_THROW(Mkor(network, nullptr), ritz::InvalidArgument);
}

TEST(Mkor, ResumesBitForBit) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto whole = model(dtype), part = model(dtype), resumed = model(dtype);
    const MkorOptions options{.f = 3};
    Mkor a(whole, sgd(whole), options), b(part, sgd(part), options);
    train(whole, a, 8, 1, dtype);
    train(part, b, 5, 1, dtype);
    std::stringstream file;
    torch::serialize::OutputArchive out;
    b.save(out);
    out.save_to(file);
    Mkor c(resumed, sgd(resumed), options);
    torch::serialize::InputArchive in;
    in.load_from(file);
    c.load(in);
    resumed.set_flat_parameters(part.flat_parameters());
    train(resumed, c, 3, 6, dtype);
    EXPECT_TRUE(at::equal(whole.flat_parameters(), resumed.flat_parameters()));
    EXPECT_TRUE(at::equal(a.input_factor(1), c.input_factor(1)));
  }
}

TEST(Mkor, RefusesTheStateOfAnotherOptimizerOrShapeByName) {
  const auto network = model(), other = model(at::kDouble, "mlp:6-8-3:tanh");
  Mkor optimizer(network, sgd(network)), smaller(other, sgd(other));
  Adam adam(network.parameter_values());
  train(network, optimizer, 1);
  const Tensor P = optimizer.output_factor(0).clone();
  const auto refuses = [&](const std::vector<NamedTensor>& state, const std::string& name) {
    try {
      optimizer.load_state_dict(state);
      ADD_FAILURE() << "took it";
    } catch (const ritz::DataError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  refuses(adam.state_dict(), "progress");
  refuses(smaller.state_dict(), "output_factor.layers.0");
  Mkor whole(network, sgd(network), exact());
  refuses(whole.state_dict(), "float16");
  EXPECT_TRUE(at::equal(P, optimizer.output_factor(0)));
}

TEST(Mkor, ChecksItsOptions) {
  const auto network = model();
  const auto throws = [&](MkorOptions options) {
    EXPECT_THROW(Mkor(network, sgd(network), std::move(options)), ritz::InvalidArgument);
  };
  throws({.renewal = {.gamma = 1}});
  throws({.renewal = {.eps = -1}});
  throws({.renewal = {.zeta = 2}});
  throws({.f = 0});
  throws({.warmup = -1});
  throws({.clip = 0});
  throws({.rank = 0});
  throws({.kl_clip = 0});
  throws({.exclude = {"nobody"}});
  throws({.verify = -1});
  ritz::nn::Network bare = network;
  bare.layers.clear();
  EXPECT_THROW(Mkor(bare, sgd(bare)), ritz::Unsupported);
}

TEST(Mkor, RefusesAModelWithoutLayersNamingTheOptimizersThatWork) {
  ritz::nn::Network bare = model();
  bare.layers.clear();
  bare.description = "model.pt";
  for (const char* name : {"mkor", "mkor-h"}) {
    const Settings settings(find_optimizer(name), std::vector<std::string>{});
    try {
      make_optimizer(name, {bare}, settings);
      FAIL();
    } catch (const ritz::Unsupported& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("model.pt"), std::string::npos) << message;
      EXPECT_NE(message.find("sgd, adam, adamw, adagrad, lamb"), std::string::npos) << message;
    }
  }
}

TEST(Mkor, StopsRecordingWhenItEnds) {
  const auto network = model();
  { Mkor optimizer(network, sgd(network)); }
  for (const auto& tap : network.layers) EXPECT_FALSE(tap.layer->capturing());
}

// ---- MKOR-H ----

using Switch = HybridOptions::Switch;

TEST(MkorHybrid, SwitchesAtTheStepAsked) {
  const auto a = model(), b = model();
  MkorHybrid hybrid(a, sgd(a), exact({.f = 2}), {.rule = Switch::at_step, .step = 4});
  Mkor plain(b, sgd(b), exact({.f = 2}));
  train(a, hybrid, 3);
  train(b, plain, 3);
  EXPECT_TRUE(at::equal(a.flat_parameters(), b.flat_parameters()));
  EXPECT_EQ(hybrid.switched_at(), 4);
  EXPECT_FALSE(hybrid.input_factor(0).defined());
  for (const auto& layer : a.layers) EXPECT_FALSE(layer.layer->capturing());
  // From there the backend goes on with its own momentum.
  Sgd backend(b.parameter_values(), {.lr = 0.1, .momentum = 0.9});
  auto state = plain.state_dict();
  std::vector<NamedTensor> own;
  for (const auto& [name, value] : state) {
    if (name.starts_with("backend.")) own.push_back({name.substr(8), value});
  }
  backend.load_state_dict(own);
  train(a, hybrid, 3, 4);
  train(b, backend, 3, 4);
  EXPECT_TRUE(at::equal(a.flat_parameters(), b.flat_parameters()));
}

const KneeOptions kQuickKnee{.window = 20, .min_steps = 60, .check = 10, .patience = 2};

/// The step after which a detector on this loss would switch; 0: never in 600 steps.
template <class Loss>
int64_t switch_of(const Loss& loss, Switch rule = Switch::automatic) {
  const auto network = model();
  MkorHybrid hybrid(network, sgd(network, 0), {.f = 1000}, {.rule = rule, .knee = kQuickKnee});
  for (int t = 1; t <= 600; ++t) {
    hybrid.observe_loss(loss(t));
    hybrid.step();
  }
  return hybrid.switched_at();
}

// Plateau from step 100: the window is flat from 120 on, two checks at 120 and 130. A decay of
// exp(-t/15) is below 5 % of the mean rate at its own time; which check that is follows from
// recent = slope of the window against 0.05 (l_1..10 - l_window) / t.
TEST(MkorHybrid, SwitchesAtThePredictedCheckAndNeverOnALine) {
  const auto decay = [](int t) { return 1 + std::exp(-t / 15.0); };
  int64_t predicted = 0, strikes = 0;
  for (int t = 60; predicted == 0; t += 10) {
    double mean = 0, sxy = 0, sxx = 0, syy = 0, first = 0;
    for (int k = t - 19; k <= t; ++k) mean += decay(k) / 20;
    for (int k = t - 19; k <= t; ++k) {
      const double x = k - (t - 9.5), y = decay(k) - mean;
      sxx += x * x, sxy += x * y, syy += y * y;
    }
    for (int k = 1; k <= 10; ++k) first += decay(k) / 10;
    const double se = std::sqrt((syy - sxy * sxy / sxx) / 18 / sxx);
    strikes = -sxy / sxx + 2 * se < 0.05 * (first - mean) / t ? strikes + 1 : 0;
    if (strikes == 2) predicted = t;
  }
  EXPECT_EQ(switch_of(decay), predicted);
  EXPECT_EQ(switch_of([](int t) { return t < 100 ? 2 - t / 100.0 : 1.0; }), 130);
  EXPECT_EQ(switch_of([](int t) { return 2 - t / 1000.0; }), 0);
  EXPECT_EQ(switch_of([](int t) { return t < 100 ? 2 - t / 100.0 : 1.0; }, Switch::never), 0);
}

TEST(MkorHybrid, TakesTheLossOfItsClosure) {
  const auto network = model();
  MkorHybrid hybrid(network, sgd(network, 0), {.f = 1000}, {.knee = kQuickKnee});
  for (int t = 1; t <= 200; ++t) {
    hybrid.step([&] { return at::full({}, t < 100 ? 2 - t / 100.0 : 1.0, at::kDouble); });
  }
  EXPECT_EQ(hybrid.switched_at(), 130);
}

TEST(MkorHybrid, ResumesBeforeAndAfterItsSwitch) {
  const HybridOptions at_four{.rule = Switch::at_step, .step = 4};
  for (const int done : {2, 5}) {
    const auto whole = model(), resumed = model();
    MkorHybrid a(whole, sgd(whole), {.f = 2}, at_four);
    MkorHybrid b(resumed, sgd(resumed), {.f = 2}, at_four);
    train(whole, a, done);
    std::vector<NamedTensor> state;
    for (const auto& [name, value] : a.state_dict()) state.push_back({name, value.clone()});
    resumed.set_flat_parameters(whole.flat_parameters());
    if (done == 2) train(model(), b, 5);  // one that has switched takes a state before the switch
    b.load_state_dict(state);
    train(whole, a, 3, done + 1);
    train(resumed, b, 3, done + 1);
    EXPECT_TRUE(at::equal(whole.flat_parameters(), resumed.flat_parameters())) << done;
    EXPECT_EQ(b.switched_at(), 4);
    // A state that does not fit changes nothing.
    auto broken = state;
    broken.pop_back();
    MkorHybrid c(resumed, sgd(resumed), {.f = 2}, at_four);
    EXPECT_THROW(c.load_state_dict(broken), ritz::DataError);
    EXPECT_TRUE(c.input_factor(0).defined());
    EXPECT_EQ(c.switched_at(), 0);
  }
}

TEST(MkorHybrid, KeepsItsDetectorOverAResumption) {
  const auto loss = [](int t) { return t < 100 ? 2 - t / 100.0 : 1.0; };
  const auto network = model();
  MkorHybrid a(network, sgd(network, 0), {.f = 1000}, {.knee = kQuickKnee});
  MkorHybrid b(network, sgd(network, 0), {.f = 1000}, {.knee = kQuickKnee});
  for (int t = 1; t <= 125; ++t) {
    a.observe_loss(loss(t));
    a.step();
  }
  b.load_state_dict(a.state_dict());
  for (int t = 126; t <= 140; ++t) {
    b.observe_loss(loss(t));
    b.step();
  }
  EXPECT_EQ(b.switched_at(), 130);
}

}  // namespace
