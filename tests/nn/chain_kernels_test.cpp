#include "ritz/nn/detail/chain_kernels.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/nn/detail/memory_meter.h"

namespace ritz::nn {
namespace {

using detail::Product;

// The plain twin: the chain read aloud in differentiable torch operations. Batch norm in training
// mode leaves the running statistics alone.
Tensor run(const Chain& chain, const std::vector<Tensor>& theta, Tensor x, bool training = false) {
  const auto at_or_none = [&](int i) { return i < 0 ? Tensor() : theta[i]; };
  for (const auto& stage : chain) {
    if (const auto* s = std::get_if<LinearStage>(&stage)) {
      x = at::matmul(x, theta[s->weight].t());
      if (s->bias >= 0) x = x + theta[s->bias];
    } else if (const auto* s = std::get_if<Conv2dStage>(&stage)) {
      x = at::conv2d(x, theta[s->weight], at_or_none(s->bias), s->stride, s->padding, s->dilation,
                     s->groups);
    } else if (const auto* s = std::get_if<ActivationStage>(&stage)) {
      switch (s->kind) {
        case Activation::identity:
          break;
        case Activation::relu:
          x = x.relu();
          break;
        case Activation::tanh:
          x = x.tanh();
          break;
        case Activation::gelu:
          x = at::gelu(x);
          break;
        case Activation::sigmoid:
          x = x.sigmoid();
          break;
        case Activation::softplus:
          x = at::softplus(x);
          break;
        case Activation::silu:
          x = at::silu(x);
          break;
      }
    } else if (const auto* s = std::get_if<ChannelAffineStage>(&stage)) {
      x = at::batch_norm(x, at_or_none(s->weight), at_or_none(s->bias), s->mean.clone(),
                         s->variance.clone(), training, 0, s->eps, false);
    } else if (const auto* s = std::get_if<LayerNormStage>(&stage)) {
      const auto centred = x - x.mean(-1, true);
      x = centred / (centred.square().mean(-1, true) + s->eps).sqrt() * theta[s->weight] +
          theta[s->bias];
    } else if (const auto* s = std::get_if<AttentionStage>(&stage)) {
      const auto parts = x.chunk(3, -1);
      std::vector<Tensor> heads;
      const int64_t d = parts[0].size(-1) / s->heads;
      for (int64_t h = 0; h < s->heads; ++h) {
        const auto q = parts[0].narrow(-1, h * d, d), k = parts[1].narrow(-1, h * d, d);
        const auto e = (at::einsum("nid,njd->nij", {q, k}) / std::sqrt(double(d))).exp();
        heads.push_back((e / e.sum(-1, true)).matmul(parts[2].narrow(-1, h * d, d)));
      }
      x = at::cat(heads, -1);
    } else if (const auto* s = std::get_if<PositionStage>(&stage)) {
      x = x + theta[s->weight];
    } else if (const auto* s = std::get_if<EmbeddingStage>(&stage)) {
      x = theta[s->weight].index_select(0, x.flatten()).view({x.size(0), x.size(1), -1});
    } else if (std::get_if<TokenMeanStage>(&stage)) {
      x = x.mean(1);
    } else if (std::get_if<TransposeStage>(&stage)) {
      x = x.transpose(1, 2);
    } else if (const auto* s = std::get_if<AveragePoolStage>(&stage)) {
      x = s->kernel ? at::avg_pool2d(x, s->kernel) : x.mean({2, 3});
    } else if (const auto* s = std::get_if<MaxPoolStage>(&stage)) {
      x = at::max_pool2d(x, s->kernel);
    } else if (std::get_if<FlattenStage>(&stage)) {
      x = x.flatten(1);
    } else if (const auto* s = std::get_if<ReshapeStage>(&stage)) {
      auto shape = s->shape;
      shape.insert(shape.begin(), x.size(0));
      x = x.reshape(shape);
    } else if (const auto* s = std::get_if<ResidualStage>(&stage)) {
      x = run(s->body, theta, x, training) + run(s->shortcut, theta, x, training);
    }
  }
  return x;
}

struct Problem {
  std::string name;
  std::vector<std::vector<int64_t>> shapes;  // of the parameters
  Chain chain;
  std::vector<int64_t> input;  // of one sample
};

ChannelAffineStage affine(int weight, int bias, int64_t channels) {
  return {.weight = weight,
          .bias = bias,
          .mean = at::linspace(-.3, .4, channels, at::kDouble),
          .variance = at::linspace(.5, 1.7, channels, at::kDouble),
          .eps = 1e-3};
}

std::vector<Problem> problems() {
  using A = Activation;
  std::vector<Problem> all;
  for (const auto kind : {A::identity, A::relu, A::tanh, A::gelu, A::sigmoid, A::softplus, A::silu})
    all.push_back({"mlp " + std::to_string(static_cast<int>(kind)),
                   {{5, 4}, {5}, {3, 5}, {3}, {3, 3}},
                   {LinearStage{0, 1}, ActivationStage{kind}, LinearStage{2, 3},
                    ActivationStage{kind}, LinearStage{4, -1}},
                   {4}});
  all.push_back(
      {"conv",
       {{4, 2, 3, 3}, {4}, {6, 2, 2, 2}, {3, 54}, {3}},
       {Conv2dStage{.weight = 0, .bias = 1, .stride = 2, .padding = 1}, ActivationStage{A::tanh},
        Conv2dStage{.weight = 2, .padding = 1, .dilation = 2, .groups = 2},
        ActivationStage{A::relu}, FlattenStage{}, LinearStage{3, 4}},
       {2, 6, 5}});
  all.push_back({"folded affine",
                 {{3, 1, 3, 3}, {3}, {3}, {3}, {4, 3, 1, 1}, {4}, {3, 4}},
                 {Conv2dStage{.weight = 0, .bias = 1, .padding = 1}, affine(2, 3, 3),
                  ActivationStage{A::silu}, Conv2dStage{.weight = 4}, affine(5, -1, 4),
                  ActivationStage{A::relu}, AveragePoolStage{0}, LinearStage{6, -1}},
                 {1, 5, 4}});
  all.push_back({"affine without parameters, then alone",
                 {{3, 2, 2, 2}, {3}, {3}, {3, 3}, {3}, {3}},
                 {Conv2dStage{.weight = 0}, affine(-1, -1, 3), affine(1, 2, 3),
                  ActivationStage{A::tanh}, AveragePoolStage{2}, affine(-1, -1, 3), FlattenStage{},
                  LinearStage{3, -1}, affine(4, 5, 3)},
                 {2, 4, 4}});
  all.push_back({"affine first, on vectors",
                 {{4}, {4}, {3, 4}, {3}, {3}},
                 {affine(0, 1, 4), ActivationStage{A::gelu}, LinearStage{2, 3}, affine(4, -1, 3),
                  ActivationStage{A::softplus}},
                 {4}});
  all.push_back({"pools",
                 {{2, 1, 2, 2}, {2}, {3, 2, 1, 1}, {3, 12}},
                 {Conv2dStage{.weight = 0, .bias = 1}, MaxPoolStage{2}, ActivationStage{A::sigmoid},
                  Conv2dStage{.weight = 2}, ActivationStage{A::tanh}, AveragePoolStage{2},
                  ReshapeStage{{12}}, LinearStage{3, -1}},
                 {1, 10, 9}});
  all.push_back(
      {"residuals",
       {{2, 1, 3, 3},
        {2},
        {2},
        {2, 2, 3, 3},
        {2},
        {2, 2, 3, 3},
        {4, 2, 3, 3},
        {4, 2, 1, 1},
        {4},
        {3, 4},
        {3}},
       {Conv2dStage{.weight = 0, .padding = 1}, affine(1, 2, 2), ActivationStage{A::relu},
        ResidualStage{.body = {Conv2dStage{.weight = 3, .bias = 4, .padding = 1},
                               ActivationStage{A::tanh}, Conv2dStage{.weight = 5, .padding = 1}},
                      .shortcut = {}},
        ActivationStage{A::relu},
        ResidualStage{
            .body = {Conv2dStage{.weight = 6, .stride = 2, .padding = 1}, ActivationStage{A::relu}},
            .shortcut = {Conv2dStage{.weight = 7, .stride = 2}, affine(8, -1, 4)}},
        AveragePoolStage{0}, LinearStage{9, 10}},
       {1, 4, 5}});
  all.push_back(
      {"residual bodies that begin with what overwrites",
       {{4, 4}, {4}, {4, 4}, {3, 4}},
       {LinearStage{0, 1},
        ResidualStage{.body = {ActivationStage{A::relu}, LinearStage{2, -1}}, .shortcut = {}},
        ResidualStage{.body = {ActivationStage{A::relu}}, .shortcut = {ActivationStage{A::tanh}}},
        ResidualStage{.body = {}, .shortcut = {ActivationStage{A::relu}}}, LinearStage{3, -1}},
       {4}});
  all.push_back(
      {"first a residual: its shortcut has no tangent",
       {{4, 4}, {3, 4}},
       {ResidualStage{.body = {LinearStage{0, -1}, ActivationStage{A::tanh}}, .shortcut = {}},
        LinearStage{1, -1}},
       {4}});
  all.push_back({"one weight used twice, sequences, a parameter not used",
                 {{4, 4}, {4}, {3, 8}, {2}},
                 {LinearStage{0, 1}, ActivationStage{A::tanh}, LinearStage{0, 1}, FlattenStage{},
                  LinearStage{2, -1}},
                 {2, 4}});
  all.push_back(
      {"a transformer's block",
       {{6, 4}, {6}, {5, 6}, {6}, {6}, {18, 6}, {18}, {6, 6}, {6}, {6}, {6}, {3, 6}, {3}},
       {ReshapeStage{{2, 5, 2}}, TransposeStage{}, ReshapeStage{{5, 4}}, LinearStage{0, 1},
        PositionStage{2},
        ResidualStage{.body = {LayerNormStage{3, 4, 1e-2}, LinearStage{5, 6}, AttentionStage{2},
                               LinearStage{7, 8}},
                      .shortcut = {}},
        LayerNormStage{9, 10}, ActivationStage{A::gelu}, TokenMeanStage{}, LinearStage{11, 12}},
       {20}});
  all.push_back({"norm, attention and position before any weight",
                 {{6}, {6}, {4, 2}, {3, 2}},
                 {LayerNormStage{0, 1}, AttentionStage{1}, PositionStage{2}, TokenMeanStage{},
                  LinearStage{3, -1}},
                 {4, 6}});
  all.push_back({"attention and position first",
                 {{4, 2}, {2}, {2}, {3, 2}},
                 {AttentionStage{2}, PositionStage{0}, LayerNormStage{1, 2, .1},
                  ActivationStage{A::tanh}, TokenMeanStage{}, LinearStage{3, -1}},
                 {4, 6}});
  return all;
}

struct Instance {
  Network network;
  Tensor inputs, targets;
};

Chain cast(Chain chain, at::ScalarType type) {
  for (auto& stage : chain) {
    if (auto* s = std::get_if<ChannelAffineStage>(&stage)) {
      s->mean = s->mean.to(type);
      s->variance = s->variance.to(type);
    } else if (auto* s = std::get_if<ResidualStage>(&stage)) {
      s->body = cast(s->body, type);
      s->shortcut = cast(s->shortcut, type);
    }
  }
  return chain;
}

Instance make(const Problem& problem, LossKind loss, at::ScalarType type, int64_t n = 7) {
  RandomStream random(11, stream_id("chain-test"));
  Instance made;
  for (const auto& shape : problem.shapes)
    made.network.parameters.push_back(
        {"p", random.normal(shape, at::kDouble, 0, .7).to(type).requires_grad_()});
  made.network.chain = std::make_shared<const Chain>(cast(problem.chain, type));
  auto input = problem.input;
  input.insert(input.begin(), n);
  made.inputs = random.normal(input, at::kDouble).to(type);
  made.targets = loss == LossKind::cross_entropy ? random.integers({n}, 0, 3)
                                                 : random.uniform({n, 3}, at::kDouble).to(type);
  return made;
}

Tensor flat(const std::vector<Tensor>& parts, const Network& network) {
  std::vector<Tensor> all;
  for (size_t i = 0; i < parts.size(); ++i)
    all.push_back(
        (parts[i].defined() ? parts[i] : at::zeros_like(network.parameters[i].value)).flatten());
  return at::cat(all);
}

// Tokens before an embedding.
Instance sentences(at::ScalarType type) {
  const Problem problem{"embedding",
                        {{5, 6}, {6, 6}, {4, 2}, {3, 2}},
                        {EmbeddingStage{0}, LinearStage{1, -1}, AttentionStage{1}, PositionStage{2},
                         TokenMeanStage{}, LinearStage{3, -1}},
                        {4}};
  auto made = make(problem, LossKind::cross_entropy, type);
  made.inputs = RandomStream(4).integers({7, 4}, 0, 4);  // the last row of the table is not used
  return made;
}

// Rows of the derivative of a vector y in theta, by one backward pass each.
Tensor jacobian(const Tensor& y, const Network& network) {
  const auto theta = network.parameter_values();
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < y.numel(); ++i) {
    if (!y[i].requires_grad()) {
      rows.push_back(at::zeros({network.parameter_count()}, y.options()));
      continue;
    }
    rows.push_back(flat(torch::autograd::grad({y[i]}, theta, {}, true, false, true), network));
  }
  return at::stack(rows);
}

struct Oracle {
  Tensor gradient, hessian, jacobian;  // [P], [P, P], [n c, P]
};

Oracle oracle(const Instance& at_point, const Loss& loss, bool training = false) {
  const auto theta = at_point.network.parameter_values();
  const auto z = run(*at_point.network.chain, theta, at_point.inputs, training);
  const auto g = flat(torch::autograd::grad({loss.per_sample(z, at_point.targets).sum()}, theta, {},
                                            true, true, true),
                      at_point.network);
  return {g.detach(), jacobian(g, at_point.network), jacobian(z.flatten(), at_point.network)};
}

double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item<double>();
}

