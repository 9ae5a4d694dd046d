// The objective's terms, windows and scales, training, its checkpoints and its errors.
#include "ritz/koopman/learned/training.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>

#include "ritz/base/error.h"
#include "ritz/koopman/learned/coherence.h"
#include "ritz/koopman/learned/entropy.h"
#include "ritz/koopman/learned/kernel_regression.h"
#include "ritz/koopman/learned/metrics.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  return ritz::RandomStream(seed).normal(shape, type);
}
double value(const Tensor& t) {
  return t.item<double>();
}
double part(const Terms& terms, const std::string& name) {
  for (const auto& [key, v] : terms.parts) {
    if (key == name) return v.defined() ? value(v) : std::nan("");
  }
  throw std::out_of_range(name);
}

/// Trajectories of a rotation that shrinks, seen through three linear observations.
Tensor spirals(int64_t N, int64_t L, at::ScalarType type = at::kFloat) {
  const Tensor t = at::arange(L, at::kDouble), phase = at::arange(N, at::kDouble).unsqueeze(1);
  const Tensor a = 0.4 * t + phase, r = (-0.01 * t).exp();
  const Tensor c = r * a.cos(), s = r * a.sin();
  return at::stack({c, s, c + 0.5 * s}, 2).to(type);
}

ModelOptions small(OperatorKind op = OperatorKind::stable) {
  return {.network = "mlp:8",
          .sample = {3},
          .latent = 4,
          .op = op,
          .seed = 1,
          .tensor = at::TensorOptions(at::kDouble)};
}

TEST(Objective, IsTheSumOfItsTermsAndTheyAreWhatTheySay) {
  Model model(small(OperatorKind::learned));
  const Tensor x = normal({4, 6, 3}, 2);
  const LossOptions o{.reconstruction = 0.3,
                      .prediction = 0.7,
                      .alpha = 0.2,
                      .beta = 0.5,
                      .gamma = 0.4,
                      .horizon = 3,
                      .k = 2};
  const Terms terms = objective(model, {x}, o);
  const at::NoGradGuard no_graph;
  const Tensor z = model.encode(x).mean, K = model.koopman_matrix();
  double prediction = 0;
  Tensor state = z;
  for (int64_t h = 1; h <= 3; ++h) {
    state = state.narrow(1, 0, 6 - h).matmul(K.t());
    prediction += value((model.decode(state) - x.narrow(1, h, 6 - h)).square().mean()) / 3;
  }
  const double latent =
      value((z.narrow(1, 1, 5) - z.narrow(1, 0, 5).matmul(K.t())).square().mean());
  const double reconstruction = value((model.decode(z) - x).square().mean());
  const double I = value(contrast(z, {.k = 2})), S = value(entropy(z.reshape({24, 4})));
  EXPECT_NEAR(part(terms, "reconstruction"), reconstruction, 1e-12);
  EXPECT_NEAR(part(terms, "prediction"), prediction, 1e-12);
  EXPECT_NEAR(part(terms, "latent"), latent, 1e-12);
  EXPECT_NEAR(part(terms, "coherence"), I, 1e-12);
  EXPECT_NEAR(part(terms, "entropy"), S, 1e-12);
  EXPECT_TRUE(std::isnan(part(terms, "prior")));
  // Information and entropy are rewarded: both with a minus.
  EXPECT_NEAR(value(terms.total),
              0.3 * reconstruction + 0.7 * prediction + 0.5 * latent - 0.2 * I - 0.4 * S, 1e-12);
  auto sums = o;
  sums.reduction = Reduction::sum;
  const Terms summed = objective(model, {x}, sums);
  EXPECT_NEAR(part(summed, "prediction"), 5 * prediction, 1e-11);
  EXPECT_NEAR(part(summed, "coherence"), I, 1e-12);
}

