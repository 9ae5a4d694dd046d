// The layers over time: one answer in every mode, for any lengths, storage and direction; dense
// oracles; gradients.
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/model/lengths.h"
#include "ritz/sequence/model/ssm_layers.h"

namespace {

using namespace ritz::sequence;
using ritz::Tensor;

const LayerKind kAll[] = {LayerKind::s4, LayerKind::s4d,    LayerKind::s4d_lin, LayerKind::s4d_inv,
                          LayerKind::s5, LayerKind::s4_ptd, LayerKind::s5_ptd,  LayerKind::gru};

/// Small perturbations are quick: what is tested here is not how good they are.
LayerOptions options(LayerKind kind, at::ScalarType dtype, bool bidirectional = false) {
  LayerOptions o{.kind = kind,
                 .width = 3,
                 .states = 6,
                 .bidirectional = bidirectional,
                 .tensor = at::TensorOptions(dtype),
                 .seed = 5};
  o.perturbation = {.generator = Generator::path, .rho = 0.1};
  return o;
}

Tensor noise(at::IntArrayRef shape, at::ScalarType dtype, uint64_t stream = 1) {
  return ritz::RandomStream(3, stream).normal(shape, at::TensorOptions(dtype));
}

Tensor parameter(const Layer& layer, const std::string& name) {
  const auto all = layer.named_parameters();
  return *all.find(name);
}

/// Largest difference in units of the largest entry.
double distance(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

TEST(SequenceLayer, EveryModeGivesTheSameAnswer) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const double tolerance = dtype == at::kFloat ? 1e-5 : 1e-11;
    for (const LayerKind kind : kAll) {
      for (const bool bidirectional : {false, true}) {
        const auto layer = make_layer(options(kind, dtype, bidirectional));
        for (const int64_t L : {1, 2, 37}) {
          const Tensor u = noise({2, L, 3}, dtype);
          const Tensor y = layer->forward(u);
          EXPECT_EQ(y.sizes(), u.sizes());
          EXPECT_EQ(y.scalar_type(), dtype);
          for (const Mode mode : layer->modes) {
            if (bidirectional && mode == Mode::step) continue;
            EXPECT_LT(distance(layer->forward(u, {}, mode), y), tolerance)
                << layer->name << " " << mode_name(mode) << " L = " << L;
          }
        }
      }
    }
  }
}

TEST(SequenceLayer, LongSequencesAgreeToo) {
  const Tensor u = noise({1, 3000, 3}, at::kFloat);
  for (const LayerKind kind : {LayerKind::s4, LayerKind::s4d, LayerKind::s4_ptd, LayerKind::s5}) {
    const auto layer = make_layer(options(kind, at::kFloat));
    const Tensor y = layer->forward(u);
    for (const Mode mode : layer->modes) {
      EXPECT_LT(distance(layer->forward(u, {}, mode), y), 1e-5) << layer->name << mode_name(mode);
    }
  }
}

TEST(SequenceLayer, PaddingChangesNothingWithinTheLengths) {
  const Tensor lengths = at::tensor({11, 1, 6}, at::kLong);
  for (const LayerKind kind : kAll) {
    for (const bool bidirectional : {false, true}) {
      const auto layer = make_layer(options(kind, at::kDouble, bidirectional));
      const Tensor u = noise({3, 11, 3}, at::kDouble);
      for (const Mode mode : layer->modes) {
        if (bidirectional && mode == Mode::step) continue;
        const Tensor y = layer->forward(u, lengths, mode);
        for (int64_t k = 0; k < 3; ++k) {
          const int64_t l = lengths[k].item<int64_t>();
          const Tensor alone = layer->forward(u.narrow(0, k, 1).narrow(1, 0, l), {}, mode);
          EXPECT_LT(distance(y[k].narrow(0, 0, l), alone[0]), 1e-11)
              << layer->name << " " << mode_name(mode) << " length " << l;
        }
      }
    }
  }
}