/// All products of a batch against the oracle's matrices.
void expect_derivatives_of(const Instance& point, const Loss& loss, const Oracle& expected,
                           double tolerance) {
  const auto P = point.network.parameter_count();
  const auto options = point.network.options();
  const auto I = at::eye(P, options);

  const auto second =
      detail::chain_derivatives(point.network, loss, point.inputs, point.targets, Product::hessian);
  auto H = at::ones({P, P}, options);
  second->add_hessian_products(I, H, 2);
  EXPECT_LE(difference((H - 1) / 2, expected.hessian), tolerance);
  auto again = at::zeros({1, P}, options);
  second->add_hessian_products(I.narrow(0, P / 2, 1), again, 1);
  EXPECT_LE(difference(again[0], expected.hessian[P / 2]), tolerance);

  auto gradient = at::ones({P}, options), HV = at::ones({2, P}, options);
  const auto V = RandomStream(6).normal({2, P}, options);
  const auto z =
      detail::add_chain_products(point.network, loss, point.inputs, point.targets,
                                 {.V = V, .gradient = gradient, .products = HV, .scale = 2});
  EXPECT_TRUE(at::allclose(z, second->outputs(), 1e-4, 1e-6));
  EXPECT_LE(difference((gradient - 1) / 2, expected.gradient), tolerance);
  EXPECT_LE(difference((HV - 1) / 2, V.mm(expected.hessian)), tolerance);

  const auto first = detail::chain_derivatives(point.network, loss, point.inputs, point.targets,
                                               Product::jacobian);
  const auto J = first->jacobian_products(I);
  EXPECT_LE(difference(J.flatten(1).t(), expected.jacobian), tolerance);
  const auto n = point.inputs.size(0);
  const auto U = at::eye(3 * n, options).view({3 * n, n, 3});
  auto Jt = at::zeros({3 * n, P}, options);
  first->add_output_products(U, Jt, 1);
  EXPECT_LE(difference(Jt, expected.jacobian), tolerance);
  auto g = at::zeros({1, P}, options);
  first->add_output_products(loss.output_gradient(first->outputs(), point.targets).unsqueeze(0), g,
                             1);
  EXPECT_LE(difference(g[0], expected.gradient), tolerance);
}

