// Whole models: modes and streams agree, padding is nothing, files bring them back.
#include "ritz/sequence/model/model.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/nn/detail/buffer_guard.h"
#include "ritz/nn/network_file.h"
#include "ritz/sequence/model/lengths.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::sequence;
using ritz::Tensor;

ModelOptions options(const std::string& text, at::ScalarType dtype = at::kDouble) {
  ModelOptions o{.channels = 2, .outputs = 3};
  parse_model(text, o);
  o.layer.tensor = at::TensorOptions(dtype);
  o.layer.perturbation = {.generator = Generator::path, .rho = 0.1};
  return o;
}

Tensor noise(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble, uint64_t stream = 1) {
  return ritz::RandomStream(3, stream).normal(shape, at::TensorOptions(dtype));
}

double distance(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// The stream's answer after the first `steps` of u [n, L, d].
Tensor streamed(SequenceModel& model, const Tensor& u, int64_t steps) {
  auto stream = model.stream(u.size(0));
  Tensor y;
  for (int64_t t = 0; t < steps; ++t) y = stream.push(u.select(1, t));
  return y;
}

TEST(SequenceModel, ModesAndStreamsAgree) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const double tolerance = dtype == at::kFloat ? 1e-5 : 1e-11;
    for (const char* text : {"s4:2x4x6", "s4d:2x4x6", "s4d-lin:2x4x6", "s4d-inv:2x4x6", "s5:2x4x6",
                             "s4-ptd:2x4x6", "s5-ptd:2x4x6", "gru:2x4x6"}) {
      SequenceModel model(options(text, dtype));
      model.eval();
      const at::NoGradGuard no_graph;
      const Tensor u = noise({3, 21, 2}, dtype), lengths = at::tensor({21, 4, 1}, at::kLong);
      const Tensor y = model.forward(u, lengths);
      EXPECT_EQ(y.sizes(), (std::vector<int64_t>{3, 3}));
      for (const Mode mode : model.modes()) {
        EXPECT_LT(distance(model.forward(u, lengths, mode), y), tolerance)
            << text << " " << mode_name(mode);
      }
      EXPECT_LT(distance(streamed(model, u, 21)[0], y[0]), tolerance) << text;
      EXPECT_LT(distance(streamed(model, u, 4)[1], y[1]), tolerance) << text;
      EXPECT_LT(distance(streamed(model, u, 1)[2], y[2]), tolerance) << text;
    }
  }
}

TEST(SequenceModel, EveryFrameTakesPaddingForNothing) {
  for (const Norm norm : {Norm::layer, Norm::batch, Norm::none}) {
    for (const Mixing mixing :
         {Mixing::gelu, Mixing::full_glu, Mixing::half_glu1, Mixing::half_glu2}) {
      for (const bool prenorm : {false, true}) {
        for (const Pooling pooling : {Pooling::mean, Pooling::last}) {
          ModelOptions o = options("s4d:2x4x6");
          o.norm = norm;
          o.mixing = mixing;
          o.prenorm = prenorm;
          o.pooling = pooling;
          o.layer.bidirectional = mixing == Mixing::gelu;
          SequenceModel model(o);
          // Running statistics of their own, so that batch norm does something.
          model.forward(noise({4, 9, 2}, at::kDouble, 7));
          model.eval();
          const at::NoGradGuard no_graph;
          const Tensor u = noise({2, 9, 2}), lengths = at::tensor({9, 5}, at::kLong);
          const Tensor y = model.forward(u, lengths);
          const Tensor alone = model.forward(u.narrow(0, 1, 1).narrow(1, 0, 5));
          EXPECT_LT(distance(y[1], alone[0]), 1e-11);
          // Packed, what lies beyond a length may be anything.
          Tensor dirty = u.clone();
          dirty[1].narrow(0, 5, 4).fill_(std::nan(""));
          EXPECT_LT(distance(model.forward_packed(pack(dirty, lengths)), y), 1e-11);
          if (o.layer.bidirectional) continue;
          EXPECT_LT(distance(streamed(model, u, 5)[1], y[1]), 1e-11);
        }
      }
    }
  }
}

TEST(SequenceModel, BatchNormLeavesPaddingOutOfItsStatistics) {
  StepNorm norm(3, 0.5), twin(3, 0.5);
  const Tensor x = noise({2, 6, 3}, at::kFloat), lengths = at::tensor({6, 2}, at::kLong);
  const Tensor rows = at::cat({x[0], x[1].narrow(0, 0, 2)}, 0).unsqueeze(0);
  const Tensor y = norm.forward(x, lengths), z = twin.forward(rows);
  EXPECT_LT(distance(y[0], z[0].narrow(0, 0, 6)), 1e-6);
  EXPECT_LT(distance(norm.running_mean, twin.running_mean), 1e-7);
  EXPECT_LT(distance(norm.running_var, twin.running_var), 1e-6);
  // Half of the old, half of the unbiased variance of 8 rows.
  EXPECT_LT(distance(norm.running_var, 0.5 + 0.5 * rows[0].var(0, true)), 1e-6);
}

