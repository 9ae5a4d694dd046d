// Models: networks, relations, controls, rollouts, spectra, steering, files.
#include "ritz/koopman/learned/model.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/learned/analysis.h"
#include "ritz/koopman/learned/model_file.h"
#include "ritz/koopman/learned/products.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  return ritz::RandomStream(seed).normal(shape, type);
}
double distance(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Networks, HaveTheShapesOfTheirDescriptions) {
  struct Case {
    std::string network;
    std::vector<int64_t> sample;
  };
  for (const auto& [network, sample] : std::vector<Case>{{"mlp", {7}},
                                                         {"mlp:5-3:tanh", {2, 4, 3}},
                                                         {"conv:4-6-8", {2, 12, 8}},
                                                         {"attention:8", {5, 8, 12}}}) {
    auto nets = make_networks(network, {.sample = sample, .latent = 3, .heads = 2});
    nets.encoder->eval();
    nets.decoder->eval();
    std::vector<int64_t> shape = sample;
    shape.insert(shape.begin(), 5);
    const Tensor x = normal(shape, 1, at::kFloat);
    const Tensor z = nets.encoder->forward(x);
    EXPECT_EQ(z.sizes(), (std::vector<int64_t>{5, 6})) << network;
    EXPECT_EQ(nets.decoder->forward(z.narrow(1, 0, 3).contiguous()).sizes(), shape) << network;
    EXPECT_LT(distance(apply_in_pieces(*nets.encoder, x, 2), z), 1e-4) << network;
  }
  // The published network: 4096 numbers before the latent layer.
  const auto paper = make_networks("conv", {.sample = {2, 64, 64}, .latent = 16});
  EXPECT_EQ(paper.encoder->parameters().back().size(0), 16);
  EXPECT_EQ(paper.encoder->parameters()[10].size(1), 4096);
}

TEST(Networks, RefuseWhatDoesNotFit) {
  using ritz::InvalidArgument;
  for (const char* bad : {"cnn", "mlp:", "mlp:4-0", "mlp:4:sine", "conv:4-", "attention:4-4"}) {
    EXPECT_THROW(make_networks(bad, {.sample = {2, 8, 8}}), InvalidArgument) << bad;
  }
  EXPECT_THROW(make_networks("conv:4-4-4", {.sample = {2, 6, 8}}), InvalidArgument);
  EXPECT_THROW(make_networks("conv", {.sample = {64}}), InvalidArgument);
  EXPECT_THROW(make_networks("mlp", {.sample = {4}, .latent = 0}), InvalidArgument);
  EXPECT_THROW(make_networks("mlp", {.sample = {}}), InvalidArgument);
}

TEST(Networks, DenseIsALinearLayerWithReluAndItsGradients) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const double tolerance = type == at::kFloat ? 1e-4 : 1e-12;
    for (const bool relu : {false, true}) {
      const Tensor x = normal({5, 7}, 1, type).requires_grad_(true);
      const Tensor w = normal({3, 7}, 2, type).requires_grad_(true);
      const Tensor b = normal({3}, 3, type).requires_grad_(true);
      Tensor plain = at::linear(x, w, b);
      if (relu) plain = plain.relu();
      const Tensor weights = normal({5, 3}, 4, type);
      const auto of = [&](const Tensor& y) {
        return torch::autograd::grad({(y * weights).sum()}, {x, w, b});
      };
      const Tensor mine = dense(x, w, b, relu);
      EXPECT_LT(distance(mine, plain), tolerance);
      const auto a = of(mine), c = of(plain);
      for (size_t i = 0; i < 3; ++i) EXPECT_LT(distance(a[i], c[i]), tolerance) << i;
    }
  }
}

TEST(Networks, DropoutIsAFunctionOfSeedAndStep) {
  const auto nets = make_networks("conv:4-4", {.sample = {1, 4, 4}, .latent = 3, .dropout = 0.5});
  const Tensor x = normal({2, 1, 4, 4}, 1, at::kFloat);
  nets.encoder->train();
  EXPECT_THROW(nets.encoder->forward(x), ritz::InvalidArgument);  // no step was begun
  const auto at_step = [&](uint64_t seed, uint64_t step) {
    nets.noise->start(seed, 0, step);
    return nets.encoder->forward(x);
  };
  EXPECT_TRUE(at::equal(at_step(1, 2), at_step(1, 2)));
  EXPECT_FALSE(at::equal(at_step(1, 2), at_step(1, 3)));
  EXPECT_FALSE(at::equal(at_step(1, 2), at_step(2, 2)));
}