class ChainKernels : public testing::TestWithParam<std::tuple<LossKind, at::ScalarType>> {
 protected:
  at::ScalarType type() const { return std::get<1>(GetParam()); }
  Loss loss() const {
    const auto kind = std::get<0>(GetParam());
    return {.kind = kind, .label_smoothing = kind == LossKind::cross_entropy ? .1 : 0};
  }
  // Sums of some hundred terms of either sign, through up to five layers.
  double tolerance() const { return type() == at::kDouble ? 1e-10 : 1e-4; }
};

TEST_P(ChainKernels, HessianJacobianAndGradientEqualAutogradsForEveryStage) {
  for (const auto& problem : problems()) {
    SCOPED_TRACE(problem.name);
    const auto point = make(problem, loss().kind, type());
    expect_derivatives_of(point, loss(), oracle(point, loss()), tolerance());
  }
  if (loss().kind != LossKind::cross_entropy) return;
  const auto point = sentences(type());
  expect_derivatives_of(point, loss(), oracle(point, loss()), tolerance());
}

TEST_P(ChainKernels, InTrainingModeBatchNormIsDifferentiatedThroughItsStatistics) {
  const Problem images{
      "images",
      {{3, 1, 3, 3}, {3}, {3}, {3, 3, 3, 3}, {3}, {3}, {3}, {3, 3}, {3}, {3}},
      {Conv2dStage{.weight = 0, .padding = 1}, affine(1, 2, 3), ActivationStage{Activation::relu},
       ResidualStage{.body = {Conv2dStage{.weight = 3, .bias = 4, .padding = 1}, affine(5, 6, 3)},
                     .shortcut = {}},
       ActivationStage{Activation::softplus}, AveragePoolStage{0}, LinearStage{7, -1},
       affine(8, 9, 3)},
      {1, 5, 4}};
  const Problem norm_first{"a norm before any weight",
                           {{4}, {4}, {3, 4}},
                           {affine(0, 1, 4), ActivationStage{Activation::tanh}, LinearStage{2, -1}},
                           {4}};
  for (const auto& problem : {images, norm_first}) {
    SCOPED_TRACE(problem.name);
    auto point = make(problem, loss().kind, type());
    point.network.is_training = [] { return true; };
    expect_derivatives_of(point, loss(), oracle(point, loss(), true), tolerance());
  }
}