TEST(SequenceModel, PairsAndTokensAreEncodedAlike) {
  ModelOptions o = options("s5:1x4x6");
  o.vocabulary = 7;
  o.pairs = true;
  SequenceModel model(o);
  model.eval();
  const Tensor ids = ritz::RandomStream(1).integers({3, 2, 8}, 0, 7);
  const Tensor lengths = at::tensor({8, 3, 2, 8, 5, 5}, at::kLong).view({3, 2});
  const Tensor y = model.forward(ids, lengths);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{3, 3}));
  EXPECT_LT(distance(model.forward_packed(pack(ids.unsqueeze(-1).to(at::kDouble), lengths)), y),
            1e-14);
  // The head does not mistake one document for the other.
  EXPECT_GT(distance(model.forward(ids.flip(1), lengths.flip(1)), y), 1e-3);
  const Tensor shorter = ids.narrow(0, 2, 1).narrow(2, 0, 5);
  EXPECT_LT(distance(model.forward(shorter)[0], y[2]), 1e-11);
  EXPECT_THROW(model.stream(), ritz::Unsupported);

  o.pairs = false;
  SequenceModel single(o);
  single.eval();
  auto stream = single.stream(3);
  Tensor last;
  for (int64_t t = 0; t < 8; ++t) last = stream.push(ids.select(1, 0).select(1, t));
  EXPECT_LT(distance(last, single.forward(ids.select(1, 0))), 1e-11);
}

TEST(SequenceModel, AFileBringsItBack) {
  const ritz::test::TemporaryFolder folder;
  for (const char* text : {"s4-ptd:2x4x7", "s5:1x4x8", "gru:1x4x6", "s4:1x4x5"}) {
    ModelOptions o = options(text);
    o.norm = Norm::batch;
    o.mixing = Mixing::half_glu2;
    o.layer.freeze_A = true;
    o.layer.output = std::string(text).starts_with("s4-ptd") ? std::optional(OutputForm::original)
                                                             : std::nullopt;
    o.layer.seed = 9;
    const auto model = std::make_shared<SequenceModel>(o);
    model->forward(noise({2, 5, 2}));  // moves the running statistics
    model->eval();
    const std::string file = folder / "model.safetensors";
    ritz::nn::save_network(make_network(model), file, model_metadata(model->options()), true);
    ModelOptions again = model_options(ritz::nn::read_metadata(file), file);
    again.layer.tensor = o.layer.tensor;
    const auto twin = std::make_shared<SequenceModel>(again);
    ritz::nn::load_checkpoint(make_network(twin), file);
    twin->eval();
    const Tensor u = noise({2, 9, 2}, at::kDouble, 4);
    EXPECT_TRUE(at::equal(model->forward(u), twin->forward(u))) << text;
    EXPECT_EQ(model_metadata(again), model_metadata(model->options())) << text;
  }
}

TEST(SequenceModel, StreamsGoOnFromAKeptState) {
  SequenceModel model(options("s5:2x4x6"));
  model.eval();
  const Tensor u = noise({1, 12, 2});
  auto first = model.stream();
  for (int64_t t = 0; t < 5; ++t) first.push(u.select(1, t));
  auto second = model.stream();
  second.set_state(first.state(), first.steps());
  for (int64_t t = 5; t < 12; ++t) {
    EXPECT_TRUE(at::equal(first.push(u.select(1, t)), second.push(u.select(1, t))));
  }
  first.reset();
  EXPECT_LT(distance(first.push(u.select(1, 0)), model.forward(u.narrow(1, 0, 1))), 1e-11);
  model.train();
  EXPECT_THROW(model.stream(), ritz::InvalidArgument);
}

TEST(SequenceModel, DropoutIsAFunctionOfSeedAndPasses) {
  ModelOptions o = options("s4d:1x8x6");
  o.dropout = 0.5;
  const auto a = std::make_shared<SequenceModel>(o), b = std::make_shared<SequenceModel>(o);
  const Tensor u = noise({2, 30, 2});
  const Tensor first = a->forward(u), second = a->forward(u);
  EXPECT_GT(distance(first, second), 1e-3);
  EXPECT_TRUE(at::equal(b->forward(u), first));
  {
    // A pass that is not to count leaves the next as it would have been.
    const auto network = make_network(b);
    const ritz::nn::detail::BufferGuard unchanged(network, true);
    b->train();
    b->forward(u);
  }
  b->train();
  EXPECT_TRUE(at::equal(b->forward(u), second));
  a->eval();
  EXPECT_TRUE(at::equal(a->forward(u), a->forward(u)));
  o.rank = 1;
  SequenceModel other(o);
  EXPECT_GT(distance(other.forward(u), first), 1e-3);
  // A share p is dropped and the mean stays: 4 deviations of a mean of 20 000 coins.
  Dropout drop(0.25, 1, 0);
  const Tensor y = drop.forward(at::ones({20000}));
  EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), 0.25, 4 * std::sqrt(0.1875 / 20000));
  EXPECT_NEAR(y.max().item<double>(), 4.0 / 3, 1e-6);
}