Tensor ring(int64_t n) {
  // 0: itself, 1: a neighbour on the ring, 2: any other.
  const Tensor i = at::arange(n, at::kLong);
  const Tensor apart = (i.unsqueeze(1) - i).abs();
  const Tensor near = at::minimum(apart, n - apart);
  return near.clamp_max(2);
}

TEST(Relations, StepIsTheKroneckerSum) {
  for (const auto op : {OperatorKind::learned, OperatorKind::ridge}) {
    Model model({.network = "mlp:4",
                 .sample = {2},
                 .latent = 3,
                 .op = op,
                 .actions = 2,
                 .relations = ring(5),
                 .tensor = at::TensorOptions(at::kDouble)});
    if (op == OperatorKind::ridge) model.set_ridge(normal({3, 3 * 3 + 3 * 2}, 7));
    const Tensor K = model.koopman_matrix(), B = model.linear_map().B.view({3, 3, 2});
    ASSERT_EQ(K.sizes(), (std::vector<int64_t>{3, 3, 3}));
    const Tensor z = normal({4, 5, 3}, 1), a = normal({4, 5, 2}, 2);
    const Tensor next = model.advance(z, a, model.linear_map());
    const Tensor r = ring(5);
    Tensor expected = at::zeros_like(z);
    for (int64_t i = 0; i < 5; ++i) {
      for (int64_t j = 0; j < 5; ++j) {
        const int64_t type = r[i][j].item<int64_t>();
        expected.select(1, i) += z.select(1, j).mm(K[type].t());
        expected.select(1, i) += a.select(1, j).mm(B.select(1, type).t());
      }
    }
    EXPECT_LT(distance(next, expected), 1e-13);
    const Tensor whole = model.frame_matrix();
    const Tensor free = model.advance(z, at::zeros_like(a), model.linear_map());
    EXPECT_LT(distance(z.flatten(1).mm(whole.t()), free.flatten(1)), 1e-13);
  }
}

TEST(Relations, PermutingIdenticalObjectsPermutesForecastsAndTheirNumberMayChange) {
  Model model({.network = "mlp:8",
               .sample = {2},
               .latent = 3,
               .op = OperatorKind::learned,
               .relations = ring(5),
               .tensor = at::TensorOptions(at::kDouble)});
  const Tensor x = normal({1, 5, 2}, 1);
  const Tensor turn = at::tensor({1, 2, 3, 4, 0}, at::kLong);  // a symmetry of the ring
  EXPECT_LT(distance(model.forecast(x.index_select(1, turn), 4),
                     model.forecast(x, 4).index_select(2, turn)),
            1e-12);
  model.set_relations(ring(7));
  EXPECT_EQ(model.forecast(normal({2, 7, 2}, 3), 3).sizes(), (std::vector<int64_t>{2, 3, 7, 2}));
  EXPECT_THROW(model.forecast(x, 3),
               ritz::InvalidArgument);  // five objects where seven are related
}

TEST(Relations, RefuseTypesOutOfRangeAndOperatorsThatHaveNoBlocks) {
  ModelOptions o{.network = "mlp:4",
                 .sample = {2},
                 .latent = 3,
                 .op = OperatorKind::learned,
                 .relations = ring(4),
                 .relation_types = 2};
  EXPECT_THROW(Model{o}, ritz::InvalidArgument);  // type 2 of 2
  o.relation_types = 0;
  o.relations = ring(4) - 1;
  EXPECT_THROW(Model{o}, ritz::InvalidArgument);  // type -1
  o.relations = at::zeros({2, 3}, at::kLong);
  EXPECT_THROW(Model{o}, ritz::InvalidArgument);
  o.relations = ring(4);
  o.op = OperatorKind::stable;
  EXPECT_THROW(Model{o}, ritz::Unsupported);
}

TEST(Model, ForecastsByRepeatedStepsWithActions) {
  Model model({.network = "mlp:8",
               .sample = {3},
               .latent = 4,
               .op = OperatorKind::learned,
               .actions = 2,
               .tensor = at::TensorOptions(at::kDouble)});
  model.set_scale(at::arange(3, at::kDouble), at::arange(1, 4, at::kDouble));
  const Tensor x = normal({2, 3}, 1), a = normal({2, 5, 2}, 2);
  const at::NoGradGuard no_graph;
  const auto map = model.linear_map();
  Tensor z = model.encode(model.standardise(x)).mean;
  const Tensor all = model.forecast(x, 5, a);
  for (int64_t h = 0; h < 5; ++h) {
    z = z.mm(map.K.t()) + a.select(1, h).mm(map.B.t());
    EXPECT_LT(distance(all.select(1, h), model.restore(model.decode(z))), 1e-12);
  }
  EXPECT_THROW(model.forecast(x, 5), ritz::InvalidArgument);
  EXPECT_THROW(model.forecast(x, 6, a), ritz::InvalidArgument);
  EXPECT_THROW(model.forecast(x, 5, a.narrow(2, 0, 1)), ritz::InvalidArgument);
}