INSTANTIATE_TEST_SUITE_P(LossesAndTypes, ChainKernels,
                         testing::Combine(testing::Values(LossKind::cross_entropy,
                                                          LossKind::mean_squared_error,
                                                          LossKind::bernoulli),
                                          testing::Values(at::kDouble, at::kFloat)));

TEST(ChainKernelsParts, ABatchInSeveralPartsEqualsTheSumOfItsHalves) {
  const Problem wide{"wide",
                     {{16, 1, 3, 3}, {16}, {16}, {16, 16, 3, 3}, {3, 16}},
                     {Conv2dStage{.weight = 0, .padding = 1}, affine(1, 2, 16),
                      ActivationStage{Activation::relu}, Conv2dStage{.weight = 3, .padding = 1},
                      ActivationStage{Activation::tanh}, AveragePoolStage{0}, LinearStage{4, -1}},
                     {1, 24, 24}};
  const int64_t n = 601;  // 5.5 million numbers a layer
  const auto point = make(wide, LossKind::cross_entropy, at::kFloat, n);
  RandomStream random(3, stream_id("tangents"));
  const auto V = random.normal({3, point.network.parameter_count()}, at::kFloat);
  const auto products = [&](int64_t begin, int64_t end, const Tensor& out) {
    detail::chain_derivatives(point.network, {}, point.inputs.slice(0, begin, end),
                              point.targets.slice(0, begin, end), Product::hessian)
        ->add_hessian_products(V, out, 1. / n);
    return out;
  };
  const auto whole = products(0, n, at::zeros_like(V));
  const auto halves = products(250, n, products(0, 250, at::zeros_like(V)));
  EXPECT_LE(difference(whole, halves), 1e-5);
}