TEST(Objective, HasTheGradientOfDifferencesInEveryParameter) {
  for (const auto op : {OperatorKind::stable, OperatorKind::blockdiag, OperatorKind::ridge}) {
    for (const auto estimator : {Estimator::nce_paper, Estimator::nce_ref, Estimator::gaussian}) {
      auto options = small(op);
      options.network = "mlp:8:tanh";  // smooth, so that differences tell
      Model model(options);
      const Tensor x = normal({3, 6, 3}, 2);
      const LossOptions o{.alpha = 0.1, .gamma = 0.1, .horizon = 2, .estimator = estimator, .k = 2};
      objective(model, {x}, o).total.backward();
      for (const auto& item : model.named_parameters()) {
        const Tensor direction = normal(item.value().sizes(), 5);
        const double exact = value((item.value().grad() * direction).sum());
        const at::NoGradGuard no_graph;
        const double h = 1e-6;
        item.value().add_(direction, h);
        const double up = value(objective(model, {x}, o).total);
        item.value().add_(direction, -2 * h);
        const double down = value(objective(model, {x}, o).total);
        item.value().add_(direction, h);
        EXPECT_NEAR(exact, (up - down) / (2 * h), 1e-6 * (1 + std::abs(exact))) << item.key();
      }
    }
  }
}

TEST(Objective, DivergenceIsZeroForEqualGaussiansAndKnownForOthers) {
  const Tensor m = normal({5, 3}, 1), s = 0.3 * normal({5, 3}, 2);
  EXPECT_NEAR(value(gaussian_divergence(m, s, m, s).abs().max()), 0, 1e-14);
  EXPECT_GT(value(gaussian_divergence(m, s, m + 0.1, s).min()), 0);
  EXPECT_GT(value(gaussian_divergence(m, s, m, s + 0.1).min()), 0);
  // KL(N(1, 4) || N(0, 1)) = (4 + 1 - 1 - log 4) / 2
  const Tensor one = at::ones({1}, at::kDouble), zero = at::zeros({1}, at::kDouble);
  EXPECT_NEAR(value(gaussian_divergence(one, one * std::log(2.0), zero, zero)),
              (4 - std::log(4.0)) / 2, 1e-14);
}