TEST(Model, OtherTransitionsGoOnToo) {
  const Tensor x = normal({2, 3}, 1);
  Model bent({.network = "mlp:8",
              .sample = {3},
              .latent = 4,
              .variational = true,
              .transition = Transition::nonlinear,
              .tensor = at::TensorOptions(at::kDouble)});
  EXPECT_EQ(bent.forecast(x, 6).size(1), 6);
  EXPECT_THROW(bent.koopman_matrix(), ritz::InvalidArgument);
  Model pfnn({.network = "mlp:8",
              .sample = {3},
              .latent = 4,
              .transition = Transition::pfnn,
              .transient = 3,
              .tensor = at::TensorOptions(at::kDouble)});
  const Tensor early = pfnn.forecast(x, 6, {}, 0), late = pfnn.forecast(x, 6, {}, 3);
  EXPECT_GT(distance(early.select(1, 0), late.select(1, 0)), 0);
  EXPECT_EQ(distance(late, pfnn.forecast(x, 6)), 0);
  // From frame 2 one step is by the contraction, the others by K.
  const at::NoGradGuard no_graph;
  const Tensor z = pfnn.encode(x).mean;
  const Tensor yes = at::ones({2}, at::kBool);
  const auto map = pfnn.linear_map();
  const Tensor two = pfnn.advance(pfnn.advance(z, {}, map, yes), {}, map);
  EXPECT_LT(distance(pfnn.rollout(z, 2, {}, 2).select(1, 1), two), 1e-13);
}

TEST(ModelSpectrum, EigenvectorsAndModesAreThoseOfMatrixAndDecoder) {
  Model model({.network = "mlp:8:tanh",
               .sample = {3},
               .latent = 4,
               .op = OperatorKind::stable,
               .seed = 2,
               .tensor = at::TensorOptions(at::kDouble)});
  model.set_scale(at::ones({3}, at::kDouble), at::tensor({1., 2., 4.}, at::kDouble));
  const auto found = spectrum(model);
  const at::NoGradGuard no_graph;
  const Tensor K = model.koopman_matrix().to(at::kComplexDouble);
  EXPECT_LT(distance(K.mm(found.right), found.right * found.eigenvalues), 1e-12);
  EXPECT_LT(distance(found.left.mm(K), found.eigenvalues.unsqueeze(1) * found.left), 1e-11);
  EXPECT_LE(found.radius, 1 + 1e-12);
  EXPECT_LT(found.condition, 1e6);
  // The decoder's Jacobian by central differences; its error is h^2.
  const Tensor z = model.encode(at::zeros({1, 3}, at::kDouble)).mean;
  const double h = 1e-5;
  for (int64_t i = 0; i < 4; ++i) {
    const auto slope = [&](const Tensor& v) {
      const Tensor step = h * v.unsqueeze(0);
      return (model.decode(z + step) - model.decode(z - step)).squeeze(0) / (2 * h);
    };
    const Tensor v = found.right.select(1, i);
    const Tensor expected =
        at::complex(slope(at::real(v)), slope(at::imag(v))) * at::tensor({1., 2., 4.}, at::kDouble);
    EXPECT_LT(distance(found.modes[i], expected), 1e-8) << i;
  }
  // phi(x') = lambda phi(x) for latents that follow K.
  const Tensor x = normal({2, 3}, 3);
  EXPECT_EQ(eigenfunctions(model, found, x).sizes(), (std::vector<int64_t>{2, 4}));
}

TEST(Steering, BringsLatentsNearerToTheGoal) {
  Model model({.network = "mlp:8",
               .sample = {3},
               .latent = 2,
               .op = OperatorKind::learned,
               .actions = 2,
               .seed = 4,
               .tensor = at::TensorOptions(at::kDouble)});
  {
    const at::NoGradGuard no_graph;
    for (auto& p : model.named_parameters()) {
      if (p.key() == "control") p.value().copy_(at::eye(2, at::kDouble));
    }
  }
  const Tensor start = normal({3}, 1), goal = normal({3}, 2);
  const auto found = steer(model, start, goal, {.horizon = 20, .action_cost = 0.01});
  EXPECT_LT(found.lqr.closed_loop_radius, 1);
  EXPECT_EQ(found.actions.sizes(), (std::vector<int64_t>{20, 2}));
  EXPECT_EQ(found.states.sizes(), (std::vector<int64_t>{20, 3}));
  const Tensor both = model.encode(at::stack({start, goal})).mean.detach();
  EXPECT_LT(found.distances[19].item<double>(), 0.2 * (both[0] - both[1]).norm().item<double>());
  const auto clipped = steer(model, start, goal, {.horizon = 5, .limit = 0.01});
  EXPECT_LE(clipped.actions.abs().max().item<double>(), 0.01);
  EXPECT_THROW(steer(model, start, normal({4}, 1)), ritz::InvalidArgument);
  EXPECT_THROW(steer(model, start, goal, {.limit = 0}), ritz::InvalidArgument);
  Model still({.network = "mlp:8", .sample = {3}, .latent = 2});
  EXPECT_THROW(steer(still, start, goal), ritz::InvalidArgument);
}