TEST(ChainKernelsParts, LanesGiveTheSameBitsForAnyNumberOfThreads) {
  const Problem mlp{"mlp",
                    {{64, 20}, {64}, {33, 64}, {33}, {3, 33}},
                    {LinearStage{0, 1}, ActivationStage{Activation::relu}, LinearStage{2, 3},
                     ActivationStage{Activation::tanh}, LinearStage{4, -1}},
                    {20}};
  const int64_t n = 6001;  // 384 thousand numbers in the widest layer: two lanes
  for (const auto type : {at::kFloat, at::kDouble}) {
    const auto point = make(mlp, LossKind::cross_entropy, type, n);
    RandomStream random(3, stream_id("tangents"));
    const auto V = random.normal({3, point.network.parameter_count()}, at::kDouble).to(type);
    const auto products = [&](int count) {
      set_threads(count);
      const auto d = detail::chain_derivatives(point.network, {}, point.inputs, point.targets,
                                               Product::hessian);
      auto out = at::zeros_like(V);
      d->add_hessian_products(V, out, 1. / n);
      d->add_output_products(d->jacobian_products(V), out, 1. / n);
      return out;
    };
    const int before = threads();
    const auto one = products(1), two = products(2), three = products(3);
    set_threads(before);
    EXPECT_TRUE(one.equal(two));
    EXPECT_TRUE(one.equal(three));
  }
}

