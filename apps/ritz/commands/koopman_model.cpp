#include "apps/ritz/commands/koopman_model.h"

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/commands/koopman_data.h"
#include "apps/ritz/commands/koopman_frames.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/atomic_file.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/base/threads.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/learned/analysis.h"
#include "ritz/koopman/learned/coherence.h"
#include "ritz/koopman/learned/entropy.h"
#include "ritz/koopman/learned/metrics.h"
#include "ritz/koopman/learned/training.h"

namespace ritz::app {
namespace {

namespace fs = std::filesystem;
namespace learned = koopman::learned;

std::string path_in(const Run& run, const char* name) {
  return (fs::path(run.common.out) / name).string();
}

void refuse_old_run(const Run& run) {
  for (const char* name :
       {"model.safetensors", "log.csv", "summary.json", "checkpoint.safetensors"}) {
    if (!run.common.force && fs::exists(path_in(run, name))) {
      throw UsageError("--out", "a folder without a run in it, --force or --resume",
                       path_in(run, name));
    }
  }
}

struct Loaded {
  learned::Trajectories all;
  std::vector<int64_t> sample;
  Tensor relations;
};

Loaded load_training(const KoopmanTrain& t, Run& run) {
  Tensor first = load_numbers(t.files[0], run);
  if (first.is_complex()) throw DataError(t.files[0], "real frames", describe(first));
  if (first.dim() == 1) first = first.unsqueeze(1);
  const bool graph = t.method == "graph";
  Loaded loaded;
  bool single = false;
  if (t.files.size() == 2) {
    const Tensor second = load_numbers(t.files[1], run);
    if (second.is_complex() || second.sizes() != first.sizes()) {
      throw DataError(t.files[1], "as " + t.files[0] + ", " + describe(first), describe(second));
    }
    loaded.all.frames = at::stack({first, second.to(first.options())}, 1);
  } else {
    const bool field = !graph && first.dim() >= 4;
    const int64_t frame = field ? 3 : graph ? 2 : 1;
    single = first.dim() == frame + 1;
    if (!single && first.dim() != frame + 2) {
      throw DataError(t.files[0],
                      graph ? "[T, n, d] or [N, T, n, d]"
                            : "[T, d], [N, T, d], [T, C, H, W] or [N, T, C, H, W]",
                      describe(first));
    }
    loaded.all.frames = single ? first.unsqueeze(0) : first;
  }
  Tensor& x = loaded.all.frames;
  x = x.contiguous();
  loaded.sample = x.sizes().slice(graph ? 3 : 2).vec();
  if (!t.actions.empty()) {
    Tensor a = load_numbers(t.actions, run).to(x.options());
    if (t.files.size() == 2) {
      a = (a.dim() == 1 ? a.unsqueeze(1) : a).unsqueeze(1);  // pairs: one action each
    } else {
      if (single && a.dim() == 1) a = a.unsqueeze(1);
      if (single) a = a.unsqueeze(0);
    }
    loaded.all.actions = a;
  }
  if (!t.mask.empty()) {
    Tensor out = load_numbers(t.mask, run) != 0;
    if (single) out = out.unsqueeze(0);
    loaded.all.mask = out.logical_not();
  }
  if (graph) {
    const auto array = io::read_array(t.relations);
    run.input(t.relations, array);
    loaded.relations = io::to_tensor(array);
    if (at::isFloatingType(loaded.relations.scalar_type())) {
      if (!at::equal(loaded.relations, loaded.relations.round())) {
        throw DataError(t.relations, "whole numbers", "fractions");
      }
    }
    loaded.relations = loaded.relations.to(at::kLong);
    if (x.dim() > 3 && (loaded.relations.dim() != 2 || loaded.relations.size(0) != x.size(2))) {
      throw DataError(t.relations,
                      "[n, n] for the data's " + std::to_string(x.size(2)) + " objects",
                      describe(loaded.relations));
    }
  }
  learned::check_trajectories(loaded.all);
  return loaded;
}

/// The last F of the trajectories, or of the one there is.
learned::TrainingData split(const learned::Trajectories& all, double share, int64_t window,
                            Run& run) {
  if (share == 0) return {all};
  const int64_t N = all.count(), L = all.length();
  if (N > 1) {
    const auto kept = std::clamp<int64_t>(
        static_cast<int64_t>(std::ceil(share * static_cast<double>(N) - 1e-9)), 1, N - 1);
    return {all.part(0, N - kept), all.part(N - kept, kept)};
  }
  const auto kept = static_cast<int64_t>(std::llround(share * static_cast<double>(L)));
  if (kept < window + 1 || L - kept < window + 1) {
    run.warn("no_holdout", "the trajectory is too short for held-out windows: nothing is held out");
    return {all};
  }
  return {all.span(0, L - kept), all.span(L - kept, kept)};
}

/// Forecast errors of `data` at horizons up to its length, from starts spread over it.
Json forecast_errors(learned::Model& model, const learned::Trajectories& data, int64_t horizon,
                     Json& at_horizon, std::string& table) {
  constexpr int64_t kMostStarts = 200;
  Json list = Json::array();
  std::vector<int64_t> horizons{1, 5, 20, 50, 150, horizon};
  std::sort(horizons.begin(), horizons.end());
  horizons.erase(std::unique(horizons.begin(), horizons.end()), horizons.end());
  at_horizon = nullptr;
  for (const int64_t h : horizons) {
    if (h > data.length() - 1) break;
    Tensor starts = learned::windows(data, h);
    const int64_t W = starts.size(0);
    if (W == 0) break;
    const int64_t n = std::min(W, kMostStarts);
    starts = starts.index_select(0, (at::arange(n, at::kLong) * W).div(n, "floor"));
    const Tensor frames = learned::gather_frames(data.frames, starts, h + 1);
    const Tensor actions =
        data.actions.defined() ? learned::gather_frames(data.actions, starts, h) : Tensor();
    const Tensor truth = frames.narrow(1, h, 1);
    const Tensor future = model.forecast(frames.select(1, 0), h, actions).narrow(1, h - 1, 1);
    const double error = learned::nrmse(truth, future)[0].item<double>();
    const double still = learned::nrmse(truth, frames.narrow(1, 0, 1))[0].item<double>();
    Json row{{"horizon", h}, {"nrmse", error}, {"persistence", still}, {"starts", n}};
    if (truth.dim() == 5) row["ssim"] = learned::ssim(truth, future)[0].item<double>();
    list.push_back(row);
    table += "  " + std::to_string(h) + " steps: " + short_text(error) + " (standing still " +
             short_text(still) + ")\n";
    if (h == horizon) at_horizon = error;
  }
  return list;
}

/// Frames that are there, as latents [n, d].
Tensor latent_rows(learned::Model& model, const learned::Trajectories& data) {
  Tensor z = learned::encode_all(model, data.frames);
  if (data.mask.defined()) z = z.index({data.mask.to(at::kBool)});
  return z.reshape({-1, z.size(-1)});
}

/// Closed-form I(z_n; z_{n+1}) of the linear Gaussian process that K, the residuals and the latents
/// make, or null.
Json information(learned::Model& model, const learned::Trajectories& data) {
  if (model.graph() || data.mask.defined() ||
      model.options().transition != learned::Transition::linear) {
    return nullptr;
  }
  const Tensor z = learned::encode_all(model, data.frames);
  const int64_t n = z.size(1) - 1;
  const Tensor actions = data.actions.defined() ? data.actions.narrow(1, 0, n) : Tensor();
  const at::NoGradGuard no_graph;
  const auto map = model.linear_map();
  const Tensor residual = z.narrow(1, 1, n) - model.advance(z.narrow(1, 0, n), actions, map);
  const Tensor C = learned::covariance(z.reshape({-1, z.size(-1)})).to(at::kDouble);
  const Tensor noise = residual.to(at::kDouble).square().mean({0, 1}) + 1e-12 * C.trace();
  return learned::gaussian_information(map.K.to(at::kDouble), noise.diag(), C, 1).item<double>();
}

}  // namespace

void KoopmanTrain::run(Run& run) const {
  const dist::Ranks ranks = dist::discover_ranks();
  if (ranks.rank != 0) run.be_silent();
  if (ranks.world_size > 1 && ranks.one_machine && run.common.threads <= 0 &&
      std::getenv("OMP_NUM_THREADS") == nullptr) {
    set_threads(std::max(1, threads() / ranks.world_size));
    run.threads = threads();
  }
  const Loaded loaded = load_training(*this, run);
  const bool sums = reduction == "sum";
  learned::ModelOptions m{
      .network = network,
      .sample = loaded.sample,
      .latent = latent,
      .op = learned::parse_operator(op.value_or(method == "graph" ? "learned" : "stable")),
      .variational = method == "vae" || method == "nonlinear-vae",
      .actions = loaded.all.actions.defined() ? loaded.all.actions.size(-1) : 0,
      .transient = transient,
      .relations = loaded.relations,
      .ridge = ridge,
      .dropout = dropout,
      .seed = run.common.seed,
      .tensor = loaded.all.frames.options()};
  if (method == "nonlinear-vae") m.transition = learned::Transition::nonlinear;
  if (method == "pfnn") m.transition = learned::Transition::pfnn;
  learned::Model model(m);
  const learned::TrainingData data = split(loaded.all, holdout, window, run);
  const bool gaussian = method == "vae";
  learned::TrainingOptions o{
      .loss = {.reconstruction = reconstruction,
               .alpha = informed() ? alpha.value_or(!sums      ? 0.1
                                                    : gaussian ? 3
                                                               : 2)
                                   : 0,
               .beta = beta.value_or(sums && gaussian ? 2 : 1),
               .gamma = informed() ? gamma.value_or(sums && gaussian ? 0.5 : 0.1) : 0,
               .prior = prior,
               .variance = variance,
               .unitarity = unitarity,
               .horizon = horizon,
               .reduction = sums ? learned::Reduction::sum : learned::Reduction::mean,
               .estimator = learned::parse_estimator(estimator),
               .k = k,
               .tau = tau,
               .inner = similarity == "inner",
               .normalise = normalise,
               .detach = detach,
               .global = global},
      .window = window,
      .batch = batch,
      .steps = steps.value_or(0),
      .epochs = epochs,
      .patience = patience,
      .lr = lr,
      .decay = decay,
      .decay_every = decay_every,
      .clip = clip,
      .scaling = learned::parse_scaling(scaling),
      .seed = run.common.seed,
      .out = run.common.out,
      .checkpoint_every = checkpoint_every,
      .resume = resume,
      .identity = {{"method", method},
                   {"network", network},
                   {"latent", std::to_string(latent)},
                   {"operator", std::string(learned::name_of(m.op))},
                   {"data", files[0]},
                   {"lr", number_text(lr)}},
      .stop = interrupted};
  o.identity["alpha"] = number_text(o.loss.alpha);
  o.identity["beta"] = number_text(o.loss.beta);
  o.identity["gamma"] = number_text(o.loss.gamma);
  dist::ProcessGroup group(
      ranks, {.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * rank_timeout))});
  if (ranks.rank == 0 && !resume) refuse_old_run(run);
  group.barrier();  // nobody trains before rank 0 has looked
  Progress progress(run.shows_progress());
  const int64_t per_epoch = std::max<int64_t>(
      1, learned::windows(data.train, window).size(0) / (batch * ranks.world_size));
  const int64_t planned = o.steps > 0 ? o.steps : epochs * per_epoch;
  o.on_step = [&](const learned::TrainingRecord& record) {
    progress.update("training", record.step, planned);
  };
  const auto result = learned::train(model, data, o, group);
  progress.clear();
  if (result.interrupted) {
    throw Interrupted("stopped after step " + std::to_string(result.steps) + " of " +
                      std::to_string(result.planned) + "; the same line with --resume goes on");
  }
  if (ranks.rank != 0) {
    if (result.diverged_at) run.not_converged("the loss is not finite");
    return;
  }
  learned::save_model(model, path_in(run, "model.safetensors"),
                      {{"method", method}, {"window", std::to_string(window)}}, true);

  const learned::Trajectories& judged = data.validation ? *data.validation : data.train;
  const learned::Dimension dimension = learned::effective_dimension(latent_rows(model, judged));
  Json& json = run.json();
  json["method"] = method;
  json["parameters"] = [&] {
    int64_t count = 0;
    for (const Tensor& p : model.parameters()) count += p.numel();
    return count;
  }();
  json["ranks"] = ranks.world_size;
  run.value("steps", result.steps);
  run.value("best_step", result.best_step, "whose parameters were kept");
  run.value("best_loss", result.best_loss, data.validation ? "held out" : "training");
  run.value("effective_dimension", dimension.effective,
            "of " + std::to_string(latent) + " latent coordinates");
  Json radius = nullptr;
  double largest = 0;
  if (m.transition != learned::Transition::nonlinear) {
    const at::NoGradGuard no_graph;
    largest = at::linalg_eigvals(model.frame_matrix().to(at::kDouble)).abs().max().item<double>();
    radius = largest;
    run.value("spectral_radius", largest);
  }
  json["spectral_radius"] = radius;
  json["information"] = information(model, judged);
  Json at_horizon;
  std::string table;
  const Json list = forecast_errors(model, judged, horizon, at_horizon, table);
  if (at_horizon.is_number()) {
    run.value("nrmse", at_horizon.get<double>(),
              "||forecast - truth|| / ||truth|| at " + std::to_string(horizon) + " steps, " +
                  (data.validation ? "held out" : "training data"));
  }
  json["nrmse"] = at_horizon;
  json["nrmse_horizon"] = horizon;
  json["nrmse_normalisation"] = "||forecast - truth|| / ||truth|| of a frame, averaged over starts";
  json["nrmse_on"] = data.validation ? "holdout" : "training";
  json["nrmse_at"] = list;
  run.text() << table;
  run.value("seconds_training", result.seconds);
  json["stopped_early"] = result.stopped_early;
  json["diverged_at"] = result.diverged_at ? Json(*result.diverged_at) : Json();
  json["resumed_from"] = result.resumed_from ? Json(*result.resumed_from) : Json();
  if (largest > 1.02) {
    const int64_t far = std::max<int64_t>(horizon, 150);
    run.warn("unstable", "an eigenvalue of modulus " + short_text(largest) + ": forecasts of " +
                             std::to_string(far) + " steps grow by up to " +
                             short_text(std::pow(largest, static_cast<double>(far))) +
                             " (--operator stable cannot)");
  }
  if (dimension.trace < 1e-12) {
    run.warn("constant_latent", "the latents do not vary: tr C = " + short_text(dimension.trace));
  } else if (dimension.effective < 2) {
    run.warn("collapsed", "the latents fill " + short_text(dimension.effective) +
                              " dimensions: raise --gamma, lower --alpha");
  }
  if (result.diverged_at) {
    run.not_converged("loss: expected a finite one with its gradient, found another in step " +
                      std::to_string(*result.diverged_at) +
                      "; the best parameters before it are kept");
  }
  AtomicFile summary(path_in(run, "summary.json"), true);
  summary.write(run.document());
  summary.commit();
}