TEST(SequenceLayer, BidirectionalIsSymmetricUnderReversalOfTimeAndDirections) {
  for (const LayerKind kind : {LayerKind::s4, LayerKind::s4d, LayerKind::s5}) {
    const auto layer = make_layer(options(kind, at::kDouble, true));
    const Tensor u = noise({2, 13, 3}, at::kDouble), D = parameter(*layer, "D");
    const Tensor before = layer->forward(u) - D * u;
    {
      const at::NoGradGuard no_graph;
      const Tensor C = parameter(*layer, "C");
      C.copy_(C.flip(0));
    }
    const Tensor after = layer->forward(u.flip(1)) - D * u.flip(1);
    EXPECT_LT(distance(after.flip(1), before), 1e-11) << layer->name;
  }
}

TEST(SequenceLayer, ConjugateStorageIsTheSameRealSystem) {
  for (const LayerKind kind :
       {LayerKind::s4, LayerKind::s4d, LayerKind::s5, LayerKind::s4_ptd, LayerKind::s5_ptd}) {
    for (const int64_t n : {6, 7}) {  // odd: one real eigenvalue, which counts once
      LayerOptions half = options(kind, at::kDouble);
      half.dt_min = half.dt_max = 0.05;  // S5 has one for each stored state
      LayerOptions full = half;
      half.states = full.states = n;
      half.output = full.output = OutputForm::original;
      full.storage = Storage::full;
      const auto a = make_layer(half), b = make_layer(full);
      EXPECT_LT(parameter(*a, "A_imag").size(-1), parameter(*b, "A_imag").size(-1));
      const Tensor u = noise({1, 25, 3}, at::kDouble);
      EXPECT_LT(distance(a->forward(u), b->forward(u)), 1e-9) << a->name << " n = " << n;
    }
  }
}

/// Impulse response [L, H] without D, of dense systems C_h A_h^l B_h.
Tensor impulse_response(const std::vector<Tensor>& A, const std::vector<Tensor>& B, const Tensor& C,
                        int64_t L) {
  Tensor K = at::zeros({L, C.size(0)}, at::kDouble);
  for (size_t h = 0; h < A.size(); ++h) {
    Tensor x = B[h];
    for (int64_t l = 0; l < L; ++l) {
      K[l][static_cast<int64_t>(h)] = C[static_cast<int64_t>(h)].dot(x);
      x = A[h].mv(x);
    }
  }
  return K;
}

TEST(SequenceLayer, S4IsHippoDiscretisedBilinearly) {
  LayerOptions o = options(LayerKind::s4, at::kDouble);
  o.states = 5;
  o.output = OutputForm::original;
  const auto layer = make_layer(o);
  const Tensor I = at::eye(5, at::kDouble), dt = layer->channel_steps().detach();
  std::vector<Tensor> A, B;
  for (int64_t h = 0; h < 3; ++h) {
    const double half = dt[h].item<double>() / 2;
    const Tensor inverse = at::linalg_inv(I - half * hippo_matrix(5));
    A.push_back(inverse.mm(I + half * hippo_matrix(5)));
    B.push_back(2 * half * inverse.mv(hippo_input(5)));
  }
  const Tensor C = parameter(*layer, "C").detach()[0], D = parameter(*layer, "D").detach();
  Tensor u = at::zeros({1, 30, 3}, at::kDouble);
  u.select(1, 0).fill_(1);
  const Tensor y = layer->forward(u)[0] - D * u[0];
  EXPECT_LT(distance(y, impulse_response(A, B, C, 30)), 1e-10);
}

