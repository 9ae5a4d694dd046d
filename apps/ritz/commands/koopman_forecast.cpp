#include "apps/ritz/commands/koopman_forecast.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/ritz/commands/koopman_checkpoint.h"
#include "apps/ritz/commands/koopman_data.h"
#include "apps/ritz/commands/koopman_json.h"
#include "ritz/base/check.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/forecast.h"
#include "ritz/koopman/kernel_forecast.h"

namespace ritz::app {
namespace {

struct Series {
  Tensor values;    // [N, T, d] of the columns that are not masked
  Tensor features;  // int64 [d]
  int64_t columns = 0;
  bool single = false;  // the data were one trajectory
};

Series load_series(const KoopmanDataOptions& data, Run& run) {
  if (data.files.size() == 2 && !data.trajectories)
    throw InvalidArgument("X", "trajectories [T, d] or [N, T, d] to continue", "pairs X, Y");
  const auto all = load_snapshots(data, run);
  const int64_t N = all.trajectory[-1].item<int64_t>() + 1, S = all.states.size(0);
  if (S % N != 0)
    throw InvalidArgument("X", "trajectories of one length",
                          std::to_string(S) + " states in " + std::to_string(N));
  if (all.pairs() != N * (S / N - 1))
    throw InvalidArgument("--mask", "whole columns (a series with gaps has no steps to learn from)",
                          "states");
  Series series{.values = all.states.view({N, S / N, all.dimension()}),
                .features = all.features,
                .columns = all.features.max().item<int64_t>() + 1,
                .single = N == 1};
  if (!data.mask.empty()) {
    const auto raw = io::list_arrays(data.files[0]);
    series.columns = raw[0].shape.size() > 1 ? raw[0].shape.back() : 1;
  }
  return series;
}

void report_modes(Run& run, const koopman::KernelForecast& made) {
  Json modes = Json::array();
  const int64_t count = made.modes.values.size(0);
  std::vector<std::vector<std::string>> rows;
  for (int64_t k = 0; k < count; ++k) {
    const auto value = made.modes.values[k].item<c10::complex<double>>();
    const double residual = made.modes.residuals[k].item<double>();
    modes.push_back({{"re", value.real()},
                     {"im", value.imag()},
                     {"residual", residual},
                     {"kept", k < made.kept}});
    if (k < std::min<int64_t>(made.kept, 12))
      rows.push_back({short_text(value.real()), short_text(value.imag()), short_text(residual)});
  }
  run.value("kept", made.kept, "modes, of " + std::to_string(count));
  run.table({"re", "im", "residual"}, rows);
  run.json()["modes"] = modes;
}

void draw(const std::string& path, const Tensor& history, const Tensor& told, bool force) {
  const auto curve = [](const char* label, const Tensor& values, int64_t begin) {
    io::Curve out{.label = label};
    const Tensor plain = values.to(torch::kCPU, torch::kFloat64).contiguous();
    for (int64_t t = 0; t < plain.size(0); ++t) {
      out.x.push_back(static_cast<double>(begin + t));
      out.y.push_back(plain[t].item<double>());
    }
    return out;
  };
  const int64_t T = history.size(1), shown = std::min(T, 4 * told.size(1));
  io::write_figure(
      path,
      {.title = "Forecast",
       .x = {.label = "step"},
       .y = {.label = "first column"},
       .curves = {curve("measured", history[0].select(1, 0).slice(0, T - shown), T - shown),
                  curve("forecast", told[0].select(1, 0), T)}},
      force);
}

}  // namespace

void KoopmanForecast::run(Run& run) const {
  if (!checkpoint.empty()) {
    return forecast_by_checkpoint(
        {.frames = data.files[0], .checkpoint = checkpoint, .actions = actions, .horizon = horizon},
        run);
  }
  io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const auto options = completed();
  const auto series = load_series(options, run);
  const Tensor& x = series.values;
  const bool seasonal = season > 0 && method != "persistence" && method != "climatology";
  const Tensor means = seasonal ? koopman::seasonal_means(x, season) : Tensor();
  const int64_t T = x.size(1);
  const Tensor rest = seasonal ? x - koopman::seasonal_part(means, 0, T) : x;

  run.json()["method"] = method;
  Tensor told;
  if (method == "persistence") {
    told = koopman::forecast_persistence(x, horizon);
  } else if (method == "climatology") {
    if (season == 0) run.warn("season", "no --season was given: the mean state is the forecast");
    told = koopman::forecast_climatology(x, horizon, std::max<int64_t>(1, season));
  } else if (method == "ar") {
    told = koopman::forecast_autoregression(rest, horizon, {.order = order});
  } else if (method == "dmd") {
    told = koopman::forecast_dmd(rest, horizon, {.delays = delays, .rank = options.size});
  } else if (method == "edmd") {
    const auto windows = koopman::trajectories(koopman::state_windows(rest, delays).contiguous());
    const auto lift = load_lift(options, windows, run);
    told = koopman::forecast_edmd(lift, windows, x.size(2), horizon);
  } else {
    const auto made =
        koopman::forecast_kernel(rest, horizon,
                                 {.kernel = koopman::parse_kernel(options.dictionary.substr(7)),
                                  .scale = options.kernel_scale,
                                  .degree = options.degree,
                                  .delays = delays,
                                  .size = options.size,
                                  .all_modes = method == "kernel"});
    report_modes(run, made);
    told = made.values;
  }
  if (seasonal) told = told + koopman::seasonal_part(means, T, horizon);
  if (!torch::isfinite(told).all().item<bool>()) {
    run.not_converged("the forecast left the finite numbers: an eigenvalue far above 1");
  }

  // Masked columns are there, and empty.
  Tensor out = told;
  if (series.columns != x.size(2)) {
    out = torch::full({told.size(0), horizon, series.columns},
                      std::numeric_limits<double>::quiet_NaN(), told.options());
    out.index_copy_(2, series.features.to(told.device()), told);
  }
  if (series.single) out = out[0];
  run.json()["tower"] = tower_json(koopman::tower_of(koopman::Task::forecast, {}));
  run.json()["horizon"] = horizon;
  run.json()["shape"] = out.sizes().vec();
  run.text() << "forecast            " << out.sizes() << '\n';
  io::write_arrays(run.common.out, {io::to_array("forecast", out)}, {.force = run.common.force});
  if (!plot.empty()) draw(plot, x, told, run.common.force);
}

}  // namespace ritz::app