TEST(SequenceModel, ADisturbanceIsAddedBeforeEachLayer) {
  ModelOptions o = options("s4d:1x4x6");
  o.residual = false;
  SequenceModel model(o);
  model.eval();
  const at::NoGradGuard no_graph;
  const Tensor u = noise({50, 8, 2}), clean = model.forward(u);
  model.disturb(Disturbance{.amplitude = 0, .omega = 3});
  EXPECT_TRUE(at::equal(model.forward(u), clean));
  model.disturb(Disturbance{.amplitude = 0.1, .omega = 3, .seed = 1});
  const Tensor noisy = model.forward(u);
  EXPECT_GT(distance(noisy, clean), 1e-4);
  model.disturb(Disturbance{.amplitude = 0.1, .omega = 3, .seed = 1});
  EXPECT_TRUE(at::equal(model.forward(u), noisy));
  // The same in two batches: the draws go on from one to the next.
  model.disturb(Disturbance{.amplitude = 0.1, .omega = 3, .seed = 1});
  model.forward(u.narrow(0, 0, 48));
  model.disturb({});
  EXPECT_TRUE(at::equal(model.forward(u), clean));
}

TEST(SequenceModel, PackingKeepsDataAndLengths) {
  const Tensor x = noise({2, 2, 5, 3}), lengths = at::tensor({5, 1, 2, 4}, at::kLong).view({2, 2});
  const auto back = unpack(pack(x, lengths));
  EXPECT_TRUE(at::equal(back.lengths, lengths));
  EXPECT_TRUE(at::equal(back.x[1][0].narrow(0, 0, 2), x[1][0].narrow(0, 0, 2)));
  EXPECT_EQ(back.x[1][0].narrow(0, 2, 3).abs().max().item<double>(), 0);
  EXPECT_FALSE(unpack(pack(x)).lengths.defined());
  const Tensor y = reverse_within(x[0], lengths[1]);
  EXPECT_TRUE(at::equal(y[0][0], x[0][0][1]));
  EXPECT_TRUE(at::equal(reverse_within(y, lengths[1]), x[0]));
}

TEST(SequenceModel, WordsAreReadAndOthersRefused) {
  ModelOptions o;
  parse_model("s5-ptd:8x128x16", o);
  EXPECT_EQ(o.layer.kind, LayerKind::s5_ptd);
  EXPECT_EQ(model_description(o), "s5-ptd:8x128x16");
  for (const char* text : {"", "s6:1x2x3", "s4", "s4:", "s4:1x2", "s4:1x2x3x4", "s4:0x2x3",
                           "s4:1x-2x3", "s4:1x2x3 ", "mlp:1-2"}) {
    EXPECT_THROW(parse_model(text, o), ritz::InvalidArgument) << text;
  }
  EXPECT_EQ(parse_mixing("glu"), parse_mixing("full-glu"));
  EXPECT_THROW(parse_mixing("relu"), ritz::InvalidArgument);
  EXPECT_THROW(model_options({{"model", "mlp:6-16-3"}}, "m.safetensors"), ritz::DataError);
  auto metadata = model_metadata(o);
  metadata["sequence.norm"] = "group";
  EXPECT_THROW(model_options(metadata, "m.safetensors"), ritz::DataError);
}

TEST(SequenceModel, WhatDoesNotFitIsRefused) {
  SequenceModel model(options("s4d:1x4x6"));
  const Tensor u = noise({2, 5, 2});
  EXPECT_THROW(model.forward(noise({2, 5, 3})), ritz::InvalidArgument);
  EXPECT_THROW(model.forward(noise({2, 5})), ritz::InvalidArgument);
  for (const auto& wrong : {at::tensor({5, 0}, at::kLong), at::tensor({6, 5}, at::kLong),
                            at::tensor({5}, at::kLong), at::tensor({5, 5}, at::kInt)}) {
    EXPECT_THROW(model.forward(u, wrong), ritz::InvalidArgument);
  }
  ModelOptions none = options("s4d:1x4x6");
  none.outputs = 0;
  EXPECT_THROW(SequenceModel{none}, ritz::InvalidArgument);
}

}  // namespace