TEST(Objective, VariationalHasItsDivergences) {
  auto options = small();
  options.variational = true;
  Model model(options);
  model.noise().start(1, 0, 1);
  const Terms terms = objective(model, {normal({3, 6, 3}, 2)}, {.alpha = 0.1, .gamma = 0.1});
  EXPECT_GE(part(terms, "latent"), 0);
  EXPECT_GE(part(terms, "prior"), 0);
  terms.total.backward();
  for (const auto& item : model.named_parameters()) {
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST(Objective, PenalisesDepartureFromUnitarityOnTheAttractor) {
  auto options = small();
  options.transition = Transition::pfnn;
  options.transient = 2;
  Model model(options);
  const at::NoGradGuard no_graph;
  const Tensor K = model.koopman_matrix();
  const Batch batch{normal({3, 6, 3}, 2), {}, at::zeros({3}, at::kLong)};
  const Terms terms = objective(model, batch, {});
  EXPECT_NEAR(part(terms, "unitarity"),
              value((K.t().mm(K) - at::eye(4, at::kDouble)).square().sum() / 4), 1e-14);
  const Terms late = objective(model, {batch.frames, {}, 9 + batch.times}, {});
  EXPECT_NE(part(terms, "latent"), part(late, "latent"));
}

TEST(Objective, RefusesBadWeightsAndHorizons) {
  Model model(small());
  const Batch batch{normal({3, 6, 3}, 2)};
  EXPECT_THROW(objective(model, batch, {.alpha = -1}), ritz::InvalidArgument);
  EXPECT_THROW(objective(model, batch, {.horizon = 6}), ritz::InvalidArgument);
  EXPECT_THROW(objective(model, batch, {.alpha = 1, .k = 0}), ritz::InvalidArgument);
  EXPECT_THROW(objective(model, batch, {.reconstruction = 0, .prediction = 0}),
               ritz::InvalidArgument);
  EXPECT_THROW(objective(model, {batch.frames.to(at::kFloat)}, {}), ritz::InvalidArgument);
}

TEST(Windows, AreWhereAllFramesAre) {
  Trajectories data{normal({2, 7, 3}, 1)};
  EXPECT_EQ(windows(data, 3).size(0), 8);
  EXPECT_EQ(windows(data, 6).size(0), 2);
  EXPECT_THROW(windows(data, 7), ritz::InvalidArgument);
  data.mask = at::ones({2, 7}, at::kBool);
  data.mask[1][3] = false;
  const Tensor starts = windows(data, 3);
  EXPECT_EQ(starts.size(0), 4);  // none of the second trajectory but ... 4..6 is too short
  const Tensor x = gather_frames(data.frames, starts, 4);
  EXPECT_TRUE(at::equal(x[2], data.frames[0].narrow(0, 2, 4)));
}

TEST(Trajectories, WithNaNNameItsPlaceUnlessMasked) {
  Trajectories data{normal({2, 7, 3}, 1)};
  data.frames[1][3][2] = std::nan("");
  try {
    check_trajectories(data);
    FAIL();
  } catch (const ritz::InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("index 1 3 2"), std::string::npos) << error.what();
  }
  data.mask = at::ones({2, 7}, at::kBool);
  data.mask[1][3] = false;
  check_trajectories(data);
  const Scale scale = scale_of(data, 1, Scaling::channel);
  EXPECT_TRUE(scale.mean.isfinite().all().item<bool>());
  EXPECT_THROW(check_trajectories({normal({2, 1, 3}, 1)}), ritz::InvalidArgument);
  EXPECT_THROW(check_trajectories({normal({2, 7, 3}, 1), normal({2, 5, 1}, 1)}),
               ritz::InvalidArgument);
  EXPECT_THROW(check_trajectories({normal({2, 7, 3}, 1), {}, at::ones({2, 6}, at::kBool)}),
               ritz::InvalidArgument);
}

TEST(Scale, IsThatOfTheFramesAndNeedsVariance) {
  const Tensor x = 3 + 2 * normal({4, 20, 3}, 1);
  const Scale channel = scale_of({x}, 1, Scaling::channel);
  EXPECT_LT(value((channel.mean - x.mean({0, 1})).abs().max()), 1e-12);
  EXPECT_LT(value((channel.deviation - x.flatten(0, 1).std(0, false)).abs().max()), 1e-12);
  const Scale pixel = scale_of({x}, 1, Scaling::pixel);
  EXPECT_NEAR(value(pixel.deviation[0]), value((x - x.mean({0, 1})).square().mean().sqrt()), 1e-12);
  const Tensor field = normal({2, 5, 3, 4, 6}, 2) + at::arange(3, at::kDouble).view({3, 1, 1});
  EXPECT_EQ(scale_of({field}, 3, Scaling::channel).mean.sizes(), (std::vector<int64_t>{3, 1, 1}));
  EXPECT_NEAR(value(scale_of({field}, 3, Scaling::channel).mean[2][0][0]),
              value(field.select(2, 2).mean()), 1e-12);
  Tensor flat = x.clone();
  flat.select(2, 1).fill_(0.1);
  try {
    scale_of({flat}, 1, Scaling::channel);
    FAIL();
  } catch (const ritz::InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("channel 1"), std::string::npos) << error.what();
  }
}

TEST(Training, LearnsALinearSystemInBothPrecisions) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const Trajectories train_set{spirals(6, 40, type)},
        test_set{spirals(8, 40, type).narrow(0, 6, 2)};
    for (const auto op : {OperatorKind::stable, OperatorKind::learned, OperatorKind::ridge,
                          OperatorKind::blockdiag}) {
      Model model({.network = "mlp:32",
                   .sample = {3},
                   .latent = 4,
                   .op = op,
                   .ridge = 1e-3,
                   .seed = 1,
                   .tensor = at::TensorOptions(type)});
      ritz::dist::ProcessGroup alone;
      const auto result =
          train(model, {train_set, test_set},
                {.window = 8, .batch = 8, .steps = 300, .lr = 3e-3, .seed = 1}, alone);
      EXPECT_EQ(result.steps, 300);
      const Tensor future = model.forecast(test_set.frames.select(1, 0), 10);
      const double error = value(nrmse(test_set.frames.narrow(1, 1, 10), future)[9]);
      // Standing still is wrong by 2 |sin(0.4 * 10 / 2)| = 1.8.
      EXPECT_LT(error, 0.7) << name_of(op);
      EXPECT_LT(result.log.back().loss, 0.1 * result.log.front().loss) << name_of(op);
    }
  }
}

