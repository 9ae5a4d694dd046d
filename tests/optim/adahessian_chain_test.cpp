// AdaHessian by a network's chain against AdaHessian by double backward.
#include <gtest/gtest.h>
#include <torch/nn.h>
#include <torch/types.h>

#include "ritz/base/random.h"
#include "ritz/nn/detail/memory_meter.h"
#include "ritz/nn/models.h"
#include "ritz/nn/wrap.h"
#include "ritz/optim/adahessian.h"
#include "ritz/optim/trainer.h"

namespace {

using namespace ritz::optim;
using at::Tensor;

constexpr int64_t kSamples = 12, kClasses = 3;

ritz::nn::Network network_of(const std::string& model, at::ScalarType dtype = at::kDouble) {
  return ritz::nn::make_network(model, {.input_shape = {2, 4, 4},
                                        .outputs = kClasses,
                                        .tensor = at::TensorOptions(dtype),
                                        .seed = 5});
}

Split samples(int64_t n = kSamples, at::ScalarType dtype = at::kDouble) {
  ritz::RandomStream random(3, ritz::stream_id("test/chain"));
  return {random.normal({n, 2, 4, 4}, at::TensorOptions(dtype)), random.integers({n}, 0, kClasses)};
}

MicroBatch micro_batch(const ritz::nn::Network& network, const ritz::nn::Loss& rule,
                       const Split& data, double weight = 1) {
  return {.network = network,
          .rule = rule,
          .inputs = data.inputs,
          .targets = data.targets,
          .weight = weight};
}

void expect_equal_networks(const ritz::nn::Network& a, const ritz::nn::Network& b,
                           double tolerance) {
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    const Tensor x = a.parameters[i].value.detach(), y = b.parameters[i].value.detach();
    EXPECT_LT((x - y).abs().max().item<double>(), tolerance * (1 + y.abs().max().item<double>()))
        << a.parameters[i].name;
  }
  for (size_t i = 0; i < a.buffers.size(); ++i) {
    EXPECT_TRUE(at::allclose(a.buffers[i].value, b.buffers[i].value, tolerance, tolerance))
        << a.buffers[i].name;
  }
}

const char* const kModels[] = {"mlp:32-6-3:tanh", "cnn:3-3", "resnet:8", "transformer:1x6"};

// Each step repeats the rounding of the last one, amplified by 1 / (D + eps): far from the 1e-3 of
// a missing term.
constexpr double kTolerance = 1e-8;

TEST(AdaHessianByChain, StepsAreThoseOfDoubleBackward) {
  const Split data = samples();
  const Split halves[] = {{data.inputs.narrow(0, 0, 6), data.targets.narrow(0, 0, 6)},
                          {data.inputs.narrow(0, 6, 6), data.targets.narrow(0, 6, 6)}};
  const ritz::nn::Loss rule{.label_smoothing = 0.1};
  for (const bool training : {true, false}) {
    for (const auto* model : kModels) {
      SCOPED_TRACE(std::string(model) + (training ? ", training" : ", evaluation"));
      const auto by_chain = network_of(model), by_graph = network_of(model);
      ASSERT_TRUE(by_chain.chain);
      by_chain.set_training(training);
      by_graph.set_training(training);
      const AdaHessianOptions options{.lr = 0.01, .weight_decay = 0.1, .signed_mean = true};
      AdaHessian one(by_chain.parameter_values(), options, {.probes = 2});
      AdaHessian other(by_graph.parameter_values(), options, {.probes = 2});
      for (int t = 0; t < 3; ++t) {
        one.zero_grad();
        other.zero_grad();
        for (const auto& half : halves) {
          const Tensor loss = one.differentiate(micro_batch(by_chain, rule, half, 0.5));
          ASSERT_TRUE(loss.defined());
          const Tensor expected = rule(by_graph.forward(half.inputs), half.targets) * 0.5;
          EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-9);
          other.backward(expected);
        }
        one.step();
        other.step();
      }
      expect_equal_networks(by_chain, by_graph, kTolerance);
    }
  }
}

TEST(AdaHessianByChain, TheTrainingLoopTakesItWhereItMay) {
  for (const auto* model : kModels) {
    SCOPED_TRACE(model);
    const auto by_chain = network_of(model);
    auto by_graph = network_of(model);
    by_graph.chain = nullptr;
    const auto trained = [&](const ritz::nn::Network& network) {
      AdaHessian optimizer(network.parameter_values(), {}, {.f = 2, .warmup = 2});
      ritz::dist::ProcessGroup group;
      return train({network, {}, samples(), optimizer, group},
                   {.batch = 3, .accumulate = 2, .steps = 6, .lr = 0.01})
          .log.back()
          .loss;
    };
    EXPECT_NEAR(trained(by_chain), trained(by_graph), 1e-8);
    expect_equal_networks(by_chain, by_graph, kTolerance);
  }
}

