#include "ritz/nn/curvature.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "dense_oracle.h"
#include "ritz/base/error.h"
#include "ritz/nn/models.h"
#include "ritz/nn/wrap.h"

namespace ritz::nn {
namespace {

using oracle::make_objective;
using oracle::matrix_of;
using oracle::relative_error;

constexpr int64_t kN = 7, kC = 3;

struct Shape {
  const char* model;
  std::vector<int64_t> input;
};
const Shape kShapes[] = {
    {"mlp:5-3", {5}},       {"mlp:5-4-3:tanh", {5}},     {"mlp:4-6-3-3", {2, 2}},
    {"cnn:2-2", {1, 4, 3}}, {"transformer:1x4", {3, 4}}, {"sentence", {6}}};

Network build(const char* model, const std::vector<int64_t>& input, at::ScalarType dtype) {
  if (std::string(model) == "sentence") {
    auto net = std::make_shared<oracle::Sentence>(kC, true);
    net->to(dtype);
    initialise(*net, 4);
    torch::NoGradGuard no_grad;  // embeddings of ordinary size, so that second derivatives are seen
    net->parameters()[0].mul_(50);
    return wrap(std::static_pointer_cast<Layer>(net), model);
  }
  Network network = make_network(
      model, {.input_shape = input, .outputs = kC, .tensor = TensorOptions(dtype), .seed = 3});
  // Away from zero biases and unit norms, which would hide mistakes; running statistics too.
  torch::NoGradGuard no_grad;
  RandomStream random(8);
  for (const auto& p : network.parameters) {
    if (p.value.dim() == 1) p.value.add_(random.normal(p.value.sizes(), p.value.options(), 0, 0.3));
  }
  for (const auto& b : network.buffers) {
    if (b.value.dim() == 1) b.value.add_(random.uniform(b.value.sizes(), b.value.options()));
  }
  return network;
}

class Operators : public testing::TestWithParam<std::tuple<int, Loss, at::ScalarType>> {
 protected:
  Objective objective() const {
    const auto& [shape, loss, dtype] = GetParam();
    const auto& [model, input] = kShapes[shape];
    return make_objective(build(model, input, dtype), loss, input, kN, kC);
  }
  /// Sums of some thousand rounded products: a thousand roundings.
  double tolerance() const { return std::get<2>(GetParam()) == at::kDouble ? 1e-12 : 1e-4; }
};

std::string case_name(const testing::TestParamInfo<Operators::ParamType>& info) {
  const auto& [shape, loss, dtype] = info.param;
  std::string name = kShapes[shape].model + ("_" + loss_name(loss.kind)) +
                     (loss.mean ? "_mean" : "_sum") + (loss.label_smoothing > 0 ? "_smooth" : "") +
                     (dtype == at::kDouble ? "_64" : "_32");
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(
    Float64, Operators,
    testing::Combine(testing::Range(0, 6),
                     testing::Values(Loss{}, Loss{.label_smoothing = 0.2, .mean = false},
                                     Loss{.kind = LossKind::mean_squared_error},
                                     Loss{.kind = LossKind::mean_squared_error, .mean = false},
                                     Loss{.kind = LossKind::bernoulli}),
                     testing::Values(at::kDouble)),
    case_name);
INSTANTIATE_TEST_SUITE_P(Float32, Operators,
                         testing::Combine(testing::Range(0, 6), testing::Values(Loss{}),
                                          testing::Values(at::kFloat)),
                         case_name);

TEST_P(Operators, AreTheirDenseMatrices) {
  const Objective o = objective();
  // A dense random block: a wrong entry anywhere in the matrix shows in every column.
  const Tensor X = RandomStream(2).normal({o.network.parameter_count(), 2}, o.network.options());
  const Tensor H = oracle::dense_hessian(o).mm(X), GN = oracle::dense_ggn(o).mm(X);
  const Tensor G = oracle::dense_sample_gradients(o), mean = G.mean(0), centred = G - mean;
  for (const auto way : {Differentiation::automatic, Differentiation::double_backward}) {
    if (way == Differentiation::automatic && !o.network.chain) continue;
    const CurvatureOptions options{.micro_batch = 3, .differentiation = way};
    EXPECT_LT(relative_error(hessian(o, options)->apply(X), H), tolerance());
    EXPECT_LT(relative_error(ggn(o, options)->apply(X), GN), tolerance());
    EXPECT_LT(relative_error(fisher(o, options)->apply(X), G.t().mm(G.mm(X)) / kN), tolerance());
    EXPECT_LT(relative_error(gradient_covariance(o, options)->apply(X),
                             centred.t().mm(centred.mm(X)) / kN),
              tolerance());
    EXPECT_LT(relative_error(gradient(o, options), o.loss.mean ? mean : mean * kN), tolerance());
  }
  EXPECT_NEAR(mean_loss(o, 2) / o.loss(o.network.forward(o.inputs), o.targets).item<double>(), 1,
              tolerance());
}

TEST_P(Operators, BlockProductsAreColumnProductsForAnyMicroBatch) {
  const Objective o = objective();
  const Tensor X = RandomStream(2).normal({o.network.parameter_count(), 3}, o.network.options());
  if (o.loss.kind != LossKind::cross_entropy) GTEST_SKIP() << "nothing here depends on the loss";
  for (const auto make : {hessian, ggn, fisher, gradient_covariance}) {
    const Tensor whole = make(o, {.micro_batch = kN})->apply(X);
    const auto op = make(o, {.micro_batch = 2});
    for (int64_t k = 0; k < 3; ++k) {
      EXPECT_LT(relative_error(op->apply(X.select(1, k)), whole.select(1, k)), tolerance());
    }
    EXPECT_TRUE(op->apply(X).equal(op->apply(X)));
    EXPECT_NO_THROW(check_symmetric(*op));
  }
}

TEST_P(Operators, FiniteDifferencesAgree) {
  const Objective o = objective();
  if (o.network.options().dtype() == at::kFloat)
    GTEST_SKIP() << "rounding eps^(2/3) hides small entries";
  const Tensor before = o.network.flat_parameters();
  const Tensor v = RandomStream(2).normal({o.network.parameter_count()}, at::kDouble);
  const CurvatureOptions differences{.micro_batch = 4,
                                     .differentiation = Differentiation::finite_difference};
  // Truncation and rounding are both eps^(2/3) = 4e-11 times third derivatives and |theta|.
  for (const auto make : {hessian, ggn, fisher}) {
    EXPECT_LT(relative_error(make(o, differences)->apply(v), make(o, {})->apply(v)), 1e-7);
  }
  EXPECT_TRUE(o.network.flat_parameters().equal(before));
}

TEST(Hessian, OfLeastSquaresIsTheGramMatrix) {
  const Objective o = make_objective(build("mlp:5-3", {5}, at::kDouble),
                                     {.kind = LossKind::mean_squared_error}, {5}, 40, kC);
  const Tensor A = at::cat({o.inputs, at::ones({40, 1}, at::kDouble)}, 1);
  const Tensor gram = 2 * A.t().mm(A) / 40;  // of each output's weights and bias
  const Tensor H = matrix_of(*hessian(o));
  for (int64_t out = 0; out < kC; ++out) {
    EXPECT_LT(relative_error(H.slice(0, 5 * out, 5 * out + 5).slice(1, 5 * out, 5 * out + 5),
                             gram.slice(0, 0, 5).slice(1, 0, 5)),
              1e-13);
    EXPECT_NEAR(H[15 + out][15 + out].item<double>(), 2, 1e-13);
  }
  EXPECT_LT(relative_error(H, matrix_of(*ggn(o))), 1e-13);
}

TEST(Hessian, OfLogisticRegressionIsTheClosedForm) {
  const Objective o =
      make_objective(build("mlp:6-1", {6}, at::kDouble), {.kind = LossKind::bernoulli}, {6}, 30, 1);
  const Tensor A = at::cat({o.inputs, at::ones({30, 1}, at::kDouble)}, 1);
  const Tensor p = o.network.forward(o.inputs).detach().sigmoid();
  EXPECT_LT(relative_error(matrix_of(*hessian(o)), A.t().mm(p * (1 - p) * A) / 30), 1e-13);
}

TEST(Hessian, EqualsGgnForModelsLinearInParametersAndConvexLosses) {
  for (const auto kind :
       {LossKind::cross_entropy, LossKind::mean_squared_error, LossKind::bernoulli}) {
    const Objective o =
        make_objective(build("mlp:5-3", {5}, at::kDouble), {.kind = kind}, {5}, kN, kC);
    EXPECT_LT(relative_error(matrix_of(*hessian(o)), matrix_of(*ggn(o))), 1e-12);
  }
}

/// z = relu(W x): piecewise linear in W, so the network contributes no curvature of its own.
class OneReluLayer : public torch::nn::Module {
 public:
  OneReluLayer() : linear_(register_module("linear", std::make_shared<Linear>(5, kC))) {
    linear_->to(at::kDouble);
    initialise(*linear_, 3);
  }
  Tensor forward(const Tensor& x) { return linear_->forward(x).relu(); }

 private:
  std::shared_ptr<Linear> linear_;
};

TEST(Hessian, ResidualVanishesForOnePiecewiseLinearLayer) {
  const Objective o =
      make_objective(wrap(std::make_shared<OneReluLayer>(), "relu"), {}, {5}, kN, kC);
  EXPECT_EQ(o.network.chain, nullptr);
  EXPECT_GT(matrix_of(*ggn(o)).abs().max().item<double>(), 0.01);
  EXPECT_LT(matrix_of(*hessian_residual(o)).abs().max().item<double>(), 1e-14);
  const Objective deep = make_objective(build("mlp:5-4-3:tanh", {5}, at::kDouble), {}, {5}, kN, kC);
  EXPECT_GT(matrix_of(*hessian_residual(deep)).abs().max().item<double>(), 0.01);
}

TEST(Hessian, OfRandomBatchesIsUnbiased) {
  const int64_t n = 60, size = 6, batches = 200;
  const Objective o = make_objective(build("mlp:5-4-3:tanh", {5}, at::kDouble), {}, {5}, n, kC);
  const Tensor v = RandomStream(4).normal({o.network.parameter_count()}, at::kDouble);
  const Tensor full = hessian(o)->apply(v), u = RandomStream(5).normal(v.sizes(), at::kDouble);
  RandomStream random(6);
  std::vector<double> noise;
  for (int64_t b = 0; b < batches; ++b) {
    noise.push_back(u.dot(hessian_noise(o, random.sample(n, size))->apply(v)).item<double>());
  }
  const Tensor statistic = at::tensor(noise, at::kDouble);
  const double error = statistic.std().item<double>() / std::sqrt(static_cast<double>(batches));
  EXPECT_GT(error, 0);
  EXPECT_LT(std::abs(statistic.mean().item<double>()), 5 * error);
  EXPECT_LT(hessian_noise(o, at::arange(n))->apply(v).abs().max().item<double>(),
            1e-13 * full.abs().max().item<double>());
}

TEST(Hessian, FollowsTheParameters) {
  const Objective o = make_objective(build("mlp:5-4-3:tanh", {5}, at::kDouble), {}, {5}, kN, kC);
  const auto H = hessian(o);
  const auto C = gradient_covariance(o);
  const Tensor v = at::ones({o.network.parameter_count()}, at::kDouble);
  const Tensor before = H->apply(v);
  C->apply(v);
  o.network.set_flat_parameters(o.network.flat_parameters() * 1.5);
  EXPECT_TRUE(H->apply(v).equal(hessian(o)->apply(v)));
  EXPECT_TRUE(C->apply(v).equal(gradient_covariance(o)->apply(v)));
  EXPECT_FALSE(H->apply(v).equal(before));
}

TEST(Hessian, IsTheSameWithinATightMemoryLimit) {
  const Objective o = make_objective(build("mlp:5-4-3:tanh", {5}, at::kDouble), {}, {5}, 300, kC);
  const Tensor v = RandomStream(4).normal({o.network.parameter_count()}, at::kDouble);
  const Tensor expected = hessian(o)->apply(v);
  for (const int64_t limit : {int64_t{1}, int64_t{20'000}, int64_t{100'000}}) {
    const auto H = hessian(o, {.memory_limit = limit});
    for (int repeat = 0; repeat < 2; ++repeat)
      EXPECT_LT(relative_error(H->apply(v), expected), 1e-12);
  }
}

TEST(Hessian, InTrainingModeUsesBatchStatisticsAndLeavesTheRunningOnes) {
  const Network network = build("cnn:2-3-3", {1, 5, 4}, at::kDouble);
  const Objective o = make_objective(network, {}, {1, 5, 4}, kN, kC);
  EXPECT_THROW(hessian(o, {.training = true}), InvalidArgument);
  const auto H = hessian(o, {.micro_batch = kN, .training = true});
  std::vector<Tensor> before;
  for (const auto& b : network.buffers) before.push_back(b.value.clone());
  const Tensor M = matrix_of(*H);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].equal(network.buffers[i].value));
  EXPECT_FALSE(network.is_training());
  const ModeGuard mode(network, true);
  EXPECT_LT(relative_error(M, oracle::dense_hessian(o)), 1e-11);
}

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class Unused : public torch::nn::Module {
 public:
  Unused()
      : idle_(register_parameter("idle", at::ones({2}))),
        w_(register_parameter("w", at::ones({5, kC}))) {}
  Tensor forward(const Tensor& x) { return x.mm(w_); }

 private:
  Tensor idle_, w_;
};

TEST(CurvatureErrors, ParameterWithoutGradientIsNamed) {
  const Objective o = make_objective(wrap(std::make_shared<Unused>(), "unused"), {}, {5}, kN, kC);
  const Tensor v = at::ones({o.network.parameter_count()});
  const std::string expected =
      "parameter idle: expected a gradient, found none: the loss does not depend on it";
  EXPECT_EQ(error_of([&] { hessian(o)->apply(v); }), expected);
  EXPECT_EQ(error_of([&] { ggn(o)->apply(v); }), expected);
  EXPECT_EQ(error_of([&] { gradient(o); }), expected);
}

TEST(CurvatureErrors, NonFiniteLossNamesTheBatch) {
  const Objective o = make_objective(build("mlp:5-3", {5}, at::kDouble), {}, {5}, kN, kC);
  o.inputs[5][1] = std::numeric_limits<double>::quiet_NaN();
  const Tensor v = at::ones({o.network.parameter_count()}, at::kDouble);
  EXPECT_EQ(error_of([&] { hessian(o, {.micro_batch = 2})->apply(v); }),
            "loss: expected a finite value, found NaN (batch 2, samples 4 to 5)");
}

TEST(CurvatureErrors, NonFiniteProductNamesTheBatch) {
  const Objective o =
      make_objective(build("mlp:5-3", {5}, at::kFloat),
                     {.kind = LossKind::mean_squared_error, .mean = false}, {5}, kN, kC);
  o.inputs[4].fill_(1e15F);  // the loss is finite, the product with a large vector is not
  const Tensor v = at::full({o.network.parameter_count()}, 1e15F);
  EXPECT_EQ(error_of([&] { hessian(o, {.micro_batch = 2})->apply(v); }),
            "product: expected finite values, found NaN or Inf (batch 2, samples 4 to 5)");
}

class Flash : public torch::nn::Module {
 public:
  Flash() : w_(register_parameter("w", RandomStream(1).normal({4, 12}, at::kFloat))) {}
  Tensor forward(const Tensor& x) {
    const Tensor q = x.matmul(w_).view({x.size(0), x.size(1), 3, 1, 4}).permute({2, 0, 3, 1, 4});
    return at::scaled_dot_product_attention(q[0].contiguous(), q[1].contiguous(), q[2].contiguous())
        .flatten(1)
        .narrow(1, 0, kC);
  }