void KoopmanEncode::run(Run& run) const {
  io::check_array_target(run.common.out, run.common.force);
  const auto question = load_question(checkpoint, x, run);
  Tensor z = learned::encode_all(*question.model, question.data.frames);
  if (question.data.single) z = z.squeeze(0);
  const auto dimension = learned::effective_dimension(z.reshape({-1, z.size(-1)}));
  run.value("effective_dimension", dimension.effective,
            "of " + std::to_string(question.model->options().latent) + " latent coordinates");
  const auto array = io::to_array("", z.contiguous());
  run.text() << run.common.out << "  " << io::describe(array) << '\n';
  io::write_arrays(run.common.out, {array}, {.force = run.common.force});
}

void KoopmanControl::run(Run& run) const {
  io::check_array_target(run.common.out, run.common.force);
  const auto question = load_question(checkpoint, x, run);
  learned::Model& model = *question.model;
  const Tensor& frames = question.data.frames;
  if (frames.size(0) != 1) throw DataError(x, "one trajectory", describe(frames));
  Tensor target = load_numbers(goal, run).to(model.tensor_options());
  if (target.dim() == static_cast<int64_t>(model.options().sample.size()) + 1 &&
      target.size(0) == 1) {
    target = target.squeeze(0);
  }
  const auto found =
      learned::steer(model, frames[0][-1], target,
                     {.horizon = horizon,
                      .state_cost = state_cost,
                      .action_cost = action_cost,
                      .limit = limit.value_or(std::numeric_limits<double>::infinity())});
  run.value("closed_loop_radius", found.lqr.closed_loop_radius, "largest modulus of K - B F");
  run.value("riccati_residual", found.lqr.residual);
  run.value("first_distance", found.distances[0].item<double>(), "|z - z_goal| after one action");
  run.value("last_distance", found.distances[-1].item<double>());
  io::write_arrays(run.common.out,
                   {io::to_array("actions", found.actions), io::to_array("states", found.states),
                    io::to_array("distances", found.distances),
                    io::to_array("gain", found.lqr.gain), io::to_array("cost", found.lqr.cost)},
                   {.force = run.common.force});
}

}  // namespace ritz::app
