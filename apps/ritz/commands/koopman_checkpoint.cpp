#include "apps/ritz/commands/koopman_checkpoint.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/commands/koopman_data.h"
#include "apps/ritz/commands/koopman_frames.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/holdout.h"
#include "ritz/koopman/learned/analysis.h"
#include "ritz/koopman/learned/latent_dictionary.h"
#include "ritz/koopman/learned/training.h"

namespace ritz::app {
namespace {

namespace learned = koopman::learned;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Residuals of the eigenfunctions w_i z(x) on pairs of frames.
struct Residuals {
  Tensor fitted, held, upper;  // float64 [d]; undefined where there are no pairs
  int64_t pairs = 0, pairs_holdout = 0, blocks = 0;
};

Residuals residuals(const CheckpointSpectrum& request, const learned::ModelSpectrum& spectrum,
                    const KoopmanQuestion& question, uint64_t seed) {
  const Tensor flat = question.data.frames.flatten(2);
  const auto parts = koopman::split(koopman::trajectories(flat), request.holdout);
  const auto functions = learned::latent_dictionary(question.model);
  const Tensor kept = at::arange(functions->size(), at::kLong);
  const Tensor vectors = spectrum.left.t().contiguous();  // w_i as coefficients
  const auto on = [&](const koopman::Snapshots& pairs) {
    return koopman::holdout_residuals(*functions, kept, pairs, spectrum.eigenvalues, vectors,
                                      {.replicas = request.replicas, .seed = seed});
  };
  Residuals result;
  result.pairs = parts.train.pairs();
  result.pairs_holdout = parts.holdout.pairs();
  if (result.pairs > 0) result.fitted = on(parts.train).residuals;
  if (result.pairs_holdout > 0) {
    const auto found = on(parts.holdout);
    result.held = found.residuals;
    result.upper = found.upper;
    result.blocks = found.blocks;
  }
  return result;
}

void draw(const std::string& path, const Tensor& eigenvalues, bool force) {
  io::Figure figure{.title = "Eigenvalues of the learned K",
                    .x = {.label = "Re"},
                    .y = {.label = "Im"},
                    .curves = {{.style = io::Style::guide}, {.style = io::Style::points}}};
  for (int k = 0; k <= 200; ++k) {
    figure.curves[0].x.push_back(std::cos(k * M_PI / 100));
    figure.curves[0].y.push_back(std::sin(k * M_PI / 100));
  }
  for (int64_t i = 0; i < eigenvalues.size(0); ++i) {
    const auto value = eigenvalues[i].item<c10::complex<double>>();
    figure.curves[1].x.push_back(value.real());
    figure.curves[1].y.push_back(value.imag());
  }
  io::write_figure(path, figure, force);
}

}  // namespace

void forecast_by_checkpoint(const CheckpointForecast& request, Run& run) {
  io::check_array_target(run.common.out, run.common.force);
  const auto question = load_question(request.checkpoint, request.frames, run);
  learned::Model& model = *question.model;
  const Tensor& x = question.data.frames;
  Tensor actions;
  if (!request.actions.empty()) {
    actions = load_numbers(request.actions, run).to(model.tensor_options());
    if (question.data.single && actions.dim() == 1) actions = actions.unsqueeze(1);
    if (question.data.single) actions = actions.unsqueeze(0);
    actions = actions.slice(1, 0, request.horizon);
  }
  Tensor told = model.forecast(x.select(1, x.size(1) - 1), request.horizon, actions, x.size(1) - 1);
  if (!at::isfinite(told).all().item<bool>()) {
    run.not_converged("the forecast left the finite numbers: an eigenvalue far above 1");
  }
  if (question.data.single) told = told.squeeze(0);
  run.json()["method"] = "checkpoint";
  run.json()["horizon"] = request.horizon;
  run.json()["shape"] = told.sizes().vec();
  run.text() << "forecast            " << told.sizes() << '\n';
  io::write_arrays(run.common.out, {io::to_array("forecast", told.contiguous())},
                   {.force = run.common.force});
}

void spectrum_of_checkpoint(const CheckpointSpectrum& request, Run& run) {
  if (!request.modes.empty()) io::check_array_target(request.modes, run.common.force);
  if (!request.plot.empty()) run.check_target(request.plot, "--plot");
  KoopmanQuestion question;
  if (request.frames) {
    question = load_question(request.checkpoint, *request.frames, run);
  } else {
    const auto loaded = learned::load_model(request.checkpoint);
    question = {loaded.model, loaded.metadata, {}};
  }
  const auto found = learned::spectrum(*question.model);
  Residuals measured;
  if (request.frames) measured = residuals(request, found, question, run.common.seed);
  Json list = Json::array();
  std::vector<std::vector<std::string>> table;
  const auto text = [](double value) {
    return std::isfinite(value) ? short_text(value) : std::string("-");
  };
  for (int64_t i = 0; i < found.eigenvalues.size(0); ++i) {
    const auto value = found.eigenvalues[i].item<c10::complex<double>>();
    const auto of = [&](const Tensor& values) {
      return values.defined() ? values[i].item<double>() : kNaN;
    };
    const double modulus = std::hypot(value.real(), value.imag());
    const double growth = modulus > 0 ? std::log(modulus) / request.dt : kNaN;
    const double frequency = std::atan2(value.imag(), value.real()) / request.dt;
    const double upper = of(measured.upper);
    const bool verified = measured.upper.defined() && upper <= request.tolerance;
    list.push_back({{"re", value.real()},
                    {"im", value.imag()},
                    {"residual", of(measured.fitted)},
                    {"residual_holdout", of(measured.held)},
                    {"residual_upper", upper},
                    {"verified", verified},
                    {"modulus", modulus},
                    {"growth_rate", growth},
                    {"angular_frequency", frequency}});
    if (table.size() < 20) {
      table.push_back({text(value.real()), text(value.imag()), text(modulus), text(frequency),
                       text(of(measured.fitted)), text(of(measured.held)), text(upper),
                       verified ? "verified" : "-"});
    }
  }
  Json& json = run.json();
  json["method"] = "checkpoint";
  json["eigenvalues"] = std::move(list);
  run.table({"re", "im", "modulus", "frequency", "residual", "held out", "upper", ""}, table);
  run.value("rank", found.eigenvalues.size(0));
  run.value("spectral_radius", found.radius);
  run.value("condition", found.condition, "of the eigenvectors");
  json["pairs"] = measured.pairs;
  json["pairs_holdout"] = measured.pairs_holdout;
  json["isometry_defect"] = nullptr;
  if (!request.frames || measured.pairs_holdout == 0) {
    run.warn("no_holdout", request.frames
                               ? "no pairs are held out, so nothing is verified"
                               : "without X there are no residuals: nothing is verified");
  } else {
    run.warn("holdout_is_yours", "verified holds where the last " + short_text(request.holdout) +
                                     " of X was not trained on, as with train's own --holdout");
    if (measured.blocks < 8) {
      run.warn("few_blocks", "the bootstrap has only " + std::to_string(measured.blocks) +
                                 " blocks of held-out pairs: its upper values are rough");
    }
  }
  if (found.condition > 1e6) {
    run.warn("near_defective", "the eigenvectors' condition is " + short_text(found.condition) +
                                   ": eigenvalues move a lot when K moves a little");
  }
  if (!request.modes.empty()) {
    io::write_arrays(request.modes,
                     {io::to_array("eigenvalues", found.eigenvalues),
                      io::to_array("modes", found.modes.contiguous()),
                      io::to_array("right", found.right.contiguous()),
                      io::to_array("left", found.left.contiguous())},
                     {.force = run.common.force});
  }
  if (!request.plot.empty()) draw(request.plot, found.eigenvalues, run.common.force);
}

}  // namespace ritz::app