 private:
  Tensor w_;
};

TEST(CurvatureErrors, OperationWithoutDoubleBackwardIsNamedAndDifferencesHelp) {
  const Objective o = make_objective(wrap(std::make_shared<Flash>(), "flash"), {}, {6, 4}, kN, kC);
  const Tensor v = RandomStream(2).normal({o.network.parameter_count()}, at::kFloat);
  const std::string error = error_of([&] { hessian(o)->apply(v); });
  EXPECT_NE(error.find("_scaled_dot_product_flash_attention_for_cpu_backward"), std::string::npos)
      << error;
  EXPECT_NE(error.find("finite differences"), std::string::npos) << error;
  const auto H = hessian(o, {.differentiation = Differentiation::finite_difference});
  EXPECT_GT(H->apply(v).abs().max().item<float>(), 0);
  EXPECT_NO_THROW(check_symmetric(*H, 0, 0.05));
  EXPECT_NO_THROW(ggn(o, {.differentiation = Differentiation::finite_difference})->apply(v));
}

class Dropout : public torch::nn::Module {
 public:
  Dropout() : w_(register_parameter("w", RandomStream(1).normal({20, kC}, at::kFloat))) {}
  Tensor forward(const Tensor& x) {
    RandomStream random(1, stream_++);
    return (x * (1 + random.rademacher(x.sizes(), x.options()))).mm(w_);
  }