TEST(ChainKernelsParts, ProductsDoNotDisturbOneAnother) {
  const auto point = make(problems()[2], LossKind::cross_entropy, at::kDouble);
  const auto d =
      detail::chain_derivatives(point.network, {}, point.inputs, point.targets, Product::hessian);
  RandomStream random(5, stream_id("tangents"));
  const auto V = random.normal({4, point.network.parameter_count()}, at::kDouble);
  auto before = at::zeros_like(V), after = at::zeros_like(V), other = at::zeros_like(V);
  d->add_hessian_products(V, before, 1);
  d->jacobian_products(V);
  d->add_output_products(at::ones({2, 7, 3}, at::kDouble), other.narrow(0, 0, 2), 1);
  d->add_hessian_products(V, after, 1);
  EXPECT_TRUE(before.equal(after));
}

TEST(ChainKernelsParts, OnePassMovesRunningStatisticsOnceAsLibtorchDoes) {
  const Problem problem{"vectors", {{3, 4}, {3}, {3}}, {LinearStage{0, -1}, affine(1, 2, 3)}, {4}};
  auto point = make(problem, LossKind::cross_entropy, at::kDouble);
  auto& stage = std::get<ChannelAffineStage>(const_cast<Chain&>(*point.network.chain)[1]);
  stage.count = at::zeros({}, at::kLong);
  const auto mean = stage.mean.clone(), variance = stage.variance.clone();
  at::batch_norm(point.inputs.mm(point.network.parameters[0].value.detach().t()), {}, {}, mean,
                 variance, true, stage.momentum, stage.eps, false);
  point.network.is_training = [] { return true; };
  const auto P = point.network.parameter_count();
  const auto zeros = [&] { return at::zeros({1, P}, at::kDouble); };
  detail::add_chain_products(point.network, {}, point.inputs, point.targets,
                             {.V = zeros(), .gradient = zeros()[0], .products = zeros()});
  EXPECT_LE(difference(stage.mean, mean), 1e-15);
  EXPECT_LE(difference(stage.variance, variance), 1e-15);
  EXPECT_EQ(stage.count.item<int64_t>(), 1);
}

// Two activations a step, x and R x, and a few in flight, of one part: more samples cost nothing
// but a part's share.
TEST(ChainKernelsParts, OnePassNeedsNoMoreMemoryForMoreParts) {
  const Problem deep{
      "deep",
      {{64, 64}, {64, 64}, {64, 64}, {64, 64}, {64, 64}, {64, 64}, {3, 64}},
      {LinearStage{0, -1}, ActivationStage{Activation::tanh}, LinearStage{1, -1},
       ActivationStage{Activation::tanh}, LinearStage{2, -1}, ActivationStage{Activation::tanh},
       LinearStage{3, -1}, ActivationStage{Activation::tanh}, LinearStage{4, -1},
       ActivationStage{Activation::tanh}, LinearStage{5, -1}, ActivationStage{Activation::tanh},
       LinearStage{6, -1}},
      {64}};
  const auto peak = [&](int64_t n) {
    const auto point = make(deep, LossKind::cross_entropy, at::kFloat, n);
    const auto P = point.network.parameter_count();
    const auto V = at::ones({1, P}), g = at::zeros({P}), h = at::zeros({1, P});
    const detail::MemoryMeter meter;
    detail::add_chain_products(point.network, {}, point.inputs, point.targets,
                               {.V = V, .gradient = g, .products = h});
    return static_cast<double>(meter.peak());
  };
  const int before = threads();
  set_threads(1);  // one part at a time
  EXPECT_LT(peak(1 << 17), 1.1 * peak(1 << 16));
  set_threads(before);
}

TEST(ChainKernelsParts, ANetworkWithoutAChainIsUnsupported) {
  auto point = make(problems()[0], LossKind::cross_entropy, at::kDouble);
  point.network.chain = nullptr;
  EXPECT_THROW(
      detail::chain_derivatives(point.network, {}, point.inputs, point.targets, Product::hessian),
      Unsupported);
}

}  // namespace
}  // namespace ritz::nn