TEST(Training, IsRepeatedByItsSeedAndResumedToTheBit) {
  const ritz::test::TemporaryFolder folder;
  const Trajectories data{spirals(4, 30)};
  const auto model_of = [] {
    return std::make_shared<Model>(ModelOptions{
        .network = "mlp:8", .sample = {3}, .latent = 4, .variational = true, .seed = 3});
  };
  const TrainingOptions o{
      .loss = {.alpha = 0.1, .gamma = 0.1}, .window = 8, .batch = 8, .steps = 30, .seed = 5};
  ritz::dist::ProcessGroup alone;
  const auto whole = model_of(), again = model_of(), halves = model_of();
  const auto first = train(*whole, {data, data}, o, alone);
  train(*again, {data, data}, o, alone);
  auto part = o;
  part.out = folder / "run";
  int steps = 0;
  part.stop = [&] { return ++steps == 13; };
  EXPECT_TRUE(train(*halves, {data, data}, part, alone).interrupted);
  auto rest = o;
  rest.out = part.out;
  rest.resume = true;
  const auto resumed_model = model_of();
  const auto resumed = train(*resumed_model, {data, data}, rest, alone);
  EXPECT_EQ(resumed.resumed_from, 13);
  EXPECT_EQ(resumed.best_loss, first.best_loss);
  for (size_t i = 0; i < whole->parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(whole->parameters()[i], again->parameters()[i])) << i;
    EXPECT_TRUE(at::equal(whole->parameters()[i], resumed_model->parameters()[i])) << i;
  }
  rest.seed = 6;
  EXPECT_THROW(train(*model_of(), {data, data}, rest, alone), ritz::DataError);
}

TEST(Training, StopsAtDivergenceAndKeepsTheBest) {
  const Trajectories data{spirals(4, 30)};
  Model model(
      {.network = "mlp:8", .sample = {3}, .latent = 4, .op = OperatorKind::learned, .seed = 3});
  ritz::dist::ProcessGroup alone;
  const auto result =
      train(model, {data}, {.window = 8, .batch = 8, .steps = 500, .lr = 1e12, .clip = 0}, alone);
  ASSERT_TRUE(result.diverged_at.has_value());
  for (const Tensor& p : model.parameters()) EXPECT_TRUE(p.isfinite().all().item<bool>());
}

TEST(Training, StopsEarlyWithoutProgress) {
  const Trajectories data{spirals(4, 30)};
  Model model({.network = "mlp:8", .sample = {3}, .latent = 4, .seed = 3});
  ritz::dist::ProcessGroup alone;
  // Validation on noise gets no better for long.
  const Trajectories noise{10 * normal({2, 30, 3}, 8, at::kFloat)};
  const auto result =
      train(model, {data, noise},
            {.window = 8, .batch = 8, .epochs = 100, .patience = 2, .lr = 1e-2}, alone);
  EXPECT_TRUE(result.stopped_early);
  EXPECT_LT(result.best_step, result.steps);
}

TEST(Training, RefusesWhatDoesNotFitTogether) {
  Model model({.network = "mlp:8", .sample = {3}, .latent = 4});
  ritz::dist::ProcessGroup alone;
  const Trajectories data{spirals(4, 30)};
  const auto refused = [&](const TrainingOptions& o, const Trajectories& of) {
    EXPECT_THROW(train(model, {of}, o, alone), ritz::InvalidArgument);
  };
  refused({.window = 30}, data);                               // longer than a trajectory
  refused({.window = 8, .batch = 1000}, data);                 // more than there are
  refused({.loss = {.alpha = 1, .k = 5}, .window = 8}, data);  // k too big
  refused({.loss = {.horizon = 9}, .window = 8}, data);
  refused({.window = 8, .lr = 0}, data);
  refused({.window = 8}, {spirals(4, 30), at::zeros({4, 30, 2})});  // actions it has no B for
  Tensor nan = spirals(4, 30);
  nan[0][0][0] = std::nan("");
  refused({.window = 8}, {nan});
}