TEST(AdaHessianByChain, LossScaleLeavesNoTrace) {
  const ritz::nn::Loss rule;
  const auto plain = network_of("transformer:1x6"), scaled = network_of("transformer:1x6");
  AdaHessian one(plain.parameter_values(), {.lr = 0.01});
  AdaHessian other(scaled.parameter_values(), {.lr = 0.01});
  other.set_loss_scale(1024);
  const Tensor a = one.differentiate(micro_batch(plain, rule, samples()));
  const Tensor b = other.differentiate(micro_batch(scaled, rule, samples()));
  EXPECT_TRUE(a.equal(b));  // the loss itself is handed over unscaled
  one.step();
  other.step();
  expect_equal_networks(plain, scaled, 1e-14);
}

TEST(AdaHessianByChain, LeavesTheRestToTheGraph) {
  const ritz::nn::Loss rule;
  const auto network = network_of("cnn:3-3");
  const auto refused = [&](AdaHessian& optimizer, const ritz::nn::Network& of) {
    return !optimizer.differentiate(micro_batch(of, rule, samples())).defined();
  };
  AdaHessian seldom(network.parameter_values(), {}, {.f = 2, .warmup = 0});
  EXPECT_FALSE(refused(seldom, network));
  seldom.step();
  EXPECT_TRUE(refused(seldom, network));  // does not look
  AdaHessian ggn(network.parameter_values(), {}, {.products = HessianProducts::gauss_newton});
  EXPECT_TRUE(refused(ggn, network));
  auto more = network.parameter_values();
  more.push_back(at::ones({2}, at::kDouble).requires_grad_());
  AdaHessian stranger(more);
  EXPECT_TRUE(refused(stranger, network));
  // Dropout draws anew in each pass: no stage stands for it.
  const auto module = std::make_shared<torch::nn::SequentialImpl>(
      torch::nn::Flatten(), torch::nn::Linear(32, 3), torch::nn::Dropout(0.5));
  module->to(at::kDouble);
  const auto random = ritz::nn::wrap(
      module, [raw = module.get()](const Tensor& x) { return raw->forward(x); }, "dropout");
  AdaHessian dropout(random.parameter_values());
  EXPECT_TRUE(refused(dropout, random));
}

TEST(AdaHessianByChain, FrozenParametersRestAndOthersMove) {
  const ritz::nn::Loss rule;
  const auto network = network_of("transformer:1x6");
  std::vector<Tensor> trained;
  for (size_t i = 0; i < network.parameters.size(); i += 2) {
    trained.push_back(network.parameters[i].value);
  }
  const auto before = network.flat_parameters();
  AdaHessian optimizer(trained, {.lr = 0.01});
  ASSERT_TRUE(optimizer.differentiate(micro_batch(network, rule, samples())).defined());
  optimizer.step();
  const auto moved = network.flat_parameters() - before;
  int64_t at = 0;
  for (size_t i = 0; i < network.parameters.size(); ++i) {
    const int64_t n = network.parameters[i].value.numel();
    EXPECT_EQ(moved.narrow(0, at, n).abs().max().item<double>() > 0, i % 2 == 0)
        << network.parameters[i].name;
    EXPECT_EQ(network.parameters[i].value.grad().defined(), i % 2 == 0);
    at += n;
  }
}

TEST(AdaHessianByChain, KeepsNothingBetweenSteps) {
  const ritz::nn::Loss rule;
  const Split data = samples(kSamples, at::kFloat);
  for (const auto* model : kModels) {
    SCOPED_TRACE(model);
    const auto network = network_of(model, at::kFloat);
    network.set_training(true);
    AdaHessian optimizer(network.parameter_values(), {.lr = 0.01});
    const auto step = [&] {
      optimizer.zero_grad();
      optimizer.differentiate(micro_batch(network, rule, data));
      optimizer.step();
    };
    for (int t = 0; t < 2; ++t) step();  // gradients and state are there
    const ritz::nn::detail::MemoryMeter meter;
    step();
    const auto gradients = meter.live();  // made anew in each step
    for (int t = 0; t < 10; ++t) step();
    EXPECT_EQ(meter.live(), gradients);
  }
}

}  // namespace