TEST(SequenceLayer, S4dIsTheNormalPartWithInputHeldOverEachStep) {
  LayerOptions o = options(LayerKind::s4d, at::kDouble);
  o.states = 5;
  o.output = OutputForm::original;
  const auto layer = make_layer(o);
  const Tensor b = hippo_input(5), normal = hippo_matrix(5) + b.outer(b) / 2;
  const Tensor dt = layer->channel_steps().detach();
  std::vector<Tensor> A, B;
  for (int64_t h = 0; h < 3; ++h) {
    const double step = dt[h].item<double>();
    // exp of [[A, b/2], [0, 0]] Delta holds both the propagator and the integral of the input.
    Tensor joint = at::zeros({6, 6}, at::kDouble);
    joint.narrow(0, 0, 5).narrow(1, 0, 5).copy_(normal * step);
    joint.narrow(0, 0, 5).select(1, 5).copy_(b * (step / 2));
    const Tensor e = at::matrix_exp(joint);
    A.push_back(e.narrow(0, 0, 5).narrow(1, 0, 5));
    B.push_back(e.narrow(0, 0, 5).select(1, 5));
  }
  const Tensor C = parameter(*layer, "C").detach()[0], D = parameter(*layer, "D").detach();
  Tensor u = at::zeros({1, 30, 3}, at::kDouble);
  u.select(1, 0).fill_(1);
  EXPECT_LT(distance(layer->forward(u)[0] - D * u[0], impulse_response(A, B, C, 30)), 1e-10);
}

TEST(SequenceLayer, GradientsAreThoseOfFiniteDifferences) {
  const Tensor u = noise({2, 9, 3}, at::kDouble), g = noise({2, 9, 3}, at::kDouble, 2);
  const Tensor lengths = at::tensor({9, 4}, at::kLong);
  const Tensor mask = length_mask(lengths, 9).unsqueeze(2);
  for (const LayerKind kind : kAll) {
    for (const bool bidirectional : {false, true}) {
      const auto layer = make_layer(options(kind, at::kDouble, bidirectional));
      for (const Mode mode : layer->modes) {
        if (mode == Mode::step && kind != LayerKind::gru) continue;
        const auto loss = [&] { return (layer->forward(u, lengths, mode) * g * mask).sum(); };
        layer->zero_grad();
        loss().backward();
        for (const auto& item : layer->named_parameters()) {
          const Tensor value = item.value().detach().view({-1}), gradient = item.value().grad();
          ASSERT_TRUE(gradient.defined()) << layer->name << " " << item.key();
          const at::NoGradGuard no_graph;
          for (const int64_t k : {int64_t{0}, value.numel() - 1}) {
            const double at = value[k].item<double>(), h = 1e-5 * std::max(1.0, std::abs(at));
            value[k] = at + h;
            const double up = loss().item<double>();
            value[k] = at - h;
            const double down = loss().item<double>();
            value[k] = at;
            const double slope = (up - down) / (2 * h);
            // Second differences leave h^2 f''' / 6, rounding eps f / h: both far below this.
            EXPECT_NEAR(gradient.view({-1})[k].item<double>(), slope,
                        1e-6 * std::max(1.0, std::abs(slope)))
                << layer->name << " " << mode_name(mode) << " " << item.key() << "[" << k << "]";
          }
        }
      }
    }
  }
}