TEST(ModelFile, KeepsEveryKindToTheBit) {
  const ritz::test::TemporaryFolder folder;
  const auto double_ = at::TensorOptions(at::kDouble);
  const std::vector<ModelOptions> kinds = {
      {.network = "mlp:8", .sample = {3}, .latent = 4, .tensor = double_},
      {.network = "mlp:8", .sample = {3}, .latent = 4, .variational = true},
      {.network = "mlp:8", .sample = {3}, .latent = 4, .transition = Transition::nonlinear},
      {.network = "mlp:8",
       .sample = {3},
       .latent = 5,
       .transition = Transition::pfnn,
       .transient = 2},
      {.network = "conv:4-4", .sample = {1, 4, 4}, .latent = 4, .op = OperatorKind::blockdiag},
      {.network = "mlp:8", .sample = {3}, .latent = 4, .op = OperatorKind::ridge, .actions = 2},
      {.network = "mlp:8",
       .sample = {3},
       .latent = 4,
       .op = OperatorKind::learned,
       .relations = ring(4)}};
  int number = 0;
  for (const auto& kind : kinds) {
    Model model(kind);
    std::vector<int64_t> channels(kind.sample.size(), 1);
    channels[0] = kind.sample[0];
    model.set_scale(normal(channels, 1), normal(channels, 2).abs() + 1);
    const std::string path = folder / ("m" + std::to_string(number++) + ".safetensors");
    save_model(model, path, {{"window", "7"}});
    const auto again = load_model(path);
    EXPECT_EQ(again.metadata.at("window"), "7");
    std::vector<int64_t> shape = kind.sample;
    if (kind.relations.defined()) shape.insert(shape.begin(), 4);
    shape.insert(shape.begin(), 2);
    const Tensor x = normal(shape, 3).to(model.tensor_options());
    const Tensor a =
        kind.actions > 0 ? normal({2, 3, kind.actions}, 4).to(model.tensor_options()) : Tensor();
    EXPECT_TRUE(at::equal(again.model->forecast(x, 3, a), model.forecast(x, 3, a))) << number;
    bool has_matrix = false;
    for (const auto& array : ritz::io::read_safetensors(path).arrays) {
      if (array.name != "K") continue;
      has_matrix = true;
      EXPECT_TRUE(at::equal(ritz::io::to_tensor(array), model.koopman_matrix()));
    }
    EXPECT_EQ(has_matrix, kind.transition != Transition::nonlinear);
  }
}

TEST(ModelFile, OfAnotherKindIsRefused) {
  const ritz::test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, std::map<std::string, std::string> facts) {
    const auto w = ritz::io::to_array("w", at::ones({2, 2}));
    ritz::io::write_safetensors(folder / name, {w}, facts);
    return folder / name;
  };
  EXPECT_THROW(load_model(write("a.safetensors", {})), ritz::DataError);
  EXPECT_THROW(load_model(write("b.safetensors", {{"model", "mlp:4-2"}})), ritz::DataError);
  EXPECT_THROW(load_model(write("c.safetensors", {{"model", "koopman"}})), ritz::DataError);
  Model model({.network = "mlp:8", .sample = {3}, .latent = 4});
  save_model(model, folder / "d.safetensors");
  EXPECT_THROW(save_model(model, folder / "d.safetensors"), ritz::UsageError);
  auto file = ritz::io::read_safetensors(folder / "d.safetensors");
  for (const auto& [key, bad] :
       std::vector<std::pair<std::string, std::string>>{{"latent", "5"},
                                                        {"latent", "-1"},
                                                        {"sample", "3,,"},
                                                        {"network", "cnn"},
                                                        {"operator", "free"},
                                                        {"transition", "magic"},
                                                        {"dtype", "int8"},
                                                        {"ridge", "x"},
                                                        {"relation_types", "2"}}) {
    auto facts = file.metadata;
    facts[key] = bad;
    ritz::io::write_safetensors(folder / "e.safetensors", file.arrays, facts, true);
    EXPECT_THROW(load_model(folder / "e.safetensors"), ritz::DataError) << key << " " << bad;
  }
}

}  // namespace