 private:
  uint64_t stream_ = 0;
  Tensor w_;
};

TEST(CurvatureErrors, RandomNetworksAreNoticedAsAsymmetric) {
  const Objective o = make_objective(wrap(std::make_shared<Dropout>(), "dropout"), {}, {20}, 4, kC);
  const std::string error = error_of([&] { check_symmetric(*hessian(o, {.memory_limit = 1})); });
  EXPECT_NE(error.find("dropout"), std::string::npos) << error;
}

TEST(CurvatureErrors, BadArgumentsAreRefused) {
  const Objective o = make_objective(build("mlp:5-3", {5}, at::kDouble), {}, {5}, kN, kC);
  Objective wrong = o;
  wrong.inputs = o.inputs.narrow(0, 0, 0);
  EXPECT_THROW(hessian(wrong), InvalidArgument);
  wrong = o;
  wrong.inputs = o.inputs.to(at::kFloat);
  EXPECT_THROW(hessian(wrong), InvalidArgument);
  wrong = o;
  wrong.targets = o.targets + kC;
  EXPECT_THROW(ggn(wrong), InvalidArgument);
  wrong.targets = o.targets.narrow(0, 0, 3);
  EXPECT_THROW(fisher(wrong), InvalidArgument);
  EXPECT_THROW(hessian(o, {.micro_batch = -1}), InvalidArgument);
  EXPECT_THROW(hessian(o)->apply(at::ones({3}, at::kDouble)), InvalidArgument);
  EXPECT_THROW(subset(o, at::tensor({int64_t{7}})), InvalidArgument);
  EXPECT_THROW(subset(o, at::empty({0}, at::kLong)), InvalidArgument);
  EXPECT_EQ(subset(o, at::tensor({int64_t{2}, int64_t{2}})).inputs.size(0), 2);
}

}  // namespace
}  // namespace ritz::nn