TEST(SequenceLayer, BlocksStartAlikeAndStepsMayBelongToStates) {
  LayerOptions o = options(LayerKind::s5, at::kDouble);
  o.states = 12;
  o.blocks = 3;
  const auto blocks = make_layer(o);
  const Tensor imag = parameter(*blocks, "A_imag");
  EXPECT_EQ(imag.size(0), 6);
  EXPECT_TRUE(at::equal(imag.narrow(0, 0, 2), imag.narrow(0, 4, 2)));
  LayerOptions each = options(LayerKind::s4d, at::kDouble);
  each.steps_by_state = true;
  each.systems = 3;
  const auto layer = make_layer(each);
  EXPECT_EQ(parameter(*layer, "log_dt").sizes(), (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(parameter(*layer, "A_real").sizes(), (std::vector<int64_t>{3, 3}));
  const Tensor u = noise({2, 17, 3}, at::kDouble);
  for (const auto& any : {blocks, layer}) {
    for (const Mode mode : any->modes) {
      EXPECT_LT(distance(any->forward(u, {}, mode), any->forward(u)), 1e-11) << any->name;
    }
  }
}

TEST(SequenceLayer, RealPartsStayNegative) {
  for (const auto form : {RealPart::exponential, RealPart::clipped}) {
    LayerOptions o = options(LayerKind::s4d, at::kDouble);
    o.real_part = form;
    const auto layer = std::dynamic_pointer_cast<StateSpaceLayer>(make_layer(o));
    EXPECT_LT((at::real(layer->eigenvalues()) + 0.5).abs().max().item<double>(), 1e-12);
    const at::NoGradGuard no_graph;
    parameter(*layer, "A_real").fill_(form == RealPart::clipped ? 3 : -40);
    EXPECT_LT(at::real(layer->eigenvalues()).max().item<double>(), 0);
    EXPECT_TRUE(layer->forward(noise({1, 2000, 3}, at::kDouble)).isfinite().all().item<bool>());
  }
}

TEST(SequenceLayer, FrozenPartsLearnNothing) {
  LayerOptions o = options(LayerKind::s4, at::kDouble);
  o.freeze_A = o.freeze_B = o.freeze_dt = true;
  const auto layer = make_layer(o);
  layer->forward(noise({1, 5, 3}, at::kDouble)).sum().backward();
  for (const auto& item : layer->named_parameters()) {
    const bool learned = item.key() == "C" || item.key() == "D";
    EXPECT_EQ(item.value().requires_grad(), learned) << item.key();
    EXPECT_EQ(item.value().grad().defined(), learned) << item.key();
  }
}

TEST(SequenceLayer, StreamsGoOnFromAKeptState) {
  const Tensor u = noise({2, 20, 3}, at::kDouble);
  for (const LayerKind kind : kAll) {
    const auto layer = make_layer(options(kind, at::kDouble));
    const auto first = layer->stream(2), second = layer->stream(2);
    for (int64_t t = 0; t < 12; ++t) first->push(u.select(1, t));
    second->set_state(first->state());
    for (int64_t t = 12; t < 20; ++t) {
      EXPECT_TRUE(at::equal(first->push(u.select(1, t)), second->push(u.select(1, t))));
    }
    first->reset();
    EXPECT_LT(distance(first->push(u.select(1, 0)), layer->forward(u).select(1, 0)), 1e-11)
        << layer->name;
  }
}

TEST(SequenceLayer, WhatDoesNotFitIsRefused) {
  const auto refused = [](auto change, const char* part, LayerKind kind = LayerKind::s4d) {
    LayerOptions o = options(kind, at::kFloat);
    change(o);
    try {
      make_layer(o);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const ritz::InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused([](auto& o) { o.dt_min = 0; }, "dt_min");
  refused([](auto& o) { o.dt_min = 1, o.dt_max = 0.5; }, "dt_min");
  refused([](auto& o) { o.states = 0; }, "states");
  refused([](auto& o) { o.width = 0; }, "width");
  refused([](auto& o) { o.systems = 2; }, "systems");
  refused([](auto& o) { o.blocks = 2; }, "blocks");
  refused([](auto& o) { o.blocks = 4; }, "blocks", LayerKind::s5);
  refused([](auto& o) { o.states = 5; }, "even", LayerKind::s4d_lin);
  refused([](auto& o) { o.output = OutputForm::original; }, "output", LayerKind::s4d_inv);
  refused([](auto& o) { o.discretisation = Discretisation::zoh; }, "bilinear", LayerKind::s4);
  refused([](auto& o) { o.steps_by_state = true; }, "steps_by_state", LayerKind::s4);

  const auto layer = make_layer(options(LayerKind::s5, at::kFloat));
  EXPECT_THROW(layer->forward(at::zeros({2, 5, 4})), ritz::InvalidArgument);  // channels
  EXPECT_THROW(layer->forward(at::zeros({2, 0, 3})), ritz::InvalidArgument);  // no steps
  EXPECT_THROW(layer->forward(at::zeros({2, 5, 3}), {}, Mode::convolution), ritz::Unsupported);
  const auto both = make_layer(options(LayerKind::s4d, at::kFloat, true));
  EXPECT_THROW(both->stream(1), ritz::Unsupported);
  EXPECT_THROW(both->forward(at::zeros({2, 5, 3}), {}, Mode::step), ritz::Unsupported);
}

}  // namespace