TEST(Training, FindsControlsAndRelations) {
  // x' = 0.9 x + a on each of two objects, coupled by 0.2 to the other.
  const int64_t N = 20, L = 25;
  const Tensor a = normal({N, L, 2, 1}, 1);
  std::vector<Tensor> states{normal({N, 2, 1}, 2)};
  for (int64_t t = 0; t + 1 < L; ++t) {
    states.push_back(0.7 * states.back() + 0.2 * states.back().flip(1) + a.select(1, t));
  }
  const Tensor relations = at::tensor({0, 1, 1, 0}, at::kLong).view({2, 2});
  Model model({.network = "mlp:32",
               .sample = {1},
               .latent = 2,
               .op = OperatorKind::ridge,
               .actions = 1,
               .relations = relations,
               .ridge = 1e-3,
               .seed = 1,
               .tensor = at::TensorOptions(at::kDouble)});
  ritz::dist::ProcessGroup alone;
  const Trajectories data{at::stack(states, 1), a};
  train(model, {data}, {.window = 8, .batch = 10, .steps = 300, .lr = 3e-3}, alone);
  const Tensor future = model.forecast(data.frames.select(1, 0), 10, data.actions);
  EXPECT_LT(value(nrmse(data.frames.narrow(1, 1, 10), future)[4]), 0.3);
}

TEST(Metrics, AreZeroOrOneForAPerfectForecastAndKnownOtherwise) {
  const Tensor x = normal({3, 4, 5}, 1);
  EXPECT_EQ(value(nrmse(x, x).max()), 0);
  EXPECT_NEAR(value(nrmse(x, at::zeros_like(x))[2]), 1, 1e-15);
  const Tensor field = normal({2, 3, 2, 16, 12}, 2);
  EXPECT_NEAR(value(ssim(field, field).min()), 1, 1e-12);
  EXPECT_LT(value(ssim(field, normal({2, 3, 2, 16, 12}, 3)).max()), 0.3);
  const Tensor points = normal({2000, 3}, 4);
  EXPECT_NEAR(histogram_divergence(points, points), 0, 1e-12);
  EXPECT_GT(histogram_divergence(points, 2 * points), histogram_divergence(points, 1.2 * points));
  EXPECT_TRUE(std::isfinite(histogram_divergence(points, 1e300 * points)));
  EXPECT_EQ(spectral_distance(x[0], x[0], 1), 0);
  EXPECT_NEAR(spectral_distance(x[0], 2 * x[0], 1), 3, 1e-12);  // |2|^2 - 1
  EXPECT_NEAR(spectral_distance(field[0], 0 * field[0], 2), 1, 1e-12);
  EXPECT_THROW(nrmse(x, x[0]), ritz::InvalidArgument);
}

TEST(KernelRegression, FollowsAnOscillatorAndRefusesShortTrajectories) {
  const Tensor x = spirals(10, 60, at::kDouble);
  const KernelRegression fit(x.narrow(0, 0, 8), {.horizon = 20, .least_radius = 0.95});
  const Tensor start = x.narrow(0, 8, 2).select(1, 5);
  const Tensor error = nrmse(x.narrow(0, 8, 2).narrow(1, 6, 20), fit.forecast(start));
  EXPECT_LT(value(error[9]), 0.15);
  EXPECT_THROW(KernelRegression(x, {.horizon = 60}), ritz::InvalidArgument);
  EXPECT_THROW(KernelRegression(x, {.ridge = 0}), ritz::InvalidArgument);
}

}  // namespace
